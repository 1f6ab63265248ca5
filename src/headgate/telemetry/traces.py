"""OpenTelemetry traces: a span a batch, and a child span for each stage that it passed.

Endpoint, headers, sampling and limits are the SDK's own environment variables. Law: spans wait in a bounded queue and
are sent by a thread of the SDK; where the collector is away they are dropped, a warning says so once, and neither the
flow nor the end of the process waits for them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, set_span_in_context

from headgate import __version__
from headgate.telemetry.facts import BatchFinished, RunStarted, StageTimed

SERVICE = "headgate"  # where neither OTEL_SERVICE_NAME nor OTEL_RESOURCE_ATTRIBUTES names another
FIRST, LAST = "decode", "ack"  # stages
FLUSH_SECONDS = 2.0  # of patience at the end; what is not sent by then is dropped
MAX_OPEN = 64  # batches whose stages are remembered; never so many are under way

Stage = tuple[str, int, int, float]  # name, begin and end in nanoseconds since 1970, CPU seconds


class Traces:
    """A Telemetry that makes spans of finished batches; as a context it sends the last ones at the end."""

    def __init__(self, now_us: Callable[[], int], warn: Callable[[str], object]) -> None:
        """Begin to send.

        Args:
            now_us: wall-clock microseconds since 1970.
            warn: told once that spans could not be sent.
        """
        self._now_us = now_us
        self._complaints = _Once(warn)
        logger = logging.getLogger("opentelemetry")
        logger.addHandler(self._complaints)
        self._was_propagating, logger.propagate = logger.propagate, False
        resource = Resource.create({SERVICE_VERSION: __version__})
        if str(resource.attributes.get(SERVICE_NAME)).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: SERVICE}))
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("headgate", __version__)
        self._lock = threading.RLock()  # the SDK may complain while a span is made, and the complaint comes here
        self._stages: dict[int, list[Stage]] = {}
        self._done: list[Stage] = []
        self._lake: dict[str, str] = {}

    def emit(self, fact: object) -> None:
        """Remember a stage; make the spans of a finished batch."""
        with self._lock:
            if isinstance(fact, StageTimed):
                self._timed(fact)
            elif isinstance(fact, RunStarted):
                self._stages.clear()
                self._lake = {"headgate.source": fact.source, "headgate.lake": fact.lake}
            elif isinstance(fact, BatchFinished):
                self._send(fact, self._done)

    def flush(self) -> None:
        """Send what waits, for FLUSH_SECONDS at most: before a function is frozen."""
        self._within_patience(self._provider.force_flush)

    def __enter__(self) -> Traces:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Send what waits, for FLUSH_SECONDS at most, and nothing from then on."""
        self._within_patience(self._provider.shutdown)
        logger = logging.getLogger("opentelemetry")
        logger.removeHandler(self._complaints)
        logger.propagate = self._was_propagating

    def _timed(self, fact: StageTimed) -> None:
        end = self._now_us() * 1000
        if fact.stage == FIRST:
            self._stages[fact.batch] = []
            if len(self._stages) > MAX_OPEN:
                self._stages.pop(next(iter(self._stages)))
        stages = self._stages.get(fact.batch, [])
        stages.append((fact.stage, end - round(fact.wall_seconds * 1e9), end, fact.cpu_seconds))
        if fact.stage == LAST:
            self._done = self._stages.pop(fact.batch, [])  # the next fact says what became of the batch

    def _send(self, fact: BatchFinished, stages: list[Stage]) -> None:
        if not stages:
            return
        batch = self._tracer.start_span(
            "batch",
            kind=SpanKind.CONSUMER,
            start_time=min(begin for _, begin, _, _ in stages),
            attributes={
                **self._lake,
                "headgate.ledger_number": fact.number,
                **{f"headgate.{name}": count for name, count in fact.counts._asdict().items()},
                "headgate.conflicts": fact.conflicts,
                "headgate.types": fact.types,
                "headgate.shards": fact.shards,
                "headgate.files": fact.files,
                "headgate.file_bytes": fact.file_bytes,
                "headgate.payload_bytes": fact.payload_bytes,
                **{f"headgate.rejected.{reason}": count for reason, count in fact.reasons.items()},
                **{f"headgate.warnings.{name}": count for name, count in fact.warnings.items()},
            },
        )
        within = set_span_in_context(batch)
        for name, begin, end, cpu_seconds in stages:
            span = self._tracer.start_span(name, within, start_time=begin, attributes={"headgate.cpu_s": cpu_seconds})
            span.end(end)
        batch.end(max(end for _, _, end, _ in stages))

    def _within_patience(self, step: Callable[[], object]) -> None:
        thread = threading.Thread(target=step, name="traces", daemon=True)
        thread.start()
        thread.join(FLUSH_SECONDS)


class _Once(logging.Handler):
    """Turns the first complaint of the SDK into a warning, and swallows the others."""

    def __init__(self, warn: Callable[[str], object]) -> None:
        super().__init__(logging.WARNING)
        self._warn, self._is_told = warn, False

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        if not self._is_told:
            self._is_told = True
            self._warn(f"traces are not sent, spans are dropped: {record.getMessage()}")
