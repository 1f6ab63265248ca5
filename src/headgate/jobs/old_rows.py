"""The rows of a lake that a replay judges anew, read in the order in which they arrived, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from tempfile import TemporaryDirectory

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.again import OLD_ROWS
from headgate.errors import PermanentError, TransientError
from headgate.lake import jsonl, read
from headgate.lake.entry import Entry
from headgate.lake.erasures import erased_rows
from headgate.lake.lake import TableLake
from headgate.lake.settled import settled_rows, unsettled
from headgate.records import NO_SUB, SEQUENCE_BYTES, Shard, ShardRange

MEMORY_LIMIT = "1GB"  # of the sort; the rest goes to disk
SCAN_ROWS = 1_024  # rows looked at before a batch is cut

#: What is read of either table; `bytes` is the reject's raw bytes or the duplicate's payload.
_COLUMNS = (
    "source, shard, sequence, arrived_at, event_type, {bytes} AS bytes, {reason} AS reason, {detail} AS detail, "
    "{original_shard} AS original_shard, {original_sequence} AS original_sequence, {conflict} AS conflict"
)
_ID = "regexp_replace(lower({0}.event_uuid), '^urn:uuid:|[{{}}-]', '', 'g')"
_SEQUENCE = "split_part(sequence, '#', 1)"
_ORDER = (
    f"arrived_at, source, shard, length({_SEQUENCE}), {_SEQUENCE}, "
    "TRY_CAST(nullif(split_part(sequence, '#', 2), '') AS INTEGER) NULLS FIRST"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which rows.

    Attributes:
        reason: this reject reason only.
        since_us: arrived then or later, microseconds since 1970 UTC.
        until_us: arrived before then.
        source: of this source only, by its name in positions.
        orphans: duplicates whose original is not in `events` and was not erased, instead of rejects.
    """

    reason: str | None = None
    since_us: int | None = None
    until_us: int | None = None
    source: str | None = None
    orphans: bool = False

    @property
    def table(self) -> str:
        """Where these rows stand."""
        return "duplicates" if self.orphans else "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class OldBatch:
    """Some of the rows.

    Attributes:
        rows: OLD_ROWS.
        ranges: the shards that `rows["shard"]` counts.
        names: source, shard, sequence (texts, `#n` behind parts), event_type, reason, original_shard,
            original_sequence and conflict, row by row.
    """

    rows: pa.Table
    ranges: tuple[ShardRange, ...]
    names: pa.Table


def old_batches(
    lake: TableLake, replays: Sequence[Entry], selection: Selection, *, max_rows: int, max_bytes: int
) -> Iterator[OldBatch]:
    """Read what no replay has settled.

    Args:
        lake: published to its end.
        replays: all of its ledger.
        selection: which rows.
        max_rows: of a batch.
        max_bytes: of a batch, but for a longer row.

    Raises:
        TransientError: a remote storage did not answer.
        PermanentError: a table cannot be read.
    """
    with TemporaryDirectory(prefix="headgate-replay-") as spill, duckdb.connect() as connection:
        for setting in ("TimeZone='UTC'", "enable_progress_bar=false", f"memory_limit='{MEMORY_LIMIT}'"):
            connection.execute(f"SET {setting}")
        connection.execute("SET temp_directory=?", [spill])
        try:
            reader = _query(connection, lake, replays, selection)
            for found in _cut(reader, max_rows, max_bytes):
                table = _without_erased_originals(found, lake) if selection.orphans else found
                if table.num_rows:
                    yield _batch(table, is_line=selection.orphans and lake.about.format == "json")
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            said = " ".join(str(error).split())
            if read.is_of_network(error):
                raise TransientError(f"{selection.table} cannot be read now: {said}") from error
            raise PermanentError(f"{selection.table} of {lake.storage.root} cannot be read: {said}") from error


def _query(
    connection: duckdb.DuckDBPyConnection, lake: TableLake, replays: Sequence[Entry], selection: Selection
) -> pa.RecordBatchReader:
    table = selection.table
    if lake.about.format == "json" and table == "rejected":
        connection.execute("SET threads=1")  # a buffer holds the longest possible line, and every thread has some
    read.relation(connection, lake.storage, table).create_view("old_rows")
    rows = "old_rows"
    if replays:
        connection.register("settled", settled_rows(lake.storage, replays))
        rows = f"({unsettled(table, rows, 'settled')})"
    columns = {"conflict": "conflict" if selection.orphans else "false"}
    columns |= dict.fromkeys(("reason", "detail", "original_shard", "original_sequence"), "NULL::VARCHAR")
    if selection.orphans:
        read.relation(connection, lake.storage, "events").create_view("all_events")
        rows = (
            f"(SELECT d.* FROM {rows} d ANTI JOIN all_events e ON e.shard = d.original_shard "  # noqa: S608  own names
            f"AND e.sequence = d.original_sequence AND {_ID.format('e')} = {_ID.format('d')})"
        )
        columns |= {"original_shard": "original_shard", "original_sequence": "original_sequence"}
    else:
        columns |= {"reason": "reason", "detail": "detail"}
    columns["bytes"] = "encode(payload)" if selection.orphans else "raw"
    wanted = {
        "reason = ?": selection.reason,
        "epoch_us(arrived_at) >= ?": selection.since_us,
        "epoch_us(arrived_at) < ?": selection.until_us,
        "source = ?": selection.source,
    }
    given = {condition: value for condition, value in wanted.items() if value is not None}
    where = " AND ".join(given) or "true"
    query = f"SELECT {_COLUMNS.format(**columns)} FROM {rows} WHERE {where} ORDER BY {_ORDER}"  # noqa: S608  own names
    return connection.sql(query, params=list(given.values())).to_arrow_reader(SCAN_ROWS)


def _cut(reader: pa.RecordBatchReader, max_rows: int, max_bytes: int) -> Iterator[pa.Table]:
    """Blocks of at most so many rows, and of so many bytes but for a longer row."""
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    for block in reader:
        lengths = np.asarray(pc.binary_length(block.column("bytes")))
        start = 0
        for i, length in enumerate(lengths.tolist()):
            if rows and (rows >= max_rows or size + length > max_bytes):
                yield pa.Table.from_batches([*waiting, block.slice(start, i - start)])
                waiting, rows, size, start = [], 0, 0, i
            rows, size = rows + 1, size + length
        waiting.append(block.slice(start))
    if rows:
        yield pa.Table.from_batches(waiting)


def _without_erased_originals(rows: pa.Table, lake: TableLake) -> pa.Table:
    """The duplicates whose original was not erased.

    Order matters: what is recorded is read after the events, of which one may have been taken out meanwhile.
    """
    erased = erased_rows(lake.storage)
    originals = erased.filter(pc.equal(erased["table"], "events"))
    if not originals.num_rows:
        return rows
    asked = pc.binary_join_element_wise(rows["original_shard"], rows["original_sequence"], "\0")
    gone = pc.binary_join_element_wise(originals["shard"], originals["sequence"], "\0").combine_chunks()
    return rows.filter(pc.invert(pc.is_in(asked, gone)))


def _batch(table: pa.Table, *, is_line: bool) -> OldBatch:
    """Positions taken apart, shards numbered."""
    shards: dict[Shard, int] = {}
    texts = zip(table["source"].to_pylist(), table["shard"].to_pylist(), strict=True)
    index = [shards.setdefault(Shard(*names), len(shards)) for names in texts]
    split = [text.partition("#") for text in table["sequence"].to_pylist()]
    sequences = [int(whole).to_bytes(SEQUENCE_BYTES, "big") for whole, _, _ in split]
    raw = table["bytes"].cast(pa.large_binary())
    if is_line:
        raw = pa.array([jsonl.original(line).encode() for line in raw.to_pylist()], pa.large_binary())
    columns = {
        "raw": raw,
        "shard": pa.array(index, pa.int32()),
        "sequence": pa.array(sequences, pa.binary(SEQUENCE_BYTES)),
        "sub": pa.array([int(sub) if sub else NO_SUB for _, _, sub in split], pa.int32()),
        "arrived_at": table["arrived_at"],
        "reason": table["reason"],
        "detail": table["detail"],
    }
    names = ["source", "shard", "sequence", "event_type", "reason", "original_shard", "original_sequence", "conflict"]
    return OldBatch(
        rows=pa.table(columns).cast(OLD_ROWS),
        ranges=tuple(ShardRange(shard=shard, start=None, end="0") for shard in shards),
        names=table.select(names),
    )
