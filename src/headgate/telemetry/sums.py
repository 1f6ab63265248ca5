"""The rows of `quality` added up under few labels: what the metrics of a lake or a running consumer are made of.

Law: a sum never moves from one label to another, so that counters only grow.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from headgate.core.histogram import AHEAD
from headgate.core.missing import COMMON, UNREADABLE

OTHER = "other"  # label of all types beyond the bound
NONE = "none"  # label of what no type could be read of
_TAKEN = re.compile(rf"({OTHER}|{NONE})_*")
_SECOND_US = 1_000_000

MAX_SHARDS = 100  # shards that are labels; of more only the greatest lag is told

#: The columns of QUALITY that `QualitySums.add` needs.
COLUMNS = (
    "event_type", "received", "accepted", "duplicates", "conflicts", "rejected", "reasons", "warnings",
    "payload_bytes", "arrived_max", "missing", "rule_passes", "rule_failures", "units", "created_to_arrived",
    "created_to_arrived_sum", "arrived_to_staged", "arrived_to_staged_sum", "dedup_seconds", "shard_lag",
)  # fmt: skip

Row = Mapping[str, Any]
Counts = dict[str, int]
Buckets = dict[float, int]


class TypeLabels:
    """Which label an event type has: its own for the first ones, `other` for the rest, for ever."""

    def __init__(self, limit: int) -> None:
        """No type is known.

        Args:
            limit: types with a label of their own.
        """
        self._limit = limit
        self._own: dict[str, str] = {}

    def label(self, name: str | None, *, is_known: bool) -> str:
        """The label of a type.

        Args:
            name: None is the type of what no type could be read of.
            is_known: the lake holds events of it; others get no label of their own, so that rubbish takes none.
        """
        if name is None:
            return NONE
        if name not in self._own and is_known and len(self._own) < self._limit:
            # A type may be called like one of ours.
            self._own[name] = f"{name}_" if _TAKEN.fullmatch(name) else name
        return self._own.get(name, OTHER)


@dataclass(slots=True, kw_only=True)
class Sums:
    """Sums over rows of `quality` under one label; times in seconds.

    Attributes:
        missing: by field the parts without it; `looked`: the parts that were looked at for it.
        latency: buckets from creation to arrival, see core.histogram; `latency_sum` leaves out those below 0.
        staging: the same from arrival to the files.
        arrived: newest arrival in rows with accepted events, Unix time; None where there are none.
    """

    received: int = 0
    accepted: int = 0
    duplicates: int = 0
    conflicts: int = 0
    rejected: int = 0
    payload_bytes: int = 0
    reasons: Counts = field(default_factory=dict)
    warnings: Counts = field(default_factory=dict)
    missing: Counts = field(default_factory=dict)
    looked: Counts = field(default_factory=dict)
    rule_passes: Counts = field(default_factory=dict)
    rule_failures: Counts = field(default_factory=dict)
    units: Counts = field(default_factory=dict)
    latency: Buckets = field(default_factory=dict)
    latency_sum: float = 0.0
    staging: Buckets = field(default_factory=dict)
    staging_sum: float = 0.0
    arrived: float | None = None

    @property
    def ahead(self) -> int:
        """Events that arrived before they were created."""
        return self.latency.get(AHEAD, 0)

    def add(self, row: Row) -> None:
        """Add a row of COLUMNS."""
        for name in ("received", "accepted", "duplicates", "conflicts", "rejected", "payload_bytes"):
            setattr(self, name, getattr(self, name) + (row[name] or 0))
        for name in ("reasons", "warnings", "missing", "rule_passes", "rule_failures", "units"):
            _add(getattr(self, name), row[name])
        _add(self.latency, row["created_to_arrived"])
        _add(self.staging, row["arrived_to_staged"])
        self.latency_sum += row["created_to_arrived_sum"] or 0.0
        self.staging_sum += row["arrived_to_staged_sum"] or 0.0
        _add(self.looked, _looked(row))
        if (row["accepted"] or 0) > 0 and row["arrived_max"] is not None:
            self.arrived = max(self.arrived or 0.0, row["arrived_max"] / _SECOND_US)


class QualitySums:
    """Sums by label, and what is told once a commit."""

    def __init__(self, limit: int) -> None:
        """Begin with nothing.

        Args:
            limit: event types with a label of their own.
        """
        self._labels = TypeLabels(limit)
        self.by_label: dict[str, Sums] = {}
        self.dedup_seconds = 0.0
        self.shard_lag: dict[str, float] = {}

    def add(self, quality: pa.Table) -> None:
        """Add rows of a commit, or of several in the order of their commits.

        Cost: about 60 µs a row.

        Args:
            quality: COLUMNS of QUALITY.
        """
        table = quality.select(list(COLUMNS))
        at = table.schema.get_field_index("arrived_max")
        rows = table.set_column(at, "arrived_max", table["arrived_max"].cast(pa.int64())).to_pylist()
        # Where a commit brings more types than there is room for, the larger ones get the labels.
        for row in sorted(rows, key=lambda row: -(row["received"] or 0)):
            is_known = (row["accepted"] or 0) + (row["duplicates"] or 0) > 0
            label = self._labels.label(row["event_type"], is_known=is_known)
            self.by_label.setdefault(label, Sums()).add(row)
        for row in rows:
            self.dedup_seconds += row["dedup_seconds"] or 0.0
            if row["shard_lag"] is not None:
                self.shard_lag = dict(row["shard_lag"])


def _add(sums: dict[Any, int], more: Mapping[Any, int] | Iterable[tuple[Any, int]] | None) -> None:
    for name, count in dict(more or ()).items():
        sums[name] = sums.get(name, 0) + count


def _looked(row: Row) -> Counts:
    """Parts that were looked at, by field: events for those of the payload, what could be read for the common ones."""
    if row["missing"] is None:
        return {}
    events = (row["accepted"] or 0) + (row["duplicates"] or 0)
    read = events + sum(count for reason, count in row["reasons"] or () if reason not in UNREADABLE)
    found = {name: events for name, _ in row["missing"] if name not in COMMON}
    return {**found, **(dict.fromkeys(COMMON, read) if read else {})}
