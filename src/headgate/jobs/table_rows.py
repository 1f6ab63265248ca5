"""The lake's tables read for `verify`: positions, ids and arrivals, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from headgate.core.keys import fingerprints
from headgate.errors import PermanentError, TransientError
from headgate.jobs.existing import ExistingLake
from headgate.jobs.position_rows import PositionRows, key_halves
from headgate.jobs.proof import Proof, many
from headgate.jobs.settled_rows import SettledRows
from headgate.lake import read

BLOCK_ROWS = 131_072  # rows joined before they are worked on
BLOCK_BYTES = 16 << 20  # bytes of rows joined at most, but for a longer one
SCAN_ROWS = 16_384  # rows of a file read at a time
EVENTS, DUPLICATES, REJECTED = 0, 1, 2
TABLE_NAMES = ("events", "duplicates", "rejected")

_POSITION = ["source", "shard", "sequence"]
_COLUMNS = {
    "events": [*_POSITION, "arrived_at", "event_uuid", "payload"],
    "duplicates": [*_POSITION, "arrived_at", "event_uuid", "payload", "original_shard", "original_sequence"],
    "rejected": [*_POSITION, "raw"],
    "quality": ["entry_id", "received", "accepted", "duplicates", "rejected"],
}


def create_tables(rows: PositionRows) -> None:
    """Make the scratch tables: `rows` of all three tables, `originals` of duplicates, `names` of shards."""
    sequence = rows.sequence_type
    rows.connection.execute(
        f"CREATE TABLE rows(t TINYINT, shard INTEGER, sequence {sequence}, sub INTEGER, r INTEGER, "
        "arrived BIGINT, k0 UBIGINT, k1 UBIGINT, content UBIGINT)"
    )
    rows.connection.execute(
        f"CREATE TABLE originals(shard INTEGER, sequence {sequence}, sub INTEGER, r INTEGER, arrived BIGINT, "
        f"k0 UBIGINT, k1 UBIGINT, name VARCHAR, original {sequence}, original_sub INTEGER)"
    )


def load_tables(
    lake: ExistingLake, rows: PositionRows, settled: SettledRows, proof: Proof, advance: Callable[[float], None]
) -> None:
    """Read events, duplicates and rejected into the scratch tables.

    Args:
        lake: what is verified.
        rows: the scratch database.
        settled: rows to be left out.
        proof: gets a breach where a file is gone or cannot be read, or a row has no position.
        advance: is told the number of rows as they are read.
    """
    for number, table in enumerate(TABLE_NAMES):
        malformed: list[str] = []
        count = 0
        for block in table_blocks(lake, table, proof):
            count += _load(rows, number, settled.without(table, block), malformed)
            advance(block.num_rows)
        if count:
            sentence = f"{many(count, 'row')} of {table} without a position that can be read"
            proof.add("position", sentence, malformed)


def _load(rows: PositionRows, table: int, block: pa.Table, malformed: list[str]) -> int:
    """Enter one block; the number of rows whose position is none."""
    columns = {name: _one(block[name]) for name in block.column_names}
    parsed = rows.parse(columns["sequence"])
    bad = len(parsed.is_good) - int(parsed.is_good.sum())
    if bad:
        wrong = columns["sequence"].filter(pa.array(~parsed.is_good))
        malformed += [repr(text) for text in wrong.slice(0, 5).to_pylist()]
        columns = {name: column.filter(pa.array(parsed.is_good)) for name, column in columns.items()}
    shard = rows.shard_numbers(columns["source"], columns["shard"])
    entered = {
        "t": np.full(len(shard), table, dtype=np.int8),
        "shard": shard,
        "sequence": parsed.sequence,
        "sub": parsed.sub,
        "r": rows.ranges_of(shard, parsed.sequence),
    }
    if table != REJECTED:
        entered["arrived"] = columns["arrived_at"].cast(pa.int64())
        entered |= key_halves(columns["event_uuid"])
    # Lines of a json lake hold more than the event, so that `payload` is not the event's bytes there.
    content = "raw" if table == REJECTED else "payload"
    prints = {"content": fingerprints(columns[content])} if content in columns else {}
    rows.insert("rows", {**entered, **prints})
    if table == DUPLICATES:
        _load_originals(rows, columns, entered)
    return bad


def _load_originals(rows: PositionRows, columns: dict[str, pa.Array], entered: dict[str, pa.Array]) -> None:
    """Enter where the duplicates' originals are; a position that is none stays null and is an orphan's."""
    original = rows.parse(columns["original_sequence"])
    index = np.full(len(original.is_good), -1, dtype=np.int64)
    index[original.is_good] = np.arange(int(original.is_good.sum()))
    at = pa.array(index, mask=index < 0)
    del entered["t"]
    rows.insert(
        "originals",
        {
            **entered,
            "name": columns["original_shard"],
            "original": original.sequence.take(at),
            "original_sub": pa.array(original.sub).take(at),
        },
    )


def table_blocks(lake: ExistingLake, table: str, proof: Proof) -> Iterator[pa.Table]:
    """The columns of a table that are needed, in blocks; a breach where it cannot be read to the end.

    Raises:
        PermanentError: there is not enough memory, which says nothing about the lake.
        TransientError: a remote storage did not answer.
    """
    try:
        yield from gathered(_batches(lake, table, proof))
    except (MemoryError, pa.ArrowMemoryError, duckdb.OutOfMemoryException) as error:
        raise PermanentError(f"{table} needs more memory to be read than there is: {error}") from error
    except (OSError, pa.ArrowException, duckdb.Error) as error:
        if read.is_of_network(error):
            raise TransientError(f"{table} cannot be read now: {' '.join(str(error).split())}") from error
        proof.add("unreadable", f"{table} cannot be read to its end: {' '.join(str(error).split())}")


def _batches(lake: ExistingLake, table: str, proof: Proof) -> Iterator[pa.RecordBatch]:
    columns = _COLUMNS[table]
    if lake.about.format == "json":
        # A buffer of `rejected` holds its longest possible line, and every thread has some.
        with duckdb.connect(config={"threads": "1" if table == "rejected" else "2"}) as connection:
            connection.execute("SET TimeZone='UTC'")
            connection.execute("SET enable_progress_bar=false")
            columns = [column for column in columns if column != "payload"]
            relation = read.relation(connection, lake.storage, table).select(*columns)
            yield from relation.to_arrow_reader(SCAN_ROWS)
        return
    found = read.dataset(lake.storage, table)
    if isinstance(found, ds.FileSystemDataset):
        found = _readable(lake, found, table, proof)
    yield from found.scanner(
        columns=columns, batch_size=SCAN_ROWS, batch_readahead=2, fragment_readahead=4, cache_metadata=False
    ).to_batches()


def _readable(lake: ExistingLake, found: ds.FileSystemDataset, table: str, proof: Proof) -> ds.FileSystemDataset:
    """The dataset without the files that are gone."""
    fragments = list(found.get_fragments())
    there = set(lake.storage.list(f"{table}/"))
    gone = [fragment.path for fragment in fragments if fragment.path not in there]
    if not gone:
        return found
    proof.add("unreadable", f"{many(len(gone), 'file')} of {table} named by its log but gone", gone)
    kept = [fragment for fragment in fragments if fragment.path in there]
    return ds.FileSystemDataset(kept, found.schema, found.format, found.filesystem)


def gathered(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Small batches joined to blocks of about BLOCK_ROWS or BLOCK_BYTES."""
    waiting: list[pa.RecordBatch] = []
    count = size = 0
    for batch in batches:
        if batch.num_rows:
            waiting.append(batch)
            count += batch.num_rows
            size += batch.nbytes
        if count >= BLOCK_ROWS or size >= BLOCK_BYTES:
            yield pa.Table.from_batches(waiting)
            waiting, count, size = [], 0, 0
    if waiting:
        yield pa.Table.from_batches(waiting)


def _one(column: pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks()
    return array if isinstance(array, pa.Array) else pa.concat_arrays(array.chunks)


def quality_counts(lake: ExistingLake, proof: Proof) -> dict[str, Sequence[int]]:
    """Per entry id the sums of `quality`: received, accepted, duplicates, rejected."""
    sums: dict[str, Sequence[int]] = {}
    names = _COLUMNS["quality"][1:]
    for block in table_blocks(lake, "quality", proof):
        grouped = block.group_by("entry_id").aggregate([(name, "sum") for name in names])
        for row in grouped.to_pylist():
            before = sums.get(row["entry_id"], (0, 0, 0, 0))
            added = [row[f"{name}_sum"] or 0 for name in names]
            sums[row["entry_id"]] = [a + b for a, b in zip(before, added, strict=True)]
    return sums
