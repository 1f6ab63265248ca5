"""Counts by group and name as Arrow maps. Pure, columnar."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.columns import encode


def map_of(
    counts: npt.NDArray[np.int64],
    names: pa.Array | Sequence[str] | Sequence[float],
    kept: npt.NDArray[np.bool_] | None = None,
) -> pa.MapArray:
    """One map a group, name to count, without those that are 0.

    Args:
        counts: (groups, names).
        names: text or double; the keys stand in this order.
        kept: (groups, names) counts that are entered though they are 0.

    Returns:
        (groups) map<string or double, int64>.
    """
    is_there = counts != 0 if kept is None else (counts != 0) | kept
    row, column = np.nonzero(is_there)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(counts)))]).astype(np.int32)
    keys = names if isinstance(names, pa.Array) else pa.array(names)
    return pa.MapArray.from_arrays(pa.array(offsets), keys.take(pa.array(column)), pa.array(counts[row, column]))


def counted(group: npt.NDArray[np.int64], texts: pa.ChunkedArray | pa.Array, size: int) -> pa.MapArray:
    """Count texts by group, the names in their order.

    Args:
        group: (n,) which group each belongs to, below `size`.
        texts: (n) string.
        size: number of groups.

    Returns:
        (size) map<string, int64>.
    """
    encoded = encode(texts)
    names = np.array(encoded.dictionary.to_pylist(), dtype=object)
    order = np.argsort(names, kind="stable")
    place = np.argsort(order)
    width = len(names)
    at = place[np.asarray(encoded.indices)] if width else np.zeros(0, np.int64)
    counts = np.bincount(group * width + at, minlength=size * width).reshape(size, width)
    return map_of(counts, pa.array(names[order].tolist(), pa.string()))


def negative(maps: pa.MapArray) -> pa.MapArray:
    """The same maps with every count taken back."""
    return pa.MapArray.from_arrays(maps.offsets, maps.keys, pc.negate(maps.items))
