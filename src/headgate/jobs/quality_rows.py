"""The rows of `quality` that were staged within some time, of a lake of any format, without reading the others.

A delta lake's log says which files to open. Of the other formats, whose files are never joined, the ledger does: its
entries stand in the order of their commits.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import unquote

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from headgate.core.schema import QUALITY, TIMESTAMP
from headgate.errors import PermanentError, TransientError
from headgate.jobs.existing import ExistingLake, is_published
from headgate.lake import read
from headgate.lake.delta import open_table
from headgate.lake.entry import Entry, File
from headgate.lake.join import contents
from headgate.lake.lines import lines_of, rows_of

TABLE = "quality"
SLACK_US = 900_000_000  # microseconds between staging and commit, and between the clocks of two writers
_FETCH_THREADS = 16  # files and entries of a remote lake that are read side by side
_ENTRIES_AT_ONCE = 256
_BLOCK_ROWS = 20_000  # rows that are handed over at a time, a few megabytes
_WINDOW_BYTES = 8 << 20  # of files that are read side by side
_READ_THREADS = min(8, os.cpu_count() or 1)
_END_OF_TIME_US = 253_402_300_800_000_000  # the year 10000


def quality_between(lake: ExistingLake, start_us: int, end_us: int, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Published rows of `quality` that were staged from `start_us` up to, not including, `end_us`.

    Args:
        lake: whose rows.
        start_us: microseconds since 1970.
        end_us: the same.
        columns: of QUALITY.

    Yields:
        Blocks of these columns; one that the lake does not know yet is null.

    Raises:
        TransientError: the storage did not answer.
        PermanentError: a file is gone or cannot be read.
    """
    staged = pc.field("staged_at")
    is_within = (staged >= _time(start_us)) & (staged < _time(end_us))
    names = [*dict.fromkeys([*columns, "staged_at"])]
    is_delta = lake.about.format == "delta"
    blocks = _of_log(lake, start_us, end_us, names) if is_delta else _of_ledger(lake, start_us, end_us, names)
    with reading_quality(lake):
        for block in _gathered(blocks):
            rows = block.filter(is_within).select(list(columns))
            if rows.num_rows:
                yield rows


@contextmanager
def reading_quality(lake: ExistingLake) -> Iterator[None]:
    """Errors of readers become transient or permanent ones, inside the context."""
    try:
        yield
    except (OSError, pa.ArrowException, duckdb.Error, DeltaError) as error:
        said = " ".join(str(error).split())
        if read.is_of_network(error):
            raise TransientError(f"{lake.path}/{TABLE} cannot be read now: {said}") from error
        raise PermanentError(f"{lake.path}/{TABLE} cannot be read: {said}; restore it from a backup") from error


def quality_of(
    lake: ExistingLake, entries: Sequence[Entry], columns: Sequence[str]
) -> tuple[list[pa.Table], list[Entry]]:
    """The rows of published entries, read from the files that the entries name.

    Args:
        lake: whose rows.
        entries: of its ledger.
        columns: of QUALITY.

    Returns:
        Blocks, and the entries of a delta lake whose files are gone: their rows stand in other files by now.

    Raises:
        PermanentError: a file of another lake is gone.
    """
    pairs = [(entry, file) for entry in entries for file in entry.files if file.table == TABLE]
    is_delta = lake.about.format == "delta"
    with ThreadPoolExecutor(_FETCH_THREADS if lake.storage.is_remote else 1) as pool:
        fetch = (lambda pair: lake.storage.get(pair[1].published)) if is_delta else (lambda pair: _content(lake, *pair))
        fetched = list(pool.map(fetch, pairs))
    lost = [entry for (entry, _), content in zip(pairs, fetched, strict=True) if content is None]
    found = [content for content in fetched if content is not None]
    return list(_blocks(found, lake.about.format, columns)), lost


def quality_of_version(
    lake: ExistingLake, opened: DeltaTable, since_us: int | None, columns: Sequence[str]
) -> Iterator[tuple[pa.Table, int, int]]:
    """The rows that a version of the Delta table shows.

    Args:
        lake: whose rows.
        opened: the table at that version.
        since_us: leave out files without a row that was staged then or later; microseconds since 1970.
        columns: of QUALITY.

    Yields:
        Blocks, each with the number of files that are done, and of how many.
    """
    between = None if since_us is None else (since_us, _END_OF_TIME_US)
    files = read.live_files(opened, between, "staged_at")
    found = [_Sized(f"{TABLE}/{unquote(path)}", size) for path, size in _pairs(files)]
    done = 0
    for some in _windows(contents(lake.storage, found)):
        if gone := next((file.path for file, content in some if content is None), None):
            raise PermanentError(f"{gone} is gone from {lake.path}: restore it from a backup")
        done += len(some)
        for block in _gathered(_side_by_side([content for _, content in some if content is not None], columns)):
            yield block, done, len(found)


def _windows(pairs: Iterable[tuple[_Sized, bytes | None]]) -> Iterator[list[tuple[_Sized, bytes | None]]]:
    """Many small files at a time, or a large one."""
    some: list[tuple[_Sized, bytes | None]] = []
    size = 0
    for file, content in pairs:
        some.append((file, content))
        size += file.size
        if len(some) == _ENTRIES_AT_ONCE or size >= _WINDOW_BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some


def _side_by_side(found: Sequence[bytes], columns: Sequence[str]) -> Iterator[pa.Table]:
    """Files are read on all cores; one of a commit takes 2 ms, most of it for its many columns."""
    if len(found) < _READ_THREADS:
        yield from _of_parquet(found, columns)
        return
    with ThreadPoolExecutor(_READ_THREADS) as pool:
        for tables in pool.map(lambda content: list(_of_parquet([content], columns)), found):
            yield from tables


class _Sized(NamedTuple):
    path: str
    size: int


def _pairs(files: pa.Table) -> Iterator[tuple[str, int]]:
    return zip(files["path"].to_pylist(), files["size_bytes"].to_pylist(), strict=True) if files.num_rows else iter(())


def _gathered(blocks: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Small blocks, of a file each, joined to large ones."""
    waiting: list[pa.Table] = []
    count = 0
    for block in blocks:
        waiting.append(block)
        count += block.num_rows
        if count >= _BLOCK_ROWS:
            yield pa.concat_tables(waiting)
            waiting, count = [], 0
    if waiting:
        yield pa.concat_tables(waiting)


def _time(us: int) -> pa.Scalar:
    return pa.scalar(us, pa.int64()).cast(TIMESTAMP)


def _of_log(lake: ExistingLake, start_us: int, end_us: int, columns: Sequence[str]) -> Iterator[pa.Table]:
    opened = open_table(lake.storage, TABLE)
    found = read.delta_dataset(lake.storage, opened, TABLE, (start_us, end_us), "staged_at")
    for batch in found.scanner(columns=columns, batch_readahead=2, fragment_readahead=4).to_batches():
        yield pa.Table.from_batches([batch])


def _of_ledger(lake: ExistingLake, start_us: int, end_us: int, columns: Sequence[str]) -> Iterator[pa.Table]:
    last = lake.state().number
    number = first_since(lake, start_us, last)
    threads = _FETCH_THREADS if lake.storage.is_remote else 1
    with ThreadPoolExecutor(threads) as pool:
        while number <= last:
            upto = min(number + _ENTRIES_AT_ONCE, last + 1)
            entries = list(pool.map(lake.entry, range(number, upto)))
            wanted = [entry for entry in entries if entry.committed_us < end_us + SLACK_US]
            pairs = [(entry, file) for entry in wanted for file in entry.files if file.table == TABLE]
            fetched = pool.map(lambda pair: _content(lake, *pair), pairs)
            yield from _blocks([one for one in fetched if one is not None], lake.about.format, columns)
            if len(wanted) < len(entries):
                return
            number = upto


def first_since(lake: ExistingLake, since_us: int, last: int) -> int:
    """The first entry that may hold a row that was staged then or later; one behind the last where there is none."""
    low, high = 1, last + 1
    while low < high:
        middle = (low + high) // 2
        if lake.entry(middle).committed_us < since_us - SLACK_US:
            low = middle + 1
        else:
            high = middle
    return low


def _content(lake: ExistingLake, entry: Entry, file: File) -> bytes | None:
    """The bytes of a file; None where its rows are not shown yet."""
    content = lake.storage.get(file.published)
    if content is None and is_published(lake, entry):
        content = lake.storage.get(file.published)  # it may have been shown just now
        if content is None:
            raise PermanentError(f"{file.published} is gone from {lake.path}: restore it from a backup")
    return content


def _blocks(found: Sequence[bytes], table_format: str, columns: Sequence[str]) -> Iterator[pa.Table]:
    if table_format == "json":
        lines = [line for content in found for line in lines_of(content)]
        if lines:
            yield rows_of(lines, TABLE, columns)
        return
    yield from _of_parquet(found, columns)


def _of_parquet(found: Iterable[bytes], columns: Sequence[str]) -> Iterator[pa.Table]:
    """A block for each row group, of 32 MB at most."""
    for content in found:
        opened = pq.ParquetFile(pa.BufferReader(content))
        there = set(opened.schema_arrow.names)
        for group in range(opened.num_row_groups):
            rows = opened.read_row_group(group, [name for name in columns if name in there], use_threads=False)
            yield pa.table(
                {
                    name: rows[name].cast(QUALITY.field(name).type)
                    if name in there
                    else pa.nulls(rows.num_rows, QUALITY.field(name).type)
                    for name in columns
                }
            )
