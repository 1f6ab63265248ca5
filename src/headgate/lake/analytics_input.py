"""What `build` reads: accepted events by type, from the files of ledger entries or from one version of `events`.

A block of rows holds the columns of EVENTS and `_number`, the ledger number under which each row was committed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake.exceptions import DeltaError

from headgate.core.schema import EVENTS
from headgate.errors import PermanentError
from headgate.lake import jsonl
from headgate.lake.delta_log import one_line, open_table
from headgate.lake.entry import Entry
from headgate.lake.lines import lines_of, rows_of
from headgate.lake.storage import Storage

NUMBER = "_number"
BLOCK = pa.schema([*EVENTS, pa.field(NUMBER, pa.int64())])

BLOCK_ROWS = 100_000  # rows handed over at a time
BLOCK_BYTES = 64 << 20  # bytes of rows handed over at a time
AHEAD_BYTES = 32 << 20  # bytes of files read ahead; their rows take about five times as much
SMALL_BYTES = 8 << 20  # bytes of a file that is decoded ahead too
_AHEAD_FILES = 64
_PARTITIONS = ("event_type", "created_date")
_IN_FILE = [name for name in EVENTS.names if name not in _PARTITIONS]
_FILE = pa.schema([EVENTS.field(name) for name in _IN_FILE])


class Piece(NamedTuple):
    """A file of accepted events: where it lies, its size, the date of its rows, and the ledger number they count as."""

    path: str
    size: int
    created_date: str
    number: int


@dataclass(slots=True)
class Input:
    """Files by event type. `upto` is the ledger number that a table has reached with all of them."""

    upto: int
    pieces: dict[str, list[Piece]] = field(default_factory=dict)
    num_files: int = 0

    def add(self, event_type: str, piece: Piece) -> None:
        """Enter one more file."""
        self.pieces.setdefault(event_type, []).append(piece)
        self.num_files += 1


def of_entries(entries: Iterable[Entry], after: int, max_files: int, created_date: date | None = None) -> Input:
    """The files of consecutive entries, up to about so many.

    Args:
        entries: in order, beginning with `after` + 1.
        after: what `upto` is where there is none.
        max_files: an entry that begins beyond it is left for the next time.
        created_date: only files of this date; None for all.
    """
    found = Input(after)
    for entry in entries:
        if found.num_files >= max_files:
            break
        for file in entry.files:
            if not file.rows or file.table != "events":
                continue
            if created_date in (None, date.fromisoformat(file.partition["created_date"])):
                piece = Piece(file.published, file.size, file.partition["created_date"], entry.number)
                found.add(file.partition["event_type"], piece)
        found.upto = entry.number
    return found


def of_version(storage: Storage, version: int, number: int, created_date: date | None = None) -> Input:
    """The files of one version of the Delta table `events`, which holds the entries up to `number`.

    Raises:
        PermanentError: the version is no longer there.
        TransientError: the storage did not answer.
    """
    try:
        files = pa.table(open_table(storage, "events", version).get_add_actions(flatten=True))
    except (DeltaError, OSError) as error:
        raise PermanentError(
            f"{storage.root}/events has no version {version} any more, with which `build` began: {one_line(error)}; "
            "delete the folders analytics and _headgate/analytics, then build anew"
        ) from error
    found = Input(number)
    columns = [files[name].to_pylist() for name in ("path", "size_bytes", "partition.event_type")]
    for path, size, event_type, day in zip(*columns, files["partition.created_date"].to_pylist(), strict=True):
        if created_date in (None, day):
            found.add(event_type, Piece(f"events/{unquote(path)}", size, day.isoformat(), number))
    return found


class Reader:
    """Reads files ahead with a few threads, and cuts their rows into blocks."""

    def __init__(self, storage: Storage, *, is_plain: bool) -> None:
        """Start the threads.

        Args:
            storage: of the lake.
            is_plain: True for a lake of files only, where one that was taken away by hand is gone with its rows.
        """
        self._storage = storage
        self._is_plain = is_plain
        self._pool = ThreadPoolExecutor(16 if storage.is_remote else 1, thread_name_prefix="build-read")

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)

    def blocks(self, pieces: Mapping[str, Iterable[Piece]]) -> Iterator[tuple[str, pa.Table]]:
        """The rows of files by event type, each with its type, in the order of types and files.

        Files of the next type are fetched while the blocks of one are made use of.
        """
        for event_type, group in groupby(self._rows(pieces), key=itemgetter(0)):
            waiting: list[pa.Table] = []
            num_rows = num_bytes = 0
            for _, rows in group:
                waiting.append(rows)
                num_rows, num_bytes = num_rows + rows.num_rows, num_bytes + rows.nbytes
                if num_rows >= BLOCK_ROWS or num_bytes >= BLOCK_BYTES:
                    yield event_type, pa.concat_tables(waiting)
                    waiting, num_rows, num_bytes = [], 0, 0
            if waiting:
                yield event_type, pa.concat_tables(waiting)

    def _rows(self, pieces: Mapping[str, Iterable[Piece]]) -> Iterator[tuple[str, pa.Table]]:
        """Rows of one file after the other, some files fetched ahead."""
        under_way: deque[tuple[str, Piece, Future[Iterable[pa.Table]]]] = deque()
        num_bytes = 0
        for event_type, some in pieces.items():
            for piece in some:
                while under_way and (num_bytes + piece.size > AHEAD_BYTES or len(under_way) >= _AHEAD_FILES):
                    of_type, done, future = under_way.popleft()
                    num_bytes -= done.size
                    yield from ((of_type, rows) for rows in future.result())
                under_way.append((event_type, piece, self._pool.submit(self._fetched, event_type, piece)))
                num_bytes += piece.size
        for of_type, _, future in under_way:
            yield from ((of_type, rows) for rows in future.result())

    def _fetched(self, event_type: str, piece: Piece) -> Iterable[pa.Table]:
        """The rows of a file; those of a large one are decoded while they are taken."""
        content = self._storage.get(piece.path)
        if content is not None:
            rows = (_whole(some, event_type, piece) for some in _read(piece, content))
            return list(rows) if piece.size <= SMALL_BYTES else rows
        if self._is_plain:
            return ()
        raise PermanentError(
            f"{self._storage.root}/{piece.path} was committed by entry {piece.number}, is not in the typed tables "
            "yet, and is gone: restore it from a backup"
        )


def _read(piece: Piece, content: bytes) -> Iterator[pa.Table]:
    if not piece.path.endswith((jsonl.SUFFIX, f"{jsonl.SUFFIX}.gz")):
        opened = pq.ParquetFile(pa.BufferReader(content))
        for batch in opened.iter_batches(BLOCK_ROWS, columns=_IN_FILE, use_threads=False):
            rows = pa.Table.from_batches([batch])
            yield rows if rows.schema.equals(_FILE) else rows.select(_IN_FILE).cast(_FILE)
        return
    lines = lines_of(content)
    for start in range(0, len(lines), BLOCK_ROWS):
        yield rows_of(lines[start : start + BLOCK_ROWS], "events", _IN_FILE, is_original=True)


def _whole(rows: pa.Table, event_type: str, piece: Piece) -> pa.Table:
    """The rows with what the file's place says of them, as BLOCK."""
    constants: Mapping[str, pa.Scalar] = {
        "event_type": pa.scalar(event_type, pa.string()),
        "created_date": pa.scalar(date.fromisoformat(piece.created_date), pa.date32()),
        NUMBER: pa.scalar(piece.number, pa.int64()),
    }
    columns = [
        pa.repeat(constants[column.name], rows.num_rows) if column.name in constants else rows[column.name]
        for column in BLOCK
    ]
    return pa.Table.from_arrays(columns, schema=BLOCK)
