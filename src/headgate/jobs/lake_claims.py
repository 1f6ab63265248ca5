"""Claims read from the lake for a few ids: what a claim store for one process would say, without opening it.

Law: of a lake whose claim store is embedded, the accepted events are all the claims there are, while nobody else
works on it. So the lake itself can judge, and nothing has to be withdrawn where the judge is killed.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from operator import itemgetter

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headgate.claims.memory import MemoryClaimStore
from headgate.core.columns import one_array
from headgate.core.keys import keys_of
from headgate.ports import CommittedIds, Lake
from headgate.recover import claims_from_rows, latest

Halves = npt.NDArray[np.uint64]


class LakeClaims(MemoryClaimStore):
    """A store for one replay, under the ledger's generation."""

    def __init__(self, generation: str | None) -> None:
        """Begin empty."""
        super().__init__()
        self._generation = generation or self._generation


def key_heads(ids: pa.ChunkedArray) -> Halves:
    """The first half of each id's key: enough to leave nearly all other ids out."""
    return np.ascontiguousarray(keys_of(one_array(ids))).view(np.uint64)[:, 0]


def lake_claims(
    lake: Lake, generation: str | None, wanted: Halves, advance: Callable[[float], None] = lambda _: None
) -> LakeClaims:
    """Read the owners of some ids from all accepted events of the lake.

    Args:
        lake: whose ledger says what was accepted.
        generation: in force; the store bears its name.
        wanted: sorted heads of keys (`key_heads`).
        advance: is told the number of events as they are read.
    """
    claims = LakeClaims(generation)
    if not len(wanted):
        return claims
    for _, tables in groupby(lake.claims_since(0, None), key=itemgetter(0)):
        found = []
        for _, ids in tables:
            advance(ids.table.num_rows)
            is_wanted = np.isin(key_heads(ids.table["event_uuid"]), wanted)
            if is_wanted.any():
                found.append(claims_from_rows(CommittedIds(table=ids.table.filter(pa.array(is_wanted))), claims))
        if found:
            claims.load(latest(found))
    return claims
