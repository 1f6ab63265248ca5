"""The metrics of a running consumer: a Telemetry that adds facts up, and a collector that a registry asks."""

from __future__ import annotations

import platform
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from headgate import __version__
from headgate.telemetry import catalogue as c
from headgate.telemetry.facts import (
    BatchCommitted,
    ClaimsRebuilt,
    CommitRefused,
    CompactionEnded,
    CompactionFailed,
    LagMeasured,
    Noticed,
    PublicationLeft,
    Published,
    Retried,
    RunStarted,
    StageTimed,
    StoodBy,
)
from headgate.telemetry.families import family, info, quality_families
from headgate.telemetry.health import Health
from headgate.telemetry.sums import QualitySums

_SECOND_US = 1_000_000
_LAGS = {"records": c.LAG_RECORDS, "bytes": c.LAG_BYTES, "seconds": c.LAG_SECONDS}
#: Counters that one fact moves by one.
_ONE = {
    BatchCommitted: c.BATCHES,
    CommitRefused: c.CONFLICTS,
    Noticed: c.NOTICES,
    PublicationLeft: c.LEFT,
    StoodBy: c.STANDBYS,
}
_PLAIN = (
    c.BATCHES, c.FILES, c.FILE_BYTES, c.STANDBYS, c.CONFLICTS, c.NOTICES, c.LEFT, c.REBUILT, c.WITHDRAWN,
)  # fmt: skip
_BY_STAGE = (c.STAGE_WALL, c.STAGE_CPU, c.STAGE_BATCHES, c.RETRIES)
STAGES = ("decode", "dedup", "stage", "commit", "publish", "ack")
OUTCOMES = ("ended", "failed")


class RunMetrics(Collector):
    """All of the catalogue, from the start of the process on."""

    def __init__(self, limit: int, *, health: Health, now_us: Callable[[], int], lost: Callable[[], int]) -> None:
        """Nothing has happened yet.

        Args:
            limit: event types with a label of their own.
            health: knows whether the consumer is ready; it must get the facts itself.
            now_us: wall-clock microseconds since 1970.
            lost: how many facts were lost.
        """
        self._health, self._now_us, self._lost = health, now_us, lost
        self._lock = threading.Lock()
        self._quality = QualitySums(limit)
        self._plain: Counter[c.Metric] = Counter()
        self._gauges: dict[c.Metric, float] = {}
        self._labelled: dict[c.Metric, dict[str, float]] = {
            **{metric: dict.fromkeys(STAGES, 0.0) for metric in _BY_STAGE},
            c.COMPACTIONS: dict.fromkeys(OUTCOMES, 0.0),
        }

    def emit(self, fact: object) -> None:
        """Add a fact."""
        with self._lock:
            if (metric := _ONE.get(type(fact))) is not None:
                self._plain[metric] += 1
            self._take(fact)

    def collect(self) -> Iterator[Family]:
        """All families, as they stand now."""
        with self._lock:
            made = [*quality_families(self._quality), *self._families()]
        yield from made

    def _take(self, fact: object) -> None:
        if isinstance(fact, StageTimed):
            self._count(c.STAGE_BATCHES, fact.stage, 1)
            self._count(c.STAGE_WALL, fact.stage, fact.wall_seconds)
            self._count(c.STAGE_CPU, fact.stage, fact.cpu_seconds)
        elif isinstance(fact, BatchCommitted):
            self._committed(fact)
        elif isinstance(fact, LagMeasured):
            for unit, metric in _LAGS.items():
                if unit in fact.lag:
                    self._gauges[metric] = fact.lag[unit]
        elif isinstance(fact, Published):
            self._gauges[c.PUBLISHED_NUMBER] = fact.number
        elif isinstance(fact, RunStarted):
            self._gauges[c.LEDGER_NUMBER] = fact.ledger_number
        elif isinstance(fact, Retried):
            self._count(c.RETRIES, fact.stage, 1)
        elif isinstance(fact, ClaimsRebuilt):
            self._plain[c.REBUILT] += fact.claims
            self._plain[c.WITHDRAWN] += fact.withdrawn
        elif isinstance(fact, CompactionEnded | CompactionFailed):
            self._count(c.COMPACTIONS, "ended" if isinstance(fact, CompactionEnded) else "failed", 1)

    def _count(self, metric: c.Metric, label: str, more: float) -> None:
        self._labelled[metric][label] = self._labelled[metric].get(label, 0.0) + more

    def _committed(self, fact: BatchCommitted) -> None:
        self._plain[c.FILES] += fact.files
        self._plain[c.FILE_BYTES] += fact.file_bytes
        self._gauges[c.LEDGER_NUMBER] = fact.number
        self._gauges[c.LAST_COMMIT] = self._now_us() / _SECOND_US
        if fact.quality is not None:
            self._quality.add(fact.quality)

    def _families(self) -> Iterator[Family]:
        obstacle = self._health.obstacle()
        gauges: Mapping[c.Metric, float] = {
            **self._gauges,
            c.READY: float(obstacle is None),
            c.STANDBY: float(self._health.is_standing_by),
        }
        plain = {metric: self._plain[metric] for metric in _PLAIN} | {c.LOST_FACTS: self._lost()}
        for metric in c.RUN_METRICS:
            if metric is c.BUILD:
                yield info(metric, {"version": __version__, "python": platform.python_version()})
            elif metric in self._labelled:
                yield family(metric, [((label,), value) for label, value in self._labelled[metric].items()])
            elif metric in plain:
                yield family(metric, [((), plain[metric])])
            else:
                yield family(metric, [((), gauges[metric])] if metric in gauges else [])
