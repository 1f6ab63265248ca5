"""Configuration to adapters: the one place that knows the classes."""
