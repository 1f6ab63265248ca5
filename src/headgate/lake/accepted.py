"""Ids of accepted events for a claim store: from the files of the ledger's entries, or from the table `events`.

`compact` joins the files of entries, and after the retention those are deleted; then the table is read as it is. The
order in which owners are entered decides only where an id was accepted more than once. That happens when the window
has passed, so that the owner that arrived last is the right one: rows of the table are given by their time of arrival.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from headgate.core.schema import TIMESTAMP
from headgate.errors import PermanentError, TransientError
from headgate.lake.committed import ID_COLUMNS, ID_SCHEMA, MAX_ROWS, FilesGone, committed_ids
from headgate.lake.delta import APP_ID
from headgate.lake.delta_log import one_line, open_table
from headgate.lake.entry import Entry
from headgate.lake.read import delta_dataset, is_of_network
from headgate.lake.storage import Storage
from headgate.ports import CommittedIds

SLICE_ROWS = 500_000  # rows whose owners are compared in memory, about 64 bytes each
_SECOND_US = 1_000_000
_READ_ROWS = 16_384  # rows of a file read at a time


def ids_since(
    storage: Storage, entry: Callable[[int], Entry], number: int, last: int, since_us: int | None, *, is_delta: bool
) -> Iterator[tuple[int, CommittedIds]]:
    """Ids of entries after `number` up to `last`; see `ports.Lake.claims_since`.

    Args:
        storage: of the lake.
        entry: reads an entry.
        number: what is after it is wanted.
        last: the ledger's end.
        since_us: leave out rows that arrived earlier.
        is_delta: the files of entries may be joined.

    Raises:
        PermanentError: a file that was committed is gone.
        TransientError: the storage did not answer.
    """
    while number < last:
        try:
            for ids in committed_ids(storage, entry(number + 1), since_us):
                yield number + 1, ids
            number += 1
        except FilesGone:
            if not is_delta:
                raise
            opened = _open(storage)
            shown = opened.transaction_version(APP_ID) or 0
            if shown <= number:
                raise  # what the table does not show yet was never joined
            for part, table in _by_arrival(storage, opened, since_us):
                yield -part, CommittedIds(table=table)
            number = shown


def _open(storage: Storage) -> DeltaTable:
    try:
        return open_table(storage, "events")
    except (DeltaError, OSError) as error:
        raise TransientError(f"cannot read the Delta table {storage.root}/events: {one_line(error)}") from error


def _by_arrival(storage: Storage, opened: DeltaTable, since_us: int | None) -> Iterator[tuple[int, pa.Table]]:
    """All rows, slice by slice of arrival: the slice's number from 1 on, and at most MAX_ROWS of its rows."""
    rows = delta_dataset(storage, opened, "events")
    try:
        part = 0
        for start, end in _slices(rows, since_us):
            part += 1
            for i, table in enumerate(_read(rows, max(start, since_us or start), end)):
                # Rows of one second are too close for an id to be accepted twice, so that they need no comparing.
                part += i > 0 and end - start == _SECOND_US
                yield part, table
    except OSError as error:
        if is_of_network(error) or _open(storage).version() != opened.version():
            raise TransientError(f"{storage.root}/events cannot be read now: {error}") from error
        raise PermanentError(f"{storage.root}/events cannot be read: {error}; restore it from a backup") from error


def _slices(rows: ds.Dataset, since_us: int | None) -> Iterator[tuple[int, int]]:
    """Times of arrival, from and up to (microseconds), that hold about SLICE_ROWS rows each, or are one second."""
    counts: Counter[int] = Counter()
    for batch in rows.scanner(columns=["arrived_at"], batch_size=MAX_ROWS, fragment_readahead=2).to_batches():
        found, number = np.unique(np.asarray(batch.column(0).cast(pa.int64())) // _SECOND_US, return_counts=True)
        counts.update(dict(zip(found.tolist(), number.tolist(), strict=True)))
    seconds = [s for s in sorted(counts) if since_us is None or (s + 1) * _SECOND_US > since_us]
    waiting: list[int] = []
    held = 0
    for second in seconds:
        if waiting and held + counts[second] > SLICE_ROWS:
            yield waiting[0] * _SECOND_US, (waiting[-1] + 1) * _SECOND_US
            waiting, held = [], 0
        waiting.append(second)
        held += counts[second]
    if waiting:
        yield waiting[0] * _SECOND_US, (waiting[-1] + 1) * _SECOND_US


def _read(rows: ds.Dataset, start: int, end: int) -> Iterator[pa.Table]:
    low, high = (pa.scalar(us, pa.int64()).cast(TIMESTAMP) for us in (start, end))
    scanner = rows.scanner(
        columns=ID_COLUMNS,
        filter=(ds.field("arrived_at") >= low) & (ds.field("arrived_at") < high),
        batch_size=_READ_ROWS,
        batch_readahead=2,
        fragment_readahead=4,
    )
    waiting: list[pa.RecordBatch] = []
    count = 0
    for batch in scanner.to_batches():
        if count + batch.num_rows > MAX_ROWS:
            yield pa.Table.from_batches(waiting).cast(ID_SCHEMA)
            waiting, count = [], 0
        waiting.append(batch)
        count += batch.num_rows
    if count:
        yield pa.Table.from_batches(waiting).cast(ID_SCHEMA)
