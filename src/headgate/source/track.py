"""One file of a source while it is followed: opened when there is something to read, closed when not."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from headgate.core.limits import Limits
from headgate.records import Shard, ShardRange
from headgate.source.identity import HEAD_BYTES
from headgate.source.inflate import PlainStream, open_stream
from headgate.source.known import FileShard, KnownShards
from headgate.source.place import Files, Listed, Opened, is_document_file
from headgate.source.reader import BLOCK_BYTES, Reader, Stamp

ARRIVAL_STEP_US = 3_600_000_000  # microseconds; a growing file's later records get a later arrival, hour by hour


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Records of one file and the range that they cover."""

    table: pa.Table
    range: ShardRange


class Track:
    """A listed file and how far it is read.

    `changed` is when (monotonic seconds) the file was last seen to change; `is_skipped` asks to move to the
    file's end without its records; `may_finish` allows to take a last line without its newline for a record.
    """

    def __init__(self, files: Files, listed: Listed, changed: float, *, is_followed: bool) -> None:
        """Nothing is opened yet. Where the file is not followed, its end is the end."""
        self.listed = listed
        self._files = files
        self.changed = changed
        self._is_followed = is_followed
        self.is_skipped = False
        self.may_finish = False
        self.is_held = False
        self.shard: FileShard | None = None
        self._file: Opened | None = None
        self._reader: Reader | None = None
        self._is_plain = True

    @property
    def is_open(self) -> bool:
        """True while the file is held open."""
        return self._file is not None

    @property
    def is_begun(self) -> bool:
        """True where something of the file was read."""
        return self.shard is not None and self.shard.position is not None

    @property
    def arrived_us(self) -> int:
        """When its records arrived: the file's modification time when it was first seen."""
        return self.shard.arrived_us if self.shard else self.listed.modified_us

    @property
    def at_end(self) -> bool:
        """True where the last read came to the end of the file."""
        return self._reader is None or self._reader.at_end

    @property
    def can_rotate(self) -> bool:
        """True where closing the file costs nothing, because it can be read on from any offset."""
        return self._is_plain

    @property
    def unread_bytes(self) -> int:
        """Bytes of the file not read yet; of a compressed one all of them until its end is reached."""
        if self.shard is None or self.shard.position is None:
            return self.listed.size
        if self._is_plain:
            return max(0, self.listed.size - self.shard.position)
        return 0 if self.at_end else self.listed.size

    def change(self, listed: Listed, now: float) -> None:
        """The listing shows another size, time or version."""
        if listed.version != self.listed.version or listed.size < self.listed.size:
            self.close()
        self.listed = listed
        self.changed = now

    def read(
        self, known: KnownShards, source: str, number: int, room: int, limits: Limits, notices: list[str]
    ) -> Cut | None:
        """Read about `room` bytes.

        Args:
            known: the source's shards; a new file is entered.
            source: the source's name.
            number: index of the range among the batch's.
            room: bytes.
            limits: see Reader.
            notices: sentences for the operator are added here.

        Returns:
            Records and range; None where the position did not move.

        Raises:
            FileNotFoundError: the file is gone.
            ReplacedError: another one has taken its place.
            OSError: it cannot be read.
            TransientError: the same, said in a sentence.
        """
        reader, shard = self._open(known, limits, notices)
        if reader is None or shard is None:
            return None
        start, before = shard.position, reader.position
        if self.listed.modified_us >= shard.arrived_us + ARRIVAL_STEP_US:
            # A log that grows for days: what is new in it did not arrive when its first line did.
            shard.arrived_us = self.listed.modified_us
        stamp = Stamp(number, shard.arrived_us)
        ask = min(room, BLOCK_BYTES)
        if self._is_plain and before < self.listed.size:
            ask = min(ask, self.listed.size - before + 1)
        table = reader.read(stamp, ask, is_last=not self._is_followed)
        if self.may_finish and reader.at_end and reader.is_held and reader.may_end:
            table = pa.concat_tables([table, reader.read(stamp, 1, is_last=True)])
        self.is_held = reader.is_held and not self.may_finish
        if reader.ended_early:
            notices.append(f"{self.listed.path}: {reader.ended_early}, between two records; what was whole is read")
            reader.ended_early = None
        shard.layout = reader.layout
        if self.is_skipped:
            table = table.slice(0, 0)
            shard.begin = reader.position
            self.is_skipped = not reader.at_end
        if reader.position == (start or 0):
            return None
        shard.position = reader.position
        if reader.at_end and self._file and self._file.content:
            shard.mark_end(self._file.content)
        return Cut(table=table, range=self._range(source, shard, start))

    @staticmethod
    def _range(source: str, shard: FileShard, start: int | None) -> ShardRange:
        return ShardRange(
            shard=Shard(source, shard.identity.name),
            start=None if start is None else str(start),
            end=str(shard.position),
            meta=shard.meta,
        )

    def _open(self, known: KnownShards, limits: Limits, notices: list[str]) -> tuple[Reader | None, FileShard | None]:
        if self._reader and self.shard:
            return self._reader, self.shard
        file = self._file = self._files.open(self.listed, BLOCK_BYTES)
        head = head_of(file)
        if not head:
            self.close()
            return None, None
        stream = open_stream(file, head, self.listed.name)
        self._is_plain = isinstance(stream, PlainStream)
        shard = known.find(self.listed.name, head, file.size if self._is_plain else None)
        if shard is None:
            shard, notice = known.found(self.listed.name, head, file.modified_us)
            notices.extend([notice] if notice else [])
        self.shard = shard
        position = shard.begin if shard.position is None else shard.position
        self.is_skipped = self.is_skipped and not position
        offset = file.seek(position if self._is_plain else 0)
        self._reader = Reader(
            stream,
            offset=offset,
            position=position,
            layout=shard.layout,
            is_document_file=is_document_file(self.listed.name),
            limits=limits,
        )
        return self._reader, shard

    def close(self) -> None:
        """Let go of the file; what was not whole is read again."""
        if self._file:
            self._file.close()
        self._file = self._reader = None


def head_of(file: Opened) -> bytes:
    """The first bytes of a file, that tell it from another."""
    head = b""
    while len(head) < HEAD_BYTES and (more := file.read(HEAD_BYTES - len(head))):
        head += more
    return head
