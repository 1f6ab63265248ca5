"""One ledger entry, as it is written: what a commit decided, in JSON.

Format: `_headgate/ledger/<20-digit number>.json`, one object with the fields of `Entry`. Positions are
decimal text, because a Kinesis sequence number has 56 digits. Unknown fields are ignored, so that fields
can be added.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec

from headgate import __version__
from headgate.records import Counts, Receipt, Shard, ShardRange, StagedFile

LEDGER = "_headgate/ledger/"
PRIVACY = "privacy"  # in `writer`: identity of the [privacy] settings; absent where they were off

Kind = Literal["batch", "note", "replay"]


class Range(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one shard moved: `start` (absent: it had no position) to `end`, exclusive, and its counts.

    `is_island`, `islands_at`, `members` (base64): see records.ShardRange.
    """

    source: str
    shard: str
    end: str
    start: str | None = None
    counts: Counts = Counts()
    meta: dict[str, Any] = {}
    is_island: bool = False
    islands_at: int = 0
    members: bytes = b""


class Abandoned(msgspec.Struct, frozen=True, omit_defaults=True):
    """A shard from which nothing after `position` will ever be read again."""

    source: str
    shard: str
    position: str | None = None


class File(msgspec.Struct, frozen=True, omit_defaults=True):
    """A data file of the entry; see records.StagedFile. `target` is absent where it is the same as `path`.

    An erasure changes path, size and rows to those of what is left of the file, and counts the rows that it took away
    in `erased`: rows and erased are together what was committed. A file without rows may be gone.
    """

    table: str
    path: str
    size: int
    rows: int
    partition: dict[str, str] = {}
    target: str | None = None
    stats: dict[str, Any] = {}
    erased: int = 0

    @property
    def published(self) -> str:
        """Where the file lies once the entry is published."""
        return self.target or self.path


class Head(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """An entry without its files: all that folding the ledger needs."""

    number: int
    entry_id: str
    kind: Kind
    committed_us: int
    committed_at: str
    writer: dict[str, Any] = {}
    config: str = ""
    generation: str | None = None
    replaces: str | None = None  # of a note: the generation that was in force when the new one was filled
    ranges: list[Range] = []
    counts: Counts = Counts()
    new_types: list[str] = []
    abandoned: list[Abandoned] = []
    warnings: dict[str, int] = {}
    settles: Counts = Counts()  # of a replay: the verdicts that it takes back
    replayed_at: int = 0  # of a replay: number of the replay before it
    judged_at: int = 0  # of a replay under the lease: the ledger's end at which it was judged

    @property
    def net(self) -> Counts:
        """What the entry adds to the lake's sums."""
        return self.counts - self.settles

    def receipt(self) -> Receipt:
        """The proof that this entry was committed."""
        return Receipt(
            number=self.number,
            entry_id=self.entry_id,
            ranges=[shard_range(r) for r in self.ranges],
            counts=self.counts,
            committed_us=self.committed_us,
        )


class Entry(Head, frozen=True, omit_defaults=True, kw_only=True):
    """A whole entry."""

    files: list[File] = []


def new_entry(
    entry_id: str, kind: Kind, now_us: int, *, writer: Mapping[str, str], config: str, **content: Any
) -> Entry:
    """An entry without a number, written by this process.

    Args:
        entry_id: the commit's own name.
        kind: of the entry.
        now_us: wall clock in microseconds since 1970 UTC.
        writer: said of it beside host, process and version.
        config: digest of the configuration.
        content: fields of `Entry`.
    """
    return Entry(
        number=0,
        entry_id=entry_id,
        kind=kind,
        committed_us=now_us,
        committed_at=(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=now_us)).isoformat(),
        writer={"host": socket.gethostname(), "pid": os.getpid(), "version": __version__, **writer},
        config=config,
        **content,
    )


def entry_path(number: int) -> str:
    """Where the entry of this number lies."""
    return f"{LEDGER}{number:020d}.json"


def encode(entry: msgspec.Struct) -> bytes:
    """The entry's bytes."""
    return msgspec.json.encode(entry) + b"\n"


def decode_head(content: bytes) -> Head:
    """Read an entry without building its list of files."""
    return _HEAD.decode(content)


def decode_entry(content: bytes) -> Entry:
    """Read a whole entry."""
    return _ENTRY.decode(content)


def ranges_of(ranges: Sequence[ShardRange], counts: Sequence[Counts]) -> list[Range]:
    """The entry's ranges from those of a batch."""
    return [
        Range(
            r.shard.source,
            r.shard.name,
            r.end,
            r.start,
            c,
            dict(r.meta),
            is_island=r.is_island,
            islands_at=r.islands_at,
            members=r.members,
        )
        for r, c in zip(ranges, counts, strict=True)
    ]


def shard_range(written: Range) -> ShardRange:
    """A batch's range from the entry's."""
    return ShardRange(
        shard=Shard(written.source, written.shard),
        start=written.start,
        end=written.end,
        meta=written.meta,
        is_island=written.is_island,
        islands_at=written.islands_at,
        members=written.members,
    )


def files_of(files: Sequence[StagedFile]) -> list[File]:
    """The entry's files from those of a staged batch."""
    return [
        File(
            f.table,
            f.path,
            f.size,
            f.rows,
            dict(f.partition),
            None if f.target == f.path else f.target,
            dict(f.stats),
        )
        for f in files
    ]


def abandoned_of(abandoned: Mapping[Shard, str | None]) -> list[Abandoned]:
    """The entry's abandoned shards."""
    return [Abandoned(shard.source, shard.name, position) for shard, position in abandoned.items()]


_HEAD = msgspec.json.Decoder(Head)
_ENTRY = msgspec.json.Decoder(Entry)
