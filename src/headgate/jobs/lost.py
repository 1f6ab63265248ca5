"""Claims of records that never became events, taken over for the duplicates that point at them.

Law: a claim is taken over only where its record was decided, or never will be: it lies below its shard's committed
position, or its shard is closed. Of a shard that the ledger has never heard of, nothing is known; after a day it is
closed by a note, which refuses whatever may still come of it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from headgate.core.dedup import first_copies, is_same_position, rows_of
from headgate.core.enrich import position_texts
from headgate.core.erased_ids import ErasedIds
from headgate.decision import Parts, claims_of
from headgate.jobs.old_rows import OldBatch
from headgate.ports import ClaimStore, Lake, LedgerState
from headgate.records import SEQUENCE_BYTES, Claims, Shard

GIVEN_UP_US = 86_400_000_000  # microseconds after a duplicate arrived; a shard that lives commits sooner


def take_over_lost(
    claims: ClaimStore,
    lake: Lake,
    parts: Parts,
    batch: OldBatch,
    origin: npt.NDArray[np.int64],
    erased: ErasedIds | None,
    *,
    window_us: int,
    now_us: int,
) -> npt.NDArray[np.bool_]:
    """Claim the ids of orphans for themselves where their originals are lost.

    Args:
        claims: the shared store.
        lake: whose ledger says what was decided.
        parts: the orphans, prepared.
        batch: as they stand in `duplicates`.
        origin: (parts,) the row of each part.
        erased: knows the copies of erased events: these are claimed for nobody; None where there are none.
        window_us: window of de-duplication in microseconds.
        now_us: wall clock; decides only whether an unknown shard is closed.

    Returns:
        (parts,) True where the owner may still become an event: these are to be left alone.
    """
    numbers = {i: claims.shard_number(r.shard) for i, r in enumerate(parts.ranges)}
    events = np.flatnonzero(np.asarray(pc.is_null(parts.table["reason"])))
    waits = np.zeros(parts.table.num_rows, dtype=np.bool_)
    if not len(events):
        return waits
    mine = claims_of(parts.table, events, numbers)
    copies = None if erased is None else erased.copies(mine, window_us)
    if copies is not None:
        events = np.delete(events, copies.rows)
        if not len(events):
            return waits
        mine = claims_of(parts.table, events, numbers)
    first = first_copies(mine.keys)
    asked = np.flatnonzero(first == np.arange(len(first)))
    wanted = Claims(keys=mine.keys[asked], owners=rows_of(mine.owners, asked))
    found = claims.claim(wanted, window_us)
    others = np.flatnonzero(~is_same_position(wanted.owners, found))
    is_waiting = np.zeros(len(first), dtype=np.bool_)
    state, lost = lake.refresh(), []
    for i in others.tolist():
        row = int(origin[events[asked[i]]])
        owner = found[i : i + 1]
        shard = claims.shard_of(int(owner["shard"][0]))
        sequences = np.ascontiguousarray(owner["sequence"]).view(np.uint8).reshape(-1, SEQUENCE_BYTES)
        text = position_texts(sequences, owner["sub"].astype(np.int32))[0].as_py()
        if (shard.name, text) != tuple(batch.names[n][row].as_py() for n in ("original_shard", "original_sequence")):
            continue  # somebody else owns it by now: this one is his duplicate
        if shard not in state.shards and now_us - int(mine.owners["arrived"][asked[i]]) > GIVEN_UP_US:
            lake.note(abandoned={shard: None})
            state = lake.refresh()
        if _never_comes(state, shard, int(text.partition("#")[0])):
            lost.append(i)
        else:
            is_waiting[asked[i]] = True
    rows = np.array(lost, dtype=np.int64)
    if len(rows):
        claims.take_over(Claims(keys=wanted.keys[rows], owners=rows_of(wanted.owners, rows)), rows_of(found, rows))
    waits[events] = is_waiting[first]
    return waits


def _never_comes(state: LedgerState, shard: Shard, sequence: int) -> bool:
    known = state.shards.get(shard)
    if known is None:
        return False
    is_below = known.position is not None and sequence < int(known.position)
    return known.closed or is_below or any(i.start <= sequence < i.end for i in known.islands)
