"""Parquet files made of others, row by row: small ones of a partition joined to large ones, or one without some rows.

Law: a row is never changed: columns, types and values are those of the files, in the order in which they were written,
and files with other columns are not joined with each other. Memory holds one file that is read, one row group and the
file that is made, whatever the size of the table. Statistics are kept for times only, as in parquet.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headgate.errors import CommitConflict, HeadgateError, PermanentError
from headgate.lake.live import LiveFile
from headgate.lake.parquet import SUFFIX, bounds, repeating_of, times_of
from headgate.lake.rewrite import Joined
from headgate.lake.storage import Storage

ROW_GROUP_BYTES = 32 << 20  # bytes of rows in memory; the least that a reader takes at a time
ROW_GROUP_ROWS = 1 << 20
LEVEL = 3  # of zstd; off the hot path, where a file is read more often than it is written
READ_ROWS = 1_024  # rows of a file that are read at a time; one may have megabytes
_AHEAD_FILES, _AHEAD_BYTES = 64, 32 << 20  # of a remote storage, fetched side by side
_FETCH_THREADS = 16


class Sized(Protocol):
    """A file by its path, relative to the lake, and its bytes."""

    @property
    def path(self) -> str:
        """Where it lies."""
        ...

    @property
    def size(self) -> int:
        """Bytes."""
        ...


_File = TypeVar("_File", bound=Sized)


class Made(NamedTuple):
    """A Parquet file in memory: its bytes, rows and Delta statistics."""

    content: memoryview
    rows: int
    stats: dict[str, Any]


class FileTaken(CommitConflict):
    """Somebody took a file out of the table, and deleted it, that was to be joined."""


def join(
    storage: Storage,
    files: Iterable[LiveFile],
    target_bytes: int,
    *,
    new_path: Callable[[], str],
    now_us: Callable[[], int],
    is_gone: Callable[[LiveFile], bool],
) -> Iterator[Joined]:
    """Write the files' rows into new files of at least the target size, but for the last.

    Args:
        storage: of the lake.
        files: of one partition, in the order in which their rows shall stand.
        target_bytes: size at which a file is full.
        new_path: gives the path of the next file, relative to the lake.
        now_us: wall clock in microseconds since 1970 UTC.
        is_gone: whether somebody took a file out of the table that is not there.

    Yields:
        Files that are written, durable and in no log; none that would hold the rows of one file only.

    Raises:
        FileTaken: somebody took a file away meanwhile.
        PermanentError: a file cannot be read, or is gone though the table shows it.
    """
    joiner: _Joiner | None = None
    for file, content in contents(storage, files):
        if content is None:
            raise _missing(storage, file, is_gone)
        try:
            opened = pq.ParquetFile(pa.BufferReader(content))
            if joiner is not None and (joiner.num_bytes >= target_bytes or joiner.schema != _plain_schema(opened)):
                yield from joiner.write(storage, new_path, now_us)
                joiner = None
            joiner = joiner or _Joiner(_plain_schema(opened))
            joiner.add(opened, file)
        except pa.ArrowException as error:
            raise PermanentError(
                f"{storage.root}/{file.path} cannot be read: {error}; restore it from a backup"
            ) from error
    if joiner is not None:
        yield from joiner.write(storage, new_path, now_us)


def filtered(name: str, content: bytes, is_kept: Callable[[pa.RecordBatch], pa.BooleanArray]) -> Made:
    """A Parquet file without some of its rows.

    Args:
        name: of the file, for the message.
        content: its bytes.
        is_kept: tells of a block of its rows which stay.

    Raises:
        PermanentError: it cannot be read.
    """
    try:
        opened = pq.ParquetFile(pa.BufferReader(content))
        joiner = _Joiner(_plain_schema(opened))
        joiner.add(opened, None, is_kept)
        return joiner.made()
    except pa.ArrowException as error:
        raise PermanentError(f"{name} cannot be read: {error}; restore it from a backup") from error


class _Joiner:
    """One file that is made in memory."""

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self._sink = pa.BufferOutputStream()
        self._writer = pq.ParquetWriter(
            self._sink,
            schema,
            compression="zstd",
            compression_level=LEVEL,
            use_dictionary=repeating_of(schema) or False,
            write_statistics=times_of(schema) or False,
            store_schema=False,
        )
        self._files: list[LiveFile] = []
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_bytes = self._waiting_rows = self._rows = 0
        self._bounds: dict[str, tuple[int, int] | None] = {}

    @property
    def num_bytes(self) -> int:
        """Bytes that are made so far."""
        return int(self._sink.tell())

    def add(
        self,
        opened: pq.ParquetFile,
        file: LiveFile | None,
        is_kept: Callable[[pa.RecordBatch], pa.BooleanArray] | None = None,
    ) -> None:
        """Take the rows of a file, or those that are kept.

        Raises:
            PermanentError: it holds another number of rows than the log says.
        """
        rows = 0
        for batch in opened.iter_batches(READ_ROWS):
            if is_kept is not None:
                batch = batch.filter(is_kept(batch))
            self._waiting.append(batch.cast(self.schema))
            rows += batch.num_rows
            self._waiting_bytes += batch.nbytes
            self._waiting_rows += batch.num_rows
            if self._waiting_bytes >= ROW_GROUP_BYTES or self._waiting_rows >= ROW_GROUP_ROWS:
                self._flush()
        if file is not None:
            if file.rows not in (None, rows):
                what = f"{file.path} holds {rows} rows, the log says {file.rows}"
                raise PermanentError(f"{what}: restore it from a backup")
            self._files.append(file)
        self._rows += rows

    def write(self, storage: Storage, new_path: Callable[[], str], now_us: Callable[[], int]) -> Iterator[Joined]:
        """Put the file in place; nothing where it holds the rows of one file only."""
        if len(self._files) < 2:
            return
        made, path = self.made(), new_path()
        storage.put(path, made.content)
        yield Joined(
            path=path,
            size=len(made.content),
            rows=made.rows,
            stats=made.stats,
            files=tuple(self._files),
            written_us=now_us(),
        )

    def made(self) -> Made:
        """The finished file."""
        self._flush()
        self._writer.close()
        return Made(memoryview(self._sink.getvalue()), self._rows, bounds(self._rows, self._bounds))

    def _flush(self) -> None:
        """Write what waits as one row group."""
        if not self._waiting_rows:
            return
        rows = pa.Table.from_batches(self._waiting)
        for name in times_of(self.schema):
            self._bounds[name] = _wider(self._bounds.get(name, (1 << 63, -1 << 63)), rows[name])
        self._writer.write_table(rows, row_group_size=rows.num_rows)
        self._waiting, self._waiting_bytes, self._waiting_rows = [], 0, 0


def _wider(known: tuple[int, int] | None, column: pa.ChunkedArray) -> tuple[int, int] | None:
    """Bounds in microseconds that hold the column's times, too; None where there are nulls, or other units."""
    if known is None or column.null_count or column.type.unit != "us":
        return None
    if not len(column):
        return known
    found = pc.min_max(column.cast(pa.int64()))
    return min(known[0], found["min"].as_py()), max(known[1], found["max"].as_py())


def contents(storage: Storage, files: Iterable[_File]) -> Iterator[tuple[_File, bytes | None]]:
    """The files with their bytes, in order, None for one that is gone; of a remote storage many side by side."""
    waiting: list[_File] = []
    size = 0
    with ThreadPoolExecutor(_FETCH_THREADS if storage.is_remote else 1) as pool:

        def fetched() -> Iterator[tuple[_File, bytes | None]]:
            return zip(waiting, pool.map(lambda file: storage.get(file.path), waiting), strict=True)

        for file in files:
            waiting.append(file)
            size += file.size
            if len(waiting) == _AHEAD_FILES or size >= _AHEAD_BYTES:
                yield from fetched()
                waiting, size = [], 0
        yield from fetched()


def _missing(storage: Storage, file: LiveFile, is_gone: Callable[[LiveFile], bool]) -> HeadgateError:
    if is_gone(file):
        return FileTaken(f"{file.path} was taken away meanwhile")
    return PermanentError(f"{storage.root}/{file.path} is in the table's log and gone: restore it from a backup")


def _plain_schema(opened: pq.ParquetFile) -> pa.Schema:
    """The file's columns without what their writer noted beside them."""
    return pa.schema([pa.field(f.name, _plain(f.type)) for f in opened.schema_arrow])


def _plain(data_type: pa.DataType) -> pa.DataType:
    """One type for all that are written alike: `large_string` and `string_view` are strings."""
    if pa.types.is_large_string(data_type) or pa.types.is_string_view(data_type):
        return pa.string()
    if pa.types.is_large_binary(data_type) or pa.types.is_binary_view(data_type):
        return pa.binary()
    if pa.types.is_dictionary(data_type):
        return _plain(data_type.value_type)
    if pa.types.is_struct(data_type):
        return pa.struct([pa.field(f.name, _plain(f.type)) for f in data_type])
    if pa.types.is_map(data_type):
        return pa.map_(_plain(data_type.key_type), _plain(data_type.item_type))
    if pa.types.is_list(data_type) or pa.types.is_large_list(data_type):
        return pa.list_(_plain(data_type.value_type))
    return data_type


def new_path_beside(file: LiveFile, new_id: Callable[[], str]) -> str:
    """Where a file of the same partition may lie."""
    return f"{file.path.rpartition('/')[0]}/joined-{new_id()}{SUFFIX}"
