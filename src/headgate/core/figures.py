"""The rows of `quality` added up by event type, for whoever judges or shows them. Pure, columnar."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.columns import encode, one_array
from headgate.core.missing import COMMON, UNREADABLE

#: What `figures_of` needs of QUALITY.
COLUMNS = (
    "event_type", "received", "accepted", "duplicates", "conflicts", "rejected", "reasons", "arrived_max", "missing",
    "created_to_arrived", "created_to_arrived_max",
)  # fmt: skip
_NUMBERS = ("received", "accepted", "duplicates", "conflicts", "rejected")
_UNREADABLE = pa.array([str(reason) for reason in UNREADABLE])

Rows = npt.NDArray[np.int64]
K = TypeVar("K")
N = TypeVar("N", int, float)


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

    def __add__(self, other: Figures) -> Figures:
        """Both together."""
        return Figures(
            **{name: getattr(self, name) + getattr(other, name) for name in _NUMBERS},
            missing=_summed(self.missing, other.missing),
            looked=_summed(self.looked, other.looked),
            latency=_summed(self.latency, other.latency),
            latency_max=_latest(self.latency_max, other.latency_max),
            arrived_us=_latest(self.arrived_us, other.arrived_us),
        )


ByType = dict[str | None, Figures]


def figures_of(blocks: Iterable[pa.Table]) -> ByType:
    """Add up rows by event type.

    Args:
        blocks: COLUMNS of QUALITY; memory holds one block.

    Returns:
        Figures by type; None is the type of what no type could be read of.
    """
    found: ByType = {}
    for block in blocks:
        for name, figures in _of_block(block).items():
            found[name] = found[name] + figures if name in found else figures
    return found


def total(by_type: ByType) -> Figures:
    """All types together."""
    return sum(by_type.values(), Figures())


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


def _of_block(block: pa.Table) -> ByType:
    encoded = encode(block["event_type"])
    code, names = np.asarray(encoded.indices).astype(np.int64), encoded.dictionary.to_pylist()
    sums = {name: _numbers(block[name]) for name in _NUMBERS}
    missing, looked = _missing(block, code, sums["accepted"] + sums["duplicates"])
    latency: list[dict[float, int]] = [{} for _ in names]
    rows, bounds, counts = _exploded(block["created_to_arrived"])
    for group, bound, count in _grouped(code[rows], bounds, counts):
        latency[group][bound] = count
    longest = _greatest(pc.fill_null(block["created_to_arrived_max"], -1.0), code, len(names))
    arrived = pc.if_else(pc.greater(block["accepted"], 0), block["arrived_max"].cast(pa.int64()), None)
    latest = _greatest(pc.fill_null(arrived, -1), code, len(names))
    by_type = {name: np.bincount(code, weights=sums[name], minlength=len(names)).astype(np.int64) for name in _NUMBERS}
    return {
        name: Figures(
            **{column: int(values[i]) for column, values in by_type.items()},
            missing=missing[i],
            looked=looked[i],
            latency=latency[i],
            latency_max=None if longest[i] < 0 else float(longest[i]),
            arrived_us=None if latest[i] < 0 else int(latest[i]),
        )
        for i, name in enumerate(names)
    }


def _missing(block: pa.Table, code: Rows, events: Rows) -> tuple[list[dict[str, int]], list[dict[str, int]]]:
    """By type and field the parts without it, and the parts that were looked at."""
    size = int(code.max(initial=-1)) + 1
    missing: list[dict[str, int]] = [{} for _ in range(size)]
    looked: list[dict[str, int]] = [{} for _ in range(size)]
    rows, fields, counts = _exploded(block["missing"])
    for group, name, count in _grouped(code[rows], fields, counts):
        missing[group][name] = count
    for group, name, count in _grouped(code[rows], fields, events[rows]):
        if name not in COMMON:
            looked[group][name] = count
    at, reasons, rejects = _exploded(block["reasons"])
    # Accepted, duplicates and the rejects that could be read: the common fields were looked for in all of them.
    is_counted = np.asarray(pc.is_valid(block["missing"]))
    is_read = is_counted[at] & ~np.asarray(pc.is_in(reasons, value_set=_UNREADABLE))
    known = np.where(is_counted, events, 0)
    np.add.at(known, at[is_read], rejects[is_read])
    for group, count in enumerate(np.bincount(code, weights=known, minlength=size).astype(np.int64).tolist()):
        looked[group] |= dict.fromkeys(COMMON, count) if count else {}
    return missing, looked


def _exploded(column: pa.ChunkedArray) -> tuple[Rows, pa.Array, Rows]:
    """The entries of a column of maps: the row of each, its key, its count."""
    maps = one_array(column)
    offsets = np.asarray(maps.offsets)
    start, length = int(offsets[0]), int(offsets[-1] - offsets[0])
    rows = np.repeat(np.arange(len(maps)), np.diff(offsets))
    return rows, maps.keys.slice(start, length), np.asarray(maps.items.slice(start, length)).astype(np.int64)


def _grouped(group: Rows, keys: pa.Array, counts: Rows) -> list[tuple[int, Any, int]]:
    """Sums by group and key."""
    table = pa.table({"group": group, "key": keys, "count": counts})
    summed = table.group_by(["group", "key"]).aggregate([("count", "sum")])
    columns = (summed[name].to_pylist() for name in ("group", "key", "count_sum"))
    return list(zip(*columns, strict=True))


def _numbers(column: pa.ChunkedArray) -> Rows:
    return np.asarray(pc.fill_null(column, 0)).astype(np.int64)


def _greatest(column: pa.ChunkedArray, code: Rows, size: int) -> npt.NDArray[np.float64] | Rows:
    values = np.asarray(column)
    found = np.full(size, -1, dtype=values.dtype)
    np.maximum.at(found, code, values)
    return found


def _summed(one: Mapping[K, int], other: Mapping[K, int]) -> dict[K, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in {**one, **other}}


def _latest(one: N | None, other: N | None) -> N | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)
