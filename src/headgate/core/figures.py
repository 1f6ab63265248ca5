"""The rows of `quality` added up by event type, for whoever judges or shows them. Pure, columnar."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.cells import GREATEST, LEAST, LOOKED_FOR, Cells
from headgate.core.missing import COMMON
from headgate.core.schema import QUALITY

#: What `figures_of` needs of QUALITY.
COLUMNS = (
    "event_type", "received", "accepted", "duplicates", "conflicts", "rejected", "reasons", "arrived_max", "missing",
    "created_to_arrived", "created_to_arrived_max",
)  # fmt: skip

#: What all figures need of it.
ALL_COLUMNS = tuple(name for name in QUALITY.names if name not in ("entry_id", "staged_at", "shard_lag"))
_NUMBERS = ("received", "accepted", "duplicates", "conflicts", "rejected", "payload_bytes", "commits")
_MAPS = {
    "missing": "missing", "latency": "created_to_arrived", "staging": "arrived_to_staged", "reasons": "reasons",
    "warnings": "warnings", "units": "units", "rule_passes": "rule_passes", "rule_failures": "rule_failures",
}  # fmt: skip
_EXTREMES = {
    "latency_max": "created_to_arrived_max", "staging_max": "arrived_to_staged_max", "arrived_us": "arrived_max",
    "created_min_us": "created_min", "created_max_us": "created_max",
}  # fmt: skip
_TIMES = {
    "dedup_us": "dedup_seconds", "latency_sum_us": "created_to_arrived_sum", "staging_sum_us": "arrived_to_staged_sum",
}  # fmt: skip
_SUMMED = (*_NUMBERS, "looked", *_TIMES.values(), *_EXTREMES.values())

K = TypeVar("K")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Sums over rows of `quality`; a replay can make one negative where the rows that it takes back lie elsewhere.

    Attributes:
        received: accepted + duplicates + rejected.
        accepted: rows in `events`.
        duplicates: rows in `duplicates`.
        conflicts: those of them with other bytes than the original.
        rejected: rows in `rejected`.
        missing: by field the parts without it.
        looked: by field the parts that were looked at for it.
        latency: buckets of the histogram created to arrived, see core.histogram.
        latency_max: seconds; None where there is none.
        arrived_us: latest arrival in rows with accepted events, microseconds since 1970; None where there are none.
        payload_bytes: of what was received.
        commits: of batches; replays are not counted.
        dedup_us: in de-duplication, microseconds.
        reasons: rejects by reason.
        warnings: by kind.
        units: of `created_at`, events by unit.
        rule_passes: by rule.
        rule_failures: by rule.
        staging: buckets of the histogram arrived to staged.
        staging_max: seconds; None where there is none.
        latency_sum_us: from created to arrived, of those not below 0, microseconds.
        staging_sum_us: from arrived to staged, microseconds.
        created_min_us: the earliest time that events say they were created at; None where there is none.
        created_max_us: the latest.
    """

    received: int = 0
    accepted: int = 0
    duplicates: int = 0
    conflicts: int = 0
    rejected: int = 0
    missing: Mapping[str, int] = field(default_factory=dict)
    looked: Mapping[str, int] = field(default_factory=dict)
    latency: Mapping[float, int] = field(default_factory=dict)
    latency_max: float | None = None
    arrived_us: int | None = None
    payload_bytes: int = 0
    commits: int = 0
    dedup_us: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    warnings: Mapping[str, int] = field(default_factory=dict)
    units: Mapping[str, int] = field(default_factory=dict)
    rule_passes: Mapping[str, int] = field(default_factory=dict)
    rule_failures: Mapping[str, int] = field(default_factory=dict)
    staging: Mapping[float, int] = field(default_factory=dict)
    staging_max: float | None = None
    latency_sum_us: int = 0
    staging_sum_us: int = 0
    created_min_us: int | None = None
    created_max_us: int | None = None

    def __add__(self, other: Figures) -> Figures:
        """Both together."""
        joined: dict[str, Any] = {name: getattr(self, name) + getattr(other, name) for name in (*_NUMBERS, *_TIMES)}
        joined |= {name: _summed(getattr(self, name), getattr(other, name)) for name in ("looked", *_MAPS)}
        for name in _EXTREMES:
            choose = min if name == "created_min_us" else max
            joined[name] = _extreme(choose, getattr(self, name), getattr(other, name))
        return Figures(**joined)


ByType = dict[str | None, Figures]


def figures_of(blocks: Iterable[pa.Table]) -> ByType:
    """Add up rows by event type.

    Args:
        blocks: COLUMNS of QUALITY; memory holds one block.

    Returns:
        Figures by type; None is the type of what no type could be read of.
    """
    cells = Cells()
    for block in blocks:
        cells.add(block)
    return by_type(cells)


def total(figures: ByType) -> Figures:
    """All types together."""
    return sum(figures.values(), Figures())


def arrivals_of(blocks: Iterable[pa.Table]) -> dict[str | None, tuple[int, int]]:
    """By event type how many events were accepted, and when the latest arrived, microseconds since 1970.

    Args:
        blocks: event_type, accepted and arrived_max of QUALITY.
    """
    found: dict[str | None, tuple[int, int]] = {}
    for block in blocks:
        rows = block.filter(pc.greater(block["accepted"], 0))
        grouped = rows.group_by("event_type").aggregate([("accepted", "sum"), ("arrived_max", "max")])
        latest = grouped["arrived_max_max"].cast(pa.int64()).to_pylist()
        for name, count, us in zip(
            grouped["event_type"].to_pylist(), grouped["accepted_sum"].to_pylist(), latest, strict=True
        ):
            before = found.get(name, (0, us))
            found[name] = before[0] + count, max(before[1], us)
    return found


def by_type(cells: Cells, start: int | None = None, end: int | None = None) -> ByType:
    """Figures by type of what was entered under the times from `start` up to, not including, `end`."""
    sums, parts = within(cells.sums, start, end), within(cells.parts, start, end)
    functions = [(name, "min" if name in LEAST else "max" if name in GREATEST else "sum") for name in _SUMMED]
    found = sums.group_by("type").aggregate(functions).to_pydict()
    counts: dict[int, dict[str, dict[Any, int]]] = {}
    summed = parts.group_by(["type", "key"]).aggregate([("count", "sum")]).sort_by("key").to_pydict()
    for code, key, count in zip(summed["type"], summed["key"], summed["count_sum"], strict=True):
        kind, name = cells.names.keys[key]
        counts.setdefault(code, {}).setdefault(kind, {})[name] = count
    return {
        cells.names.types[code]: _figures(
            {name: found[f"{name}_{how}"][i] for name, how in functions}, counts.get(code, {})
        )
        for i, code in sorted(enumerate(found["type"]), key=lambda pair: pair[1])
    }


def within(table: pa.Table, start: int | None, end: int | None) -> pa.Table:
    """The rows of a table of `Cells` under the times from `start` up to, not including, `end`; it is sorted by them."""
    at = np.asarray(table["at"])
    first = 0 if start is None else int(np.searchsorted(at, start))
    last = len(at) if end is None else int(np.searchsorted(at, end))
    return table.slice(first, max(0, last - first))


def _figures(sums: Mapping[str, Any], counts: Mapping[str, Mapping[Any, int]]) -> Figures:
    looked = dict(counts.get(LOOKED_FOR, {}))
    looked |= dict.fromkeys(COMMON, sums["looked"]) if sums["looked"] else {}
    found: dict[str, Any] = {name: sums[name] for name in _NUMBERS}
    found |= {attribute: counts.get(kind, {}) for attribute, kind in _MAPS.items()}
    found |= {attribute: sums[column] for attribute, column in _EXTREMES.items()}
    found |= {attribute: sums[column] or 0 for attribute, column in _TIMES.items()}
    return Figures(**found, looked=looked)


def _summed(one: Mapping[K, int], other: Mapping[K, int]) -> dict[K, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in {**one, **other}}


def _extreme(choose: Callable[[Any, Any], Any], one: Any, other: Any) -> Any:
    if one is None or other is None:
        return other if one is None else one
    return choose(one, other)
