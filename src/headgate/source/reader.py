"""One byte stream read as records: lines, documents or the elements of an array, from a position on."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headgate.core.documents import is_whole, split
from headgate.core.limits import Limits
from headgate.records import RECORDS
from headgate.source.inflate import BrokenStreamError, Stream
from headgate.source.lines import cut_lines, line_ends, oversized, positions, records
from headgate.source.oversize import Oversized

BLOCK_BYTES = 4 << 20  # bytes a read; large enough for columns to pay, small enough to stay in reach of the cache
BOM = b"\xef\xbb\xbf"

Layout = Literal["lines", "documents", "array"]


class Stamp(NamedTuple):
    """What every record of one read has in common: its number in `ranges`, and when it arrived."""

    shard: int
    arrived_us: int


class Reader:
    """Reads a stream as records. After each read, `position` is where the next record may start.

    What a record is depends on the bytes from its position on, not on how much a read took: the same position
    gives the same records. Memory: one block, and at most one record of `max_record_bytes` (lines) or
    `max_event_bytes` (documents) that is not whole yet; of a larger one the first `max_event_bytes + 1` bytes
    are kept and handed over with a fault, its position and end as they are.
    """

    def __init__(
        self,
        stream: Stream,
        *,
        offset: int,
        position: int,
        layout: Layout | None,
        is_document_file: bool,
        limits: Limits,
    ) -> None:
        """Read on.

        Args:
            stream: the bytes.
            offset: where `stream` stands; the bytes up to `position` are read and thrown away.
            position: where the first record may start.
            layout: how records lie, where that is known; found out from the first bytes otherwise.
            is_document_file: False where records are lines, whatever the first bytes say.
            limits: see above.
        """
        self.position = position
        self.layout: Layout | None = layout
        self.at_end = False
        self._stream = stream
        self._offset = offset
        self._is_document_file = is_document_file
        self._limits = limits
        self._carry: npt.NDArray[np.uint8] = np.empty(0, dtype=np.uint8)
        self._oversized: Oversized | None = None
        self.ended_early: str | None = None  # a sentence, where the stream ended between two records
        self._break: str | None = None
        self._is_early = False
        self._is_told = False

    @property
    def is_held(self) -> bool:
        """True where bytes wait that are no record yet."""
        return bool(len(self._carry)) or self._oversized is not None

    @property
    def may_end(self) -> bool:
        """True where what waits is whole JSON: it can be taken for a line that lacks its newline."""
        return self._oversized is None and not self._stream.fault_at_end() and is_whole(self._carry.tobytes())

    def read(self, stamp: Stamp, room: int = BLOCK_BYTES, *, is_last: bool = False) -> pa.Table:
        """Read about `room` bytes.

        Args:
            stamp: for the columns `shard` and `arrived_at`.
            room: bytes to read from the stream, beyond those that wait.
            is_last: True where the stream's end is the end: what waits then is a record, whole or not.

        Returns:
            RECORDS; no rows where there is nothing whole yet. `at_end` tells whether the stream gave all it
            had.
        """
        if self._is_told or not self._skip():
            self.at_end = True
            return RECORDS.empty_table()
        block = self._fill(room)
        is_over = self.at_end and is_last and not self._break
        if is_over and (fault := self._stream.fault_at_end()):
            self._break, is_over, self._is_early = fault, False, True
        tables = [self._cut(block, stamp, is_over)]
        if self._break and self.at_end:
            if self._is_early and not len(self._carry) and not self._oversized:
                # Between two records: nothing to reject, and whoever completes the stream finds the rest unread.
                self.ended_early, self._is_told = self._break, True
            else:
                tables.append(self._broken_record(stamp))
        return tables[0] if len(tables) == 1 else pa.concat_tables(tables)

    def _skip(self) -> bool:
        """Come to `position`. False where the stream ends before: its break was told by an earlier run."""
        scratch = memoryview(bytearray(min(BLOCK_BYTES, max(0, self.position - self._offset))))
        while self._offset < self.position:
            try:
                count = self._stream.readinto(scratch[: self.position - self._offset])
            except BrokenStreamError:
                self._is_told = True
                return False
            if not count:
                return False
            self._offset += count
        return True

    def _fill(self, room: int) -> npt.NDArray[np.uint8]:
        block = np.empty(len(self._carry) + room, dtype=np.uint8)
        filled = len(self._carry)
        block[:filled] = self._carry
        view = memoryview(block.data)
        self.at_end = False
        while filled < len(block):
            try:
                count = self._stream.readinto(view[filled:])
            except BrokenStreamError as error:
                self._break, count = str(error), 0
            if not count:
                self.at_end = True
                break
            filled += count
            self._offset += count
        self._carry = block[:0]
        return block[:filled]

    def _cut(self, block: npt.NDArray[np.uint8], stamp: Stamp, is_over: bool) -> pa.Table:
        tables = []
        if self._oversized:
            done, block = self._go_past(self._oversized, block, stamp, is_over)
            tables.append(done)
        if self.layout is None or (not self.position and len(block)):  # where the first record begins is not kept
            block = self._sniff(block, is_over or self._break is not None)
        if self.layout is None or not len(block):
            self._carry = block
        else:
            cut = self._cut_lines if self.layout == "lines" else self._cut_documents
            tables.append(cut(block, stamp, is_over))
        return pa.concat_tables(tables) if tables else RECORDS.empty_table()

    def _sniff(self, block: npt.NDArray[np.uint8], is_over: bool) -> npt.NDArray[np.uint8]:
        looked_at = BLOCK_BYTES if self._is_document_file else len(BOM)
        self.layout, start = sniff(block[:looked_at].tobytes(), self._is_document_file, is_over)
        self.position += start
        return block[start:]

    def _cut_lines(self, block: npt.NDArray[np.uint8], stamp: Stamp, is_over: bool) -> pa.Table:
        ends = line_ends(block)
        if is_over and (not len(ends) or ends[-1] < len(block)):
            ends = np.append(ends, len(block))
        used = int(ends[-1]) if len(ends) else 0
        limits = self._limits
        table = cut_lines(
            block[:used],
            ends,
            self.position,
            shard=stamp.shard,
            arrived_us=stamp.arrived_us,
            max_record_bytes=limits.max_record_bytes,
            max_event_bytes=limits.max_event_bytes,
        )
        self._keep(block[used:], used, limits.max_record_bytes, is_line=True)
        return table

    def _cut_documents(self, block: npt.NDArray[np.uint8], stamp: Stamp, is_over: bool) -> pa.Table:
        text, limit = block.tobytes(), self._limits.max_event_bytes
        found = split(text, in_array=self.layout == "array", is_last=is_over, limit_bytes=limit)
        bounds = np.array(found.parts, dtype=np.int64).reshape(-1, 2) + self.position
        faults = [oversized(e - s, limit, "a document") if e - s > limit else None for s, e in found.parts]
        table = records(
            pa.array([text[s : min(e, s + limit + 1)] for s, e in found.parts], pa.large_binary()),
            positions(bounds[:, 0]),
            positions(bounds[:, 1]),
            shard=stamp.shard,
            arrived_us=stamp.arrived_us,
            faults=pa.array(faults, pa.string()),
        )
        self._keep(block[found.rest :], found.rest, limit, is_line=False)
        return table

    def _keep(self, rest: npt.NDArray[np.uint8], used: int, limit: int, *, is_line: bool) -> None:
        """Hold what is not whole yet, or begin to read past it where it is too large."""
        self.position += used
        if len(rest) <= limit:
            self._carry = rest.copy()
            return
        head = rest[: self._limits.max_event_bytes + 1].tobytes()
        self._oversized = Oversized(start=self.position, head=head, is_line=is_line)
        self._oversized.feed(rest.tobytes(), is_last=False)

    def _go_past(
        self, large: Oversized, block: npt.NDArray[np.uint8], stamp: Stamp, is_over: bool
    ) -> tuple[pa.Table, npt.NDArray[np.uint8]]:
        used = large.feed(block.tobytes(), is_last=is_over)
        if used is None:
            return RECORDS.empty_table(), block[:0]
        limits = self._limits
        limit = limits.max_record_bytes if self.layout == "lines" else limits.max_event_bytes
        self._oversized = None
        end = large.start + large.size
        return self._faulty(stamp, large.head, end, oversized(large.size, limit, large.what)), block[used:]

    def _broken_record(self, stamp: Stamp) -> pa.Table:
        """What was inflated of the record in which the stream broke or ended.

        Where it broke its end lies one byte past it, so that the same break is not told twice. A stream that ended
        early may be completed: not a byte of it is passed over.
        """
        large, waiting = self._oversized, self._carry
        data = large.head if large else waiting[: self._limits.max_event_bytes + 1].tobytes()
        end = self.position + (large.size if large else len(waiting)) + (0 if self._is_early else 1)
        self._oversized, self._carry, self._is_told = None, waiting[:0], True
        return self._faulty(stamp, data, end, f"malformed_json: {self._break}")

    def _faulty(self, stamp: Stamp, data: bytes, end: int, fault: str) -> pa.Table:
        where = positions(np.array([self.position, end], dtype=np.int64))
        self.position = end
        return records(
            pa.array([data], pa.large_binary()),
            where[:1],
            where[1:],
            shard=stamp.shard,
            arrived_us=stamp.arrived_us,
            faults=pa.array([fault], pa.string()),
        )


def sniff(head: bytes, is_document_file: bool, is_over: bool) -> tuple[Layout | None, int]:
    """Find out how records lie in a stream.

    Args:
        head: its first bytes, at most BLOCK_BYTES.
        is_document_file: False where records are lines in any case.
        is_over: True where the stream has no more bytes than these.

    Returns:
        The layout (None where more bytes are needed), and the offset of the first record: after a byte order
        mark, after the bracket that opens an array.
    """
    may_grow = not is_over and len(head) < BLOCK_BYTES
    if may_grow and len(head) < len(BOM) and BOM.startswith(head):
        return None, 0
    start = len(BOM) if head.startswith(BOM) else 0
    if not is_document_file:
        return "lines", start
    text = head[start:].lstrip(b" \t\r\n")
    first = len(head) - len(text)
    if text.startswith(b"["):
        return "array", first + 1
    line, newline, _ = text.partition(b"\n")
    if may_grow and not newline:
        return None, 0
    return ("lines" if (newline or is_over or not text) and is_whole(line) else "documents"), start
