"""Configuration to the metrics endpoint of a run. Imported where it is asked for: most runs serve none."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import CollectorRegistry

from headgate.clock import SystemClock
from headgate.config.telemetry import Address
from headgate.telemetry.endpoint import endpoint
from headgate.telemetry.health import Health
from headgate.telemetry.metrics import RunMetrics
from headgate.telemetry.serving import Server
from headgate.telemetry.tee import Tee


def metrics_endpoint(address: Address, limit: int, tee: Tee, stop: Callable[[], bool]) -> Server:
    """Metrics and health of a run, told by a tee; the port is taken, and answered within the context.

    Args:
        address: where to listen.
        limit: event types with a label of their own.
        tee: gets the sinks.
        stop: True once the process drains.

    Raises:
        ConfigError: the port is taken.
    """
    health = Health(time.monotonic, stop)
    metrics = RunMetrics(limit, health=health, now_us=SystemClock().now_us, lost=lambda: tee.lost)
    registry = CollectorRegistry()
    registry.register(metrics)
    ProcessCollector(registry=registry)
    server = endpoint(registry, health.obstacle, *address)
    tee.add(health)
    tee.add(metrics)
    return server
