"""The shards of a file source: those the ledger knows and those found since, and which of them a file is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from headgate.records import Shard, ShardState
from headgate.source.identity import Identity, identify, parse
from headgate.source.reader import Layout


@dataclass(slots=True, kw_only=True)
class FileShard:
    """One shard and how far it is read.

    Attributes:
        identity: path, head and copy: its name.
        arrived_us: when its records arrive, microseconds since 1970: the modification time when it was first seen,
            later that of an hour's growth.
        turn: the how-manieth shard of its path this is, from 1.
        position: the position; None where nothing was read.
        layout: how its records lie, once known.
        is_closed: its open claims were given up: it is never read again, under this name.
        begin: where to begin where there is no position (`--start latest`); kept for as long as the process
            lives.
        ended: how far of which content it was read when that content's end was reached, see `mark_end`.
    """

    identity: Identity
    arrived_us: int
    turn: int
    position: int | None = None
    layout: Layout | None = None
    is_closed: bool = False
    begin: int = 0
    ended: str | None = None

    @property
    def meta(self) -> dict[str, Any]:
        """What the ledger keeps of it."""
        return {
            "path": self.identity.path,
            "arrived_us": self.arrived_us,
            "turn": self.turn,
            "layout": self.layout,
            **({"ended": self.ended} if self.ended else {}),
        }

    def mark_end(self, content: str) -> None:
        """Its position is the end of this content: with both the same, nothing is there to be read.

        The position is part of the mark, because the ledger may keep the mark with a part of the range only.
        """
        self.ended = f"{self.position} {content}"


class KnownShards:
    """Shards by the path of their file."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._by_path: dict[str, list[FileShard]] = {}
        self._by_head: dict[tuple[int, str], str] = {}

    def __iter__(self) -> Iterator[FileShard]:
        """All shards."""
        return (shard for shards in self._by_path.values() for shard in shards)

    def resume(self, source: str, shards: Mapping[Shard, ShardState]) -> None:
        """Take positions from the ledger. Shards that it does not know are kept, with nothing read."""
        for shard in self:
            shard.position = None
        for (of_source, name), state in shards.items():
            identity = parse(name) if of_source == source else None
            if identity:
                self._enter(identity, state)
        for known in self._by_path.values():
            known.sort(key=lambda shard: shard.turn)

    def _enter(self, identity: Identity, state: ShardState) -> None:
        shards = self._by_path.setdefault(identity.path, [])
        shard = next((shard for shard in shards if shard.identity == identity), None)
        if shard is None:
            shard = FileShard(identity=identity, arrived_us=0, turn=len(shards) + 1)
            self._add(shard)
        shard.position = None if state.position is None else int(state.position)
        shard.arrived_us = int(state.meta.get("arrived_us", shard.arrived_us))
        shard.turn = int(state.meta.get("turn", shard.turn))
        shard.is_closed = state.closed
        shard.layout = cast("Layout | None", state.meta.get("layout"))
        shard.ended = state.meta.get("ended")

    def _add(self, shard: FileShard) -> None:
        self._by_path.setdefault(shard.identity.path, []).append(shard)
        self._by_head.setdefault((shard.identity.head_bytes, shard.identity.digest), shard.identity.path)

    def find(self, path: str, head: bytes, size: int | None) -> FileShard | None:
        """The shard that the file at `path` is.

        Args:
            path: relative to the source.
            head: the file's first bytes.
            size: its size; None where it is compressed, so that size and position do not compare.

        Returns:
            The youngest shard of this path that begins alike, was not read further than the file goes, and was
            not given up.
        """
        for shard in reversed(self._by_path.get(path, [])):
            if shard.identity.is_head_of(head):
                is_shorter = size is not None and shard.position is not None and size < shard.position
                return None if is_shorter or shard.is_closed else shard
        return None

    def ended(self, path: str, content: str) -> FileShard | None:
        """The shard that was read to the end of this very content, and to nothing beyond."""
        shard = next(reversed(self._by_path.get(path, [])), None)
        return shard if shard and not shard.is_closed and shard.ended == f"{shard.position} {content}" else None

    def found(self, path: str, head: bytes, modified_us: int) -> tuple[FileShard, str | None]:
        """Enter a file that no known shard is.

        Returns:
            Its new shard, and a sentence where an operator should hear of it.
        """
        identity = identify(path, head)
        others = self._by_path.get(path, [])
        twins = [s.identity.copy for s in others if s.identity[:3] == identity[:3]]
        identity = identity._replace(copy=max(twins, default=0) + 1)
        twin = self._by_head.get((identity.head_bytes, identity.digest))
        notice = None
        if others:
            if others[-1].is_closed:
                change = "came back after it was given up"
            elif others[-1].identity.is_head_of(head):
                change = "became shorter"
            else:
                change = "begins otherwise than before"
            notice = f"{path} {change}: it is read from its start as a new shard"
        elif twin is not None:
            notice = f"{path} begins as {twin} did: if it was moved, within the window its events are duplicates"
        shard = FileShard(identity=identity, arrived_us=modified_us, turn=len(others) + 1)
        self._add(shard)
        return shard, notice
