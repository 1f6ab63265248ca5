"""Shipped kit: generator, fakes that fail on script, conformance suites."""
