"""Headgate admits JSON events from a stream into a data lake, exactly once."""

__version__ = "0.1.0"
