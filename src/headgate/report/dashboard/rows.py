"""Rejects and duplicates page by page, newest first; however large the tables are, a page reads a bounded part of them.

Law: the order is that of the files (newest arrivals first), and within a file from the last row to the first. So a
cursor is a file and a row, and what was shown is not looked at again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from headgate.errors import PermanentError
from headgate.jobs.existing import ExistingLake
from headgate.lake.settled import may_be_settled, replays, settled_rows
from headgate.report.dashboard.tables import ALWAYS_US, TableFile, TooLarge, arrived_us, files_of, last_rows

PAGE_ROWS = 25
MAX_FILES = 400  # that one page opens
MAX_SECONDS = 2.0  # after which no other file or row group is opened, and a page is shown with what was found
LARGE = {"rejected": ("raw",), "duplicates": ("payload",)}

Table = Literal["rejected", "duplicates"]


class RowMoved(PermanentError):
    """The file of a cursor or a link is no longer in the table: it was joined with others meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which rows.

    Attributes:
        reason: of rejects, exactly.
        event_type: exactly; the empty text is for rows of no type.
        is_conflict: of duplicates: with other bytes than the original, or the same; None for both.
        since_us: arrived then or later, microseconds since 1970.
        until_us: arrived before then.
        text: stands in source, shard or sequence.
    """

    reason: str | None = None
    event_type: str | None = None
    is_conflict: bool | None = None
    since_us: int | None = None
    until_us: int | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row: its columns, and where it lies."""

    file: str
    number: int
    columns: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowPage:
    """A page of rows.

    Attributes:
        rows: at most PAGE_ROWS.
        after: cursor (file, row) of the next page; None at the end.
        is_cut: it ends because enough was read, not because enough was found.
        back_to_us: how far back was looked, microseconds since 1970; None where nothing was, or that is not known.
        files: that were opened.
        left_out: files that are too large to be looked into here.
    """

    rows: Sequence[Row]
    after: tuple[str, int] | None
    is_cut: bool
    back_to_us: int | None
    files: int
    left_out: Sequence[str]


def row_page(
    lake: ExistingLake, table: Table, wanted: Filter, after: tuple[str, int] | None, replayed_at: int
) -> RowPage:
    """Look through a table.

    Args:
        lake: whose table.
        table: which.
        wanted: which rows.
        after: where the page before ended.
        replayed_at: number of the last replay in the ledger; rows that replays have settled are left out.

    Raises:
        RowMoved: the cursor's file is gone.
        TransientError: the storage did not answer.
        PermanentError: the table cannot be read.
    """
    settled = _Settled(lake, table, replayed_at)
    files = files_of(lake, table)
    until = time.monotonic() + MAX_SECONDS
    rows: list[Row] = []
    left_out: list[str] = []
    opened, back_to = 0, None
    place = after
    for file, start in _from(files, after):
        if not _may_hold(file, wanted):
            continue
        # However slow it is, one file is looked into, so that the pages come to an end.
        is_late = place != after and time.monotonic() > until
        if len(rows) >= PAGE_ROWS or opened >= MAX_FILES or is_late:
            is_cut = len(rows) < PAGE_ROWS
            return RowPage(rows=rows, after=place, is_cut=is_cut, back_to_us=back_to, files=opened, left_out=left_out)
        try:
            below = _look_into(lake, table, file, start, wanted, settled, until, rows)
        except TooLarge:
            left_out.append(file.path)
            place = (file.path, 0)
            continue
        opened += 1
        place = (file.path, below)
        back_to = file.newest_us if below else file.oldest_us
        if back_to == ALWAYS_US:
            back_to = None
        if below:
            is_cut = len(rows) < PAGE_ROWS
            return RowPage(rows=rows, after=place, is_cut=is_cut, back_to_us=back_to, files=opened, left_out=left_out)
    return RowPage(rows=rows, after=None, is_cut=False, back_to_us=back_to, files=opened, left_out=left_out)


def _look_into(
    lake: ExistingLake,
    table: Table,
    file: TableFile,
    start: int | None,
    wanted: Filter,
    settled: _Settled,
    until: float,
    rows: list[Row],
) -> int:
    """Add rows of a file until the page is full, or it is late; returns the row below which none was looked at."""
    before = start
    while True:
        found = last_rows(
            lake,
            table,
            file,
            lambda block: _mask(block, wanted),
            large=LARGE[table],
            before=before,
            count=PAGE_ROWS - len(rows),
            until=until,
        )
        there = zip(found.numbers, found.rows.to_pylist(), strict=True)
        rows += settled.without([Row(file=file.path, number=n, columns=columns) for n, columns in there])
        before = found.below
        if not before or len(rows) >= PAGE_ROWS or time.monotonic() > until:
            return before


def one_row(lake: ExistingLake, table: Table, path: str, number: int) -> Row:
    """The row of a link.

    Raises:
        RowMoved: the file is gone.
        TransientError: the storage did not answer.
        PermanentError: the table cannot be read, or the file is too large to be looked into.
    """
    file = next((file for file in files_of(lake, table) if file.path == path), None)
    if file is None:
        raise RowMoved(f"this row of {table} lies in another file by now: `compact` has joined it; open the list anew")

    def every(block: pa.Table) -> npt.NDArray[np.bool_]:
        return np.ones(block.num_rows, dtype=bool)

    found = last_rows(lake, table, file, every, large=LARGE[table], before=number + 1, count=1, until=0.0)
    if found.numbers != [number]:
        raise RowMoved(f"there is no such row in {table}: open the list anew")
    return Row(file=path, number=number, columns=found.rows.to_pylist()[0])


def _from(files: Sequence[TableFile], after: tuple[str, int] | None) -> Iterator[tuple[TableFile, int | None]]:
    """The files from a cursor on, the first one with the row below which it goes on."""
    if after is None:
        yield from ((file, None) for file in files)
        return
    path, before = after
    at = next((i for i, file in enumerate(files) if file.path == path), None)
    if at is None:
        raise RowMoved("the lake was compacted since the page before: the list begins anew")
    if before > 0:
        yield files[at], before
    yield from ((file, None) for file in files[at + 1 :])


def _may_hold(file: TableFile, wanted: Filter) -> bool:
    is_later = wanted.since_us is None or file.newest_us >= wanted.since_us
    return is_later and (wanted.until_us is None or file.oldest_us < wanted.until_us)


def _mask(rows: pa.Table, wanted: Filter) -> npt.NDArray[np.bool_]:
    """Which rows of a block are wanted."""
    mask = np.ones(rows.num_rows, dtype=bool)
    for name, value in (("reason", wanted.reason), ("event_type", wanted.event_type), ("conflict", wanted.is_conflict)):
        if value is not None and name in rows.column_names:
            equal = pc.is_null(rows[name]) if value == "" else pc.equal(rows[name], value)
            mask &= _flags(equal)
    arrived = np.asarray(arrived_us(rows))
    if wanted.since_us is not None:
        mask &= arrived >= wanted.since_us
    if wanted.until_us is not None:
        mask &= arrived < wanted.until_us
    if wanted.text:
        found = [_flags(pc.match_substring(rows[name], wanted.text)) for name in ("source", "shard", "sequence")]
        mask &= np.logical_or.reduce(found)
    return mask


def _flags(column: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    return np.asarray(pc.fill_null(column, False))


class _Settled:
    """Which rows replays have settled; nothing is read where there was none."""

    def __init__(self, lake: ExistingLake, table: Table, replayed_at: int) -> None:
        self._table = table
        self._rows: ds.Dataset | None = None
        if replayed_at and may_be_settled(lake.storage):
            self._rows = settled_rows(lake.storage, replays(lake.entry, replayed_at))
        self._key = ["source", "shard", "sequence"]
        if table == "duplicates":
            self._key += ["original_shard", "original_sequence"]

    def without(self, rows: list[Row]) -> list[Row]:
        """The rows that no replay has settled."""
        if self._rows is None or not rows:
            return rows
        sequences = [row.columns["sequence"] for row in rows]
        is_asked = (pc.field("table") == self._table) & pc.field("sequence").isin(sequences)
        marks = self._rows.scanner(columns=self._key, filter=is_asked, use_threads=False).to_table().to_pylist()
        known = {tuple(mark[name] for name in self._key) for mark in marks}
        return [row for row in rows if tuple(row.columns[name] for name in self._key) not in known]
