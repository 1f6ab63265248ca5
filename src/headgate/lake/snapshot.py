"""The folded state of the ledger as it is written, so that opening reads only what came after it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from headgate.lake.entry import Abandoned, Range, abandoned_of
from headgate.ports import LedgerState
from headgate.records import Counts, Island, Shard, ShardState


class _Islands(msgspec.Struct, frozen=True):
    """The islands of one shard, with sequences as decimal text: start, end, committed_us, number of the entry."""

    source: str
    shard: str
    at: int
    meta: dict[str, Any]
    islands: list[tuple[str, str, int, int]]


class Snapshot(msgspec.Struct, kw_only=True):
    """The folded state as it is written."""

    number: int
    ranges: list[Range]
    islands: list[_Islands] = []
    closed: list[Abandoned]
    event_types: list[str]
    generation: str | None
    abandoned: list[Abandoned]
    counts: Counts
    settled: Counts = Counts()
    replayed_at: int = 0
    committed_us: int
    writer: dict[str, Any]


def snapshot_of(state: LedgerState) -> Snapshot:
    """The state as it is written."""
    return Snapshot(
        number=state.number,
        ranges=[
            Range(shard.source, shard.name, known.position, meta=dict(known.meta))
            for shard, known in state.shards.items()
            if known.position is not None
        ],
        islands=[
            _Islands(
                shard.source,
                shard.name,
                known.islands_at,
                dict(known.meta),
                [(str(i.start), str(i.end), i.committed_us, i.number) for i in known.islands],
            )
            for shard, known in state.shards.items()
            if known.islands_at
        ],
        closed=abandoned_of({shard: known.position for shard, known in state.shards.items() if known.closed}),
        event_types=list(state.event_types),
        generation=state.generation,
        abandoned=abandoned_of(state.abandoned),
        counts=state.counts,
        settled=state.settled,
        replayed_at=state.replayed_at,
        committed_us=state.committed_us,
        writer=dict(state.writer),
    )


def restored(snapshot: Snapshot) -> LedgerState:
    """The state that was written."""
    shards = {Shard(r.source, r.shard): ShardState(position=r.end, meta=r.meta) for r in snapshot.ranges}
    for kept in snapshot.islands:
        shard = Shard(kept.source, kept.shard)
        islands = tuple(Island(int(start), int(end), us, number) for start, end, us, number in kept.islands)
        known = shards.get(shard, ShardState(meta=kept.meta))
        shards[shard] = replace(known, islands=islands, islands_at=kept.at)
    for left in snapshot.closed:
        shard = Shard(left.source, left.shard)
        shards[shard] = replace(shards.get(shard, ShardState()), closed=True)
    return LedgerState(
        number=snapshot.number,
        shards=shards,
        event_types=snapshot.event_types,
        generation=snapshot.generation,
        abandoned={Shard(a.source, a.shard): a.position for a in snapshot.abandoned},
        counts=snapshot.counts,
        settled=snapshot.settled,
        replayed_at=snapshot.replayed_at,
        committed_us=snapshot.committed_us,
        writer=snapshot.writer,
    )
