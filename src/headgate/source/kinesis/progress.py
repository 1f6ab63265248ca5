"""How far each shard of a stream is: as the ledger has it, as it was handed over, and who may be read next. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from headgate.records import Receipt, Shard, ShardRange, ShardState
from headgate.source.kinesis.lineage import Lineage, ShardInfo
from headgate.source.kinesis.positions import Place, StreamIdentity, meta_of, place_of

SEEN_EVERY_US = 1_800_000_000  # microseconds between two commits of the time up to which a shard was seen empty


class Progress:
    """The shards of one stream between two calls of `resume`. Not safe to use from several threads.

    Attributes:
        lineage: the shards that are known.
        committed: as the ledger has them.
        given: as they were handed over.
        begun: names of the shards that are or were read.
    """

    def __init__(self, source: str, stream: StreamIdentity, states: Mapping[str, ShardState]) -> None:
        """Begin at the ledger's end; `states` are those of this source by the shard's name."""
        self._source, self._stream = source, stream
        self.lineage = Lineage()
        self.committed = {name: place_of(state) for name, state in states.items()}
        self.given = dict(self.committed)
        self.begun: set[str] = set()

    def is_done(self, name: str) -> bool:
        """True where the end of a shard is committed."""
        place = self.committed.get(name)
        return place is not None and place.is_end

    def vanished(self) -> list[str]:
        """Shards that the ledger began and the stream lists no more, though they were not read to their end."""
        begun = {name: place for name, place in self.committed.items() if place.position is not None}
        return [name for name, place in begun.items() if not place.is_end and name not in self.lineage.shards]

    def childless(self) -> list[str]:
        """Shards that ended and whose children are not known yet."""
        return [name for name in self.begun if self.is_done(name) and self.lineage.is_childless(name)]

    def startable(self) -> list[tuple[ShardInfo, Place]]:
        """Shards whose reading begins now, and where: none before a time that was handed over is committed."""
        if any(name not in self.begun and name not in self.committed for name in self.given):
            return []
        found = []
        for info in self.lineage.ready(self.is_done):
            if info.name not in self.begun:
                self.begun.add(info.name)
                place = self.committed.get(info.name, Place())
                found.append((info, replace(place, seen_us=self._seen_us(info))))
        return found

    def is_drained(self) -> bool:
        """True where nothing that was handed over is waited for: no time to begin at, no end that has children."""
        uncommitted = {name: place for name, place in self.given.items() if not self.is_done(name)}
        return all(
            self.lineage.is_childless(name) if place.is_end else name in self.begun
            for name, place in uncommitted.items()
        )

    def is_news(self, name: str, place: Place, *, is_at_tip: bool) -> bool:
        """True where the ledger shall know that nothing was there, though no record moved the shard."""
        given = self.given.get(name)
        if given is None or given.seen_us is None:
            return is_at_tip
        return (place.seen_us or 0) - given.seen_us >= SEEN_EVERY_US

    def give(self, info: ShardInfo, place: Place) -> ShardRange:
        """The range that ends at a place and starts where the shard's last one ended."""
        before = self.given.get(info.name)
        self.given[info.name] = place
        return ShardRange(
            shard=Shard(self._source, info.name),
            start=None if before is None or before.position is None else str(before.position),
            end=str(place.position),
            meta=meta_of(place, info, self._stream),
            islands_at=place.islands_at,
        )

    def born(self, parent: ShardInfo) -> list[tuple[ShardInfo, Place]]:
        """Children of a shard that ended which the ledger does not know yet; nothing is read of them."""
        found = []
        for child in self.lineage.shards.values():
            if parent.name in child.parents and child.name not in self.given:
                seen = _least(place.seen_us if (place := self.given.get(p)) else None for p in child.parents)
                found.append((child, Place(position=int(child.start), seen_us=seen)))
        return found

    def take_in(self, receipt: Receipt) -> None:
        """Ranges are committed. A receipt that comes again, or late, changes nothing."""
        for part in receipt.ranges:
            if part.shard.source != self._source or part.shard.name not in self.given:
                continue
            place = place_of(ShardState(position=part.end, meta=part.meta))
            known = self.committed.get(part.shard.name, Place())
            if not known.is_end and (place.position or 0) >= (known.position or 0):
                self.committed[part.shard.name] = place

    def horizon_us(self) -> int | None:
        """Everything that arrived before this is committed; None: cannot tell."""
        waiting = self.lineage.ready(self.is_done)  # younger shards wait for these
        seen = [self._seen_us(info) for info in waiting]
        return _least([*seen, *(self.committed[name].seen_us for name in self.childless())])

    def _seen_us(self, info: ShardInfo) -> int | None:
        """Up to when the ledger has everything of a shard; of a child what its parents say."""
        place = self.committed.get(info.name)
        if place is not None:
            return place.seen_us
        return _least(self.committed[p].seen_us if p in self.committed else None for p in info.parents)


def _least(times: Iterable[int | None]) -> int | None:
    """The least of some times; None where one of them is not known, or there is none."""
    known = list(times)
    present = [us for us in known if us is not None]
    return min(present) if present and len(present) == len(known) else None
