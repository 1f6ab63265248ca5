"""Configuration to what is told of a run: log lines, metrics with their endpoint, traces."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Literal

from headgate.clock import SystemClock
from headgate.config import Config, environment, listen_address, mask_uri, traces_wanted
from headgate.errors import ConfigError
from headgate.ports import Telemetry
from headgate.telemetry.batches import Batches
from headgate.telemetry.emf import EmbeddedMetrics
from headgate.telemetry.facts import MetricsServed, Noticed
from headgate.telemetry.log import LogLines
from headgate.telemetry.tee import Tee

if TYPE_CHECKING:
    from headgate.telemetry.traces import Traces


def log_lines(
    config: Config, stream: IO[str], *, level: Literal["debug", "info", "warning", "error"] | None = None
) -> LogLines:
    """Log lines as they are configured: text on a terminal, JSON elsewhere, unless a setting says otherwise.

    Args:
        config: the settings.
        stream: standard error.
        level: in place of the configured one.
    """
    is_terminal = stream.isatty()
    env = environment()
    return LogLines(
        stream,
        level=level or config.log.level,
        style=config.log.format or ("text" if is_terminal else "json"),
        now_us=SystemClock().now_us,
        is_coloured=is_terminal and not env.get("NO_COLOR") and env.get("TERM") != "dumb",  # https://no-color.org
    )


@contextmanager
def telemetry_of(config: Config, tee: Tee, stop: Callable[[], bool]) -> Iterator[Telemetry]:
    """Serve metrics and send traces where they are configured; what is told goes to a tee and to them.

    Args:
        config: the settings.
        tee: gets every fact, and here its further sinks.
        stop: True once the process drains.

    Yields:
        What the flow tells its facts.

    Raises:
        ConfigError: the port is taken, or traces need a package that is not installed.
    """
    with ExitStack() as opened:
        if config.telemetry.metrics is not None:
            from headgate.wiring.metrics import metrics_endpoint

            address = listen_address(config.telemetry.metrics)
            endpoint = opened.enter_context(metrics_endpoint(address, config.telemetry.metric_event_types, tee, stop))
            tee.emit(MetricsServed(address=endpoint.address))
        if (traces := _traces(tee)) is not None:
            tee.add(opened.enter_context(traces))
        yield Batches(tee, time.monotonic)


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionTelemetry:
    """What a function's container tells.

    Attributes:
        telemetry: takes facts.
        emf: CloudWatch metrics; None where they are off.
        traces: None where no endpoint is configured.
    """

    telemetry: Telemetry
    emf: EmbeddedMetrics | None
    traces: Traces | None

    @contextmanager
    def invocation(self, function: str) -> Iterator[None]:
        """One invocation, by the name of its function: metrics are written and traces sent when it ends."""
        with ExitStack() as ends:
            if self.traces is not None:
                ends.callback(self.traces.flush)
            if self.emf is not None:
                ends.enter_context(self.emf.invocation(function))
            yield

    @contextmanager
    def opening(self, function: str) -> Iterator[None]:
        """The opening of a container: where it fails, that is a failed invocation, and nothing is told after it."""
        is_open = False
        try:
            yield
            is_open = True
        finally:
            if not is_open and self.emf is not None:
                self.emf.begin()
                self.emf.end(function, failed=1)
            if not is_open and self.traces is not None:
                self.traces.__exit__()


def function_telemetry(config: Config, lake: str, *, out: IO[str], err: IO[str]) -> FunctionTelemetry:
    """What a function's container tells: log lines, CloudWatch metrics, traces.

    Args:
        config: the settings.
        lake: its URI.
        out: standard output, which takes metrics.
        err: standard error, which takes log lines.

    Raises:
        ConfigError: traces need a package that is not installed.
    """
    now_us = SystemClock().now_us
    tee = Tee(LogLines(err, level=config.log.level, style=config.log.format or "json", now_us=now_us))
    emf = EmbeddedMetrics(out, lake=mask_uri(lake), now_us=now_us) if config.telemetry.emf else None
    traces = _traces(tee)
    for sink in (emf, traces):
        if sink is not None:
            tee.add(sink)
    return FunctionTelemetry(telemetry=Batches(tee, time.monotonic), emf=emf, traces=traces)


def _traces(tee: Tee) -> Traces | None:
    """Spans of batches where an endpoint is configured, by the variables of OpenTelemetry.

    Raises:
        ConfigError: the package is not installed.
    """
    if not traces_wanted(environment()):
        return None
    try:
        from headgate.telemetry.traces import Traces
    except ImportError as error:
        raise ConfigError(
            f"OTEL_EXPORTER_OTLP_ENDPOINT asks for traces, which need the package {error.name}: install it with "
            "`pip install 'headgate[otel]'`, or set OTEL_TRACES_EXPORTER=none"
        ) from error
    return Traces(SystemClock().now_us, lambda said: tee.emit(Noticed(what=said)))
