"""Before the first claim: the claim store and the ledger brought in step.

Law: when `bring_in_step` returns, the store holds a claim for every accepted event of the ledger whose window is
still open, an embedded store holds no other claims, and the ledger names the store's generation. Only then may the
store answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.columns import one_array
from headgate.core.dedup import first_copies, rows_of
from headgate.core.enrich import parse_positions
from headgate.core.erased_ids import ErasedIds
from headgate.core.keys import fingerprints, keys_of
from headgate.ports import ClaimStore, CommittedIds, Lake, LedgerState, Source, Telemetry
from headgate.records import OWNER, Claims, Shard
from headgate.telemetry.facts import ClaimsRebuilt


def bring_in_step(claims: ClaimStore, lake: Lake, state: LedgerState, telemetry: Telemetry) -> LedgerState:
    """Fill the store with what it misses, withdraw what never was committed, enter a new generation.

    Args:
        claims: the store; under the lake's lease where it is embedded.
        lake: whose ledger decides.
        state: the ledger's end.
        telemetry: told of rebuilds.

    Returns:
        The ledger's end, after an entry for a new generation if there was need of one.
    """
    seen = claims.seen  # asked first: a ledger that is read later holds all that was seen
    if not _is_in_step(claims, seen, state):
        state = lake.refresh()  # others may have written since
        if not _is_in_step(claims, seen, state):
            # It lost its data, another store was used since, or the lake is an older copy: what this one holds may
            # never have happened, or stand under shard numbers of an earlier generation.
            claims.renew()
    generation = claims.generation  # the one that is filled: where it is lost meanwhile, no batch will bear it
    is_new = generation != state.generation
    start = 0 if is_new else claims.seen
    loaded = _load(claims, lake, start, state.number)
    positions = {shard: s.position for shard, s in state.shards.items()}
    withdrawn = claims.withdraw(positions)
    if is_new:
        filled = state.number
        noted = lake.note(generation=generation, replaces=state.generation)
        state = lake.refresh()
        loaded += _load(claims, lake, filled, noted - 1)  # others could commit under the earlier one until then
        positions = {shard: s.position for shard, s in state.shards.items()}
    claims.mark_seen(state.number, positions)
    claims.sync()
    if loaded or withdrawn:
        telemetry.emit(ClaimsRebuilt(claims=loaded, from_number=start, to_number=state.number, withdrawn=withdrawn))
    return state


def _is_in_step(claims: ClaimStore, seen: int, state: LedgerState) -> bool:
    """True where the store holds nothing that the ledger does not know of."""
    return seen <= state.number and state.generation in (None, claims.generation)


def _load(claims: ClaimStore, lake: Lake, after: int, up_to: int) -> int:
    """Fill what is missing; returns how many claims."""
    return sum(load_claims(claims, lake, after)) if after < up_to else 0


def erased_ids(lake: Lake, claims: ClaimStore) -> ErasedIds | None:
    """What knows the copies of erased events, whose claims no lake gives back; None where there are none.

    Order matters: it is read after the store was brought in step. An event is recorded before it is taken out of its
    table, so that it is found in the one or in the other.

    Raises:
        TransientError: the lake did not answer.
        PermanentError: what is recorded cannot be read.
    """
    erased = lake.erased()
    return None if erased is None else ErasedIds(erased, claims.shard_number)


def load_claims(claims: ClaimStore, lake: Lake, after: int) -> Iterator[int]:
    """Enter the owners of all accepted events after a ledger number; gives the number of claims as it goes."""
    for _, tables in groupby(lake.claims_since(after, None), key=itemgetter(0)):
        entered = latest([claims_from_rows(ids, claims) for _, ids in tables])
        claims.load(entered)
        yield len(entered)


def latest(parts: Sequence[Claims]) -> Claims:
    """Once an id, for the owner that arrived last: the one that took over when the window had passed.

    The files of an entry lie by partition, so that the order of their rows says nothing.
    """
    keys = np.concatenate([part.keys for part in parts])
    owners = np.concatenate([part.owners for part in parts], dtype=OWNER)  # else in native byte order
    order = np.argsort(-owners["arrived"].astype(np.int64), kind="stable")
    rows = np.sort(order[np.unique(first_copies(keys[order]))])
    return Claims(keys=keys[rows], owners=rows_of(owners, rows))


def claims_from_rows(ids: CommittedIds, claims: ClaimStore) -> Claims:
    """The claims that rows of `events` stand for, row by row."""
    table = ids.table
    if not table.num_rows:
        return Claims(keys=np.zeros((0, 16), dtype=np.uint8), owners=np.zeros(0, dtype=OWNER))
    table = table.combine_chunks()
    owners = np.zeros(table.num_rows, dtype=OWNER)
    owners["shard"] = _shard_numbers(table, claims)
    sequences, subs = parse_positions(table["sequence"])
    owners["sequence"] = sequences
    owners["sub"] = subs
    owners["arrived"] = np.asarray(table["arrived_at"].cast(pa.int64()))
    owners["fingerprint"] = fingerprints(one_array(table["payload"]))
    return Claims(keys=keys_of(one_array(table["event_uuid"])), owners=owners)


def _shard_numbers(table: pa.Table, claims: ClaimStore) -> npt.NDArray[np.uint32]:
    names = pc.binary_join_element_wise(table["source"].cast(pa.string()), table["shard"].cast(pa.string()), "\x00")
    encoded = one_array(names).dictionary_encode()
    numbers = []
    for name in encoded.dictionary.to_pylist():
        source, shard = name.split("\x00")
        numbers.append(claims.shard_number(Shard(source, shard)))
    by_code: npt.NDArray[np.uint32] = np.array(numbers, dtype=np.uint32)
    return by_code.take(np.asarray(encoded.indices))


def abandoned_shards(source: Source, lake: Lake, state: LedgerState) -> LedgerState:
    """Note the shards of this source from which nothing will come any more, so that their open claims are free."""
    known: dict[Shard, str | None] = {}
    mine = {shard: s for shard, s in state.shards.items() if shard.source == source.name}
    for shard in source.abandoned(mine):
        if shard not in state.abandoned:
            known[shard] = mine[shard].position
    if not known:
        return state
    lake.note(abandoned=known)
    return lake.refresh()
