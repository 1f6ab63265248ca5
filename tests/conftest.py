"""Hostile defaults for all tests."""

from hypothesis import HealthCheck, settings

# Time is never an assertion: a slow machine is no failure.
settings.register_profile("headgate", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("headgate")
