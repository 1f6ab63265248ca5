"""Reading back the ids of committed events from the files of a ledger entry, to rebuild a claim store."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headgate.core.schema import EVENTS, TIMESTAMP
from headgate.errors import PermanentError
from headgate.lake import jsonl
from headgate.lake.entry import Entry, File
from headgate.lake.storage import Storage
from headgate.ports import CommittedIds

MAX_ROWS = 100_000  # rows handed over at a time
ID_COLUMNS = ["event_uuid", "payload", "source", "shard", "sequence", "arrived_at"]
ID_SCHEMA = pa.schema([EVENTS.field(name) for name in ID_COLUMNS])


class FilesGone(PermanentError):
    """A file of an entry is not there: taken away, or joined with others by `compact`."""


class _Position(msgspec.Struct):
    arrived_at: str
    source: str
    shard: str
    sequence: str


class _Line(msgspec.Struct, rename={"headgate": "_headgate"}):
    event_uuid: msgspec.Raw
    headgate: _Position


_LINE = msgspec.json.Decoder(_Line)


def committed_ids(storage: Storage, entry: Entry, since_us: int | None) -> Iterator[CommittedIds]:
    """The accepted events of one entry; at least one table, empty where there are none.

    Args:
        storage: of the lake.
        entry: a committed entry, published or not.
        since_us: leave out rows that arrived earlier.

    Raises:
        FilesGone: a file of the entry is gone.
    """
    waiting: list[pa.Table] = []
    num_waiting = 0
    num_given = 0
    for file in entry.files:
        if file.table != "events" or not file.rows:
            continue
        for rows in _read(file, _content(storage, file)):
            if since_us is not None:
                since = pa.scalar(since_us, pa.int64()).cast(TIMESTAMP)
                rows = rows.filter(pc.greater_equal(rows["arrived_at"], since))
            if num_waiting + rows.num_rows > MAX_ROWS:
                yield CommittedIds(table=pa.concat_tables(waiting))
                num_given += 1
                waiting, num_waiting = [], 0
            waiting.append(rows)
            num_waiting += rows.num_rows
    if num_waiting or not num_given:
        yield CommittedIds(table=pa.concat_tables([ID_SCHEMA.empty_table(), *waiting]))


def _content(storage: Storage, file: File) -> bytes:
    """The file's bytes; it may be renamed while we look, hence first and last the published name."""
    for path in (file.published, file.path, file.published):
        content = storage.get(path)
        if content is not None:
            return content
    raise FilesGone(f"{file.published} was committed and is gone from {storage.root}: restore it from a backup")


def _read(file: File, content: bytes) -> Iterator[pa.Table]:
    if not file.published.endswith((".jsonl", ".jsonl.gz")):
        opened = pq.ParquetFile(pa.BufferReader(content))
        for batch in opened.iter_batches(MAX_ROWS, columns=ID_COLUMNS):
            yield pa.Table.from_batches([batch]).select(ID_COLUMNS).cast(ID_SCHEMA)
        return
    lines = (gzip.decompress(content) if file.published.endswith(".gz") else content).splitlines()
    for start in range(0, len(lines), MAX_ROWS):
        yield _table(lines[start : start + MAX_ROWS])


def _table(lines: list[bytes]) -> pa.Table:
    found = [_LINE.decode(line) for line in lines]
    arrived = pa.array([line.headgate.arrived_at.removesuffix("+00:00") for line in found], pa.string())
    columns = [
        pa.array([_text(line.event_uuid) for line in found], pa.string()),
        pa.array([jsonl.original(line) for line in lines], pa.string()),
        pa.array([line.headgate.source for line in found], pa.string()),
        pa.array([line.headgate.shard for line in found], pa.string()),
        pa.array([line.headgate.sequence for line in found], pa.string()),
        arrived.cast(pa.timestamp("us")).cast(pa.int64()).cast(TIMESTAMP),
    ]
    return pa.Table.from_arrays(columns, schema=ID_SCHEMA)


def _text(raw: msgspec.Raw) -> str:
    """An id as text: a string's content, or an integer's digits."""
    written = bytes(raw)
    return str(msgspec.json.decode(written)) if written.startswith(b'"') else written.decode()
