"""Which shard came from which: parents before children, through splits and merges. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardInfo:
    """A shard as the stream lists it.

    Attributes:
        name: its id.
        parents: the shards that it was split or merged from; none for the first ones.
        start: its StartingSequenceNumber, "0" where it is not known; no record lies below it.
        hash_range: first and last hash key, decimal texts.
    """

    name: str
    parents: tuple[str, ...] = ()
    start: str = "0"
    hash_range: tuple[str, str] = ("0", "0")


class Lineage:
    """The shards that are known, as the stream lists them and as parents named their children."""

    def __init__(self, shards: Iterable[ShardInfo] = ()) -> None:
        """Begin with what the stream lists."""
        self._shards: dict[str, ShardInfo] = {}
        self.learn(shards)

    @property
    def shards(self) -> Mapping[str, ShardInfo]:
        """All that are known, by name."""
        return self._shards

    def learn(self, shards: Iterable[ShardInfo]) -> None:
        """Take in what is new; what is listed in full counts over what only a parent named."""
        for info in shards:
            known = self._shards.get(info.name)
            if known is None or known.start == "0":
                self._shards[info.name] = info

    def ready(self, is_done: Callable[[str], bool]) -> list[ShardInfo]:
        """Shards that may be read: not done themselves, and each parent done or known to nobody any more."""
        return [
            info
            for name, info in self._shards.items()
            if not is_done(name) and all(is_done(p) for p in info.parents if p in self._shards)
        ]

    def is_childless(self, name: str) -> bool:
        """True where no shard is known that came from this one."""
        return not any(name in info.parents for info in self._shards.values())
