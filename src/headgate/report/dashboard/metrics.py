"""`/metrics` of the dashboard: the figures of the whole lake, under the names of the running consumer's.

They are counters of the lake, not of a process: they go on where a consumer is started anew, and are those of all
consumers together. Before the history was read they are left out, so that a scrape never sees half of a counter.

Law: while the dashboard runs no counter falls. What a type counted before it had a label stays in `other`, and what a
replay takes back stays counted.
"""

from __future__ import annotations

import platform
import threading
from collections.abc import Iterator
from typing import NamedTuple

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from headgate import __version__
from headgate.core.figures import ByType, Figures
from headgate.report.dashboard.watch import Watch
from headgate.telemetry import catalogue as c
from headgate.telemetry.families import family, info, quality_families
from headgate.telemetry.sums import QualitySums, Sums, TypeLabels

_SECOND_US = 1_000_000
_SAME = ("received", "accepted", "rejected", "payload_bytes")
_MAPS = ("reasons", "warnings", "missing", "looked", "rule_passes", "rule_failures", "units", "latency", "staging")

TABLE_ROWS = c.Metric(name="headgate_table_rows", kind="gauge", labels=("table",), help="Rows that readers see.")
TABLE_FILES = c.Metric(name="headgate_table_files", kind="gauge", labels=("table",), help="Files of a table.")
TABLE_BYTES = c.Metric(name="headgate_table_bytes", kind="gauge", labels=("table",), help="Bytes of these files.")
UNPUBLISHED = c.Metric(
    name="headgate_unpublished_entries",
    kind="gauge",
    help="Entries that are committed and that readers do not see yet.",
)
LAKE_COMMIT = c.Metric(
    name="headgate_lake_last_commit_timestamp_seconds", kind="gauge", help="When anybody last committed to the lake."
)
LAKE_NUMBER = c.Metric(name="headgate_lake_ledger_number", kind="gauge", help="The number of that entry.")
LAKE_READ = c.Metric(
    name="headgate_lake_read_timestamp_seconds", kind="gauge", help="When the dashboard last read the lake."
)
#: What only the dashboard tells.
LAKE_METRICS = (TABLE_ROWS, TABLE_FILES, TABLE_BYTES, UNPUBLISHED, LAKE_COMMIT, LAKE_NUMBER, LAKE_READ)


class _Size(NamedTuple):
    table: str
    rows: int | None
    files: int
    size_bytes: int


class Counters:
    """Figures of one lake by label, counted on from scrape to scrape. One thread at a time."""

    def __init__(self, limit: int) -> None:
        """Nothing is counted.

        Args:
            limit: event types with a label of their own.
        """
        self.sums = QualitySums(0)  # labels are given here
        self._labels = TypeLabels(limit)
        self._known: ByType = {}

    def follow(self, totals: ByType) -> None:
        """Count what was added since the last call; what became less is left as it is.

        Args:
            totals: of the whole history by type.
        """
        for name, figures in sorted(totals.items(), key=lambda item: -item[1].received):
            label = self._labels.label(name, is_known=figures.accepted + figures.duplicates > 0)
            before = self._known.get(name, Figures())
            _count(self.sums.by_label.setdefault(label, Sums()), figures, before)
            self.sums.dedup_seconds += max(0, figures.dedup_us - before.dedup_us) / _SECOND_US
        self._known = totals


class LakeMetrics(Collector):
    """What is known of a lake, as families; asks nothing of the lake itself."""

    def __init__(self, watch: Watch, limit: int) -> None:
        """Keep what is watched.

        Args:
            watch: of the lake.
            limit: event types with a label of their own.
        """
        self._watch, self._limit = watch, limit
        self._counters, self._lake_id = Counters(limit), ""
        self._lock = threading.Lock()

    def collect(self) -> Iterator[Family]:
        """All families, as they stand now."""
        watch = self._watch
        yield from self._counted()
        seen = watch.seen
        if seen.state is not None:
            yield family(LAKE_NUMBER, [((), seen.state.number)])
            yield family(LAKE_COMMIT, [((), seen.state.committed_us / _SECOND_US)] if seen.state.number else [])
        if (health := seen.health) is not None:
            sizes = [_Size(name, one.rows, one.files, one.size_bytes) for name, one in health.tables.items()]
            yield family(TABLE_ROWS, [((one.table,), one.rows) for one in sizes if one.rows is not None])
            yield family(TABLE_FILES, [((one.table,), one.files) for one in sizes])
            yield family(TABLE_BYTES, [((one.table,), one.size_bytes) for one in sizes])
            yield family(UNPUBLISHED, [((), len(health.unpublished))])
        fresh = watch.freshness
        yield family(LAKE_READ, [((), fresh.as_of_us / _SECOND_US)] if fresh.as_of_us else [])
        yield family(c.READY, [((), float(fresh.problem is None and seen.state is not None))])
        yield info(c.BUILD, {"version": __version__, "python": platform.python_version()})

    def _counted(self) -> list[Family]:
        """What came in; another lake in the place of this one is counted from its beginning."""
        with self._lock:  # scrapes may overlap, and an older total is never counted after a newer one
            if (found := self._watch.totals) is None:
                return []
            lake_id, totals = found
            if lake_id != self._lake_id:
                self._counters, self._lake_id = Counters(self._limit), lake_id
            self._counters.follow(totals)
            window = self._watch.any_window()
            lags = window.lags if window is not None else {}
            newest = max((lag.staged_us for lag in lags.values()), default=0)
            sums = self._counters.sums
            sums.shard_lag = {shard: lag.seconds for shard, lag in lags.items() if lag.staged_us == newest}
            return list(quality_families(sums))


def _count(sums: Sums, figures: Figures, before: Figures) -> None:
    """Add what figures have more than before, each by itself."""
    for name in _SAME:
        setattr(sums, name, getattr(sums, name) + max(0, getattr(figures, name) - getattr(before, name)))
    conflicts = max(0, figures.conflicts - before.conflicts)
    natural = max(0, figures.duplicates - figures.conflicts - (before.duplicates - before.conflicts))
    sums.conflicts += conflicts
    sums.duplicates += natural + conflicts
    for name in _MAPS:
        counted, known = getattr(sums, name), getattr(before, name)
        for key, count in getattr(figures, name).items():
            counted[key] = counted.get(key, 0) + max(0, count - known.get(key, 0))
    sums.latency_sum += max(0, figures.latency_sum_us - before.latency_sum_us) / _SECOND_US
    sums.staging_sum += max(0, figures.staging_sum_us - before.staging_sum_us) / _SECOND_US
    if figures.arrived_us is not None:
        sums.arrived = max(sums.arrived or 0.0, figures.arrived_us / _SECOND_US)
