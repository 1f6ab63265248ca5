"""How far behind each shard was, from the rows of `quality`, which know a shard by its name alone. Pure, columnar."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.columns import one_array


class Lag(NamedTuple):
    """How far behind a shard was when it last committed: seconds, and when that was."""

    seconds: float
    staged_us: int


def add_lags(lags: dict[str, Lag], block: pa.Table, staged: npt.NDArray[np.int64]) -> None:
    """Keep of each shard the lag that was staged last.

    Args:
        lags: by the name of the shard; they are changed.
        block: `shard_lag` of QUALITY (n).
        staged: (n,) when each row was staged, microseconds since 1970.
    """
    rows = np.flatnonzero(np.asarray(pc.is_valid(block["shard_lag"])))
    if not len(rows):
        return
    maps = one_array(block["shard_lag"].take(pa.array(rows)))
    when = np.repeat(staged[rows], np.diff(np.asarray(maps.offsets)))
    start = int(maps.offsets[0].as_py())
    names = maps.keys.slice(start, len(when)).dictionary_encode()
    behind, codes = np.asarray(maps.items.slice(start, len(when))), np.asarray(names.indices)
    order = np.argsort(when, kind="stable")
    newest = dict(zip(codes[order].tolist(), order.tolist(), strict=True))
    for code, name in enumerate(names.dictionary.to_pylist()):
        found = Lag(float(behind[newest[code]]), int(when[newest[code]]))
        if name not in lags or lags[name].staged_us <= found.staged_us:
            lags[name] = found


def told_lags(lags: Mapping[str, Lag], shards: Iterable[str]) -> dict[str, Lag]:
    """Those of them that say of which shard they are.

    Args:
        lags: by the name of the shard.
        shards: the names of all shards of all sources; the lag of a name that is there twice may be of either.
    """
    counted = Counter(shards)
    return {name: lag for name, lag in lags.items() if counted[name] <= 1}
