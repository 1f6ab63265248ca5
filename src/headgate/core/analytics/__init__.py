"""Typed tables from JSON events: names, types, inference and decoding. Pure."""
