"""Claim stores: who saw an id first."""
