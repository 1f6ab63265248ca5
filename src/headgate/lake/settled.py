"""Which rows of `rejected` and `duplicates` replays have settled: written beside the tables, found by the ledger.

Law: a row is settled by the ledger entry that names the file in which it stands, and by nothing else. Replays form a
chain in the ledger, from the last one back: without a replay there is nothing to look for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from headgate.core.schema import SETTLED
from headgate.lake.entry import Entry
from headgate.lake.storage import Storage
from headgate.records import StagedFile

FOLDER = "_headgate/settled/"
TABLE = "settled"  # of the file in the entry; no table format publishes it


def stage_settled(storage: Storage, entry_id: str, rows: pa.Table) -> StagedFile:
    """Write what a replay settles; durable when this returns.

    Args:
        storage: of the lake.
        entry_id: of the commit to be.
        rows: SETTLED.
    """
    path = f"{FOLDER}{entry_id}.parquet"
    sink = pa.BufferOutputStream()
    pq.write_table(rows.cast(SETTLED), sink, compression="zstd", store_schema=False)
    content = sink.getvalue()
    storage.put(path, memoryview(content))
    return StagedFile(table=TABLE, path=path, target=path, size=content.size, rows=rows.num_rows, partition={})


def may_be_settled(storage: Storage) -> bool:
    """False where there surely was no replay; costs one listing of a prefix that is mostly empty."""
    return next(iter(storage.list(FOLDER)), None) is not None


def replays(entry: Callable[[int], Entry], replayed_at: int) -> list[Entry]:
    """All replays of a lake, oldest first.

    Args:
        entry: reads an entry of the ledger.
        replayed_at: number of the last one; 0 for none.
    """
    found = []
    while replayed_at:
        found.append(entry(replayed_at))
        replayed_at = found[-1].replayed_at
    return found[::-1]


def settled_rows(storage: Storage, entries: Sequence[Entry]) -> ds.Dataset:
    """SETTLED of some replays, read when it is scanned."""
    paths = [file.published for entry in entries for file in entry.files if file.table == TABLE]
    if not paths:
        return ds.dataset(SETTLED.empty_table())
    return ds.dataset(paths, schema=SETTLED, format="parquet", filesystem=storage.arrow_files())


def unsettled(table: str, rows: str, settled: str) -> str:
    """SQL that gives the rows of a table which no replay has settled.

    Args:
        table: `rejected` or `duplicates`.
        rows: name of the relation with its rows.
        settled: name of the relation with SETTLED rows.
    """
    return f"SELECT r.* FROM {rows} r ANTI JOIN {settled} s ON {_is_mark(table)}"  # noqa: S608  own names


def settled_of(table: str, rows: str, settled: str) -> str:
    """SQL that gives the others, see `unsettled`."""
    return f"SELECT r.* FROM {rows} r SEMI JOIN {settled} s ON {_is_mark(table)}"  # noqa: S608  own names


def _is_mark(table: str) -> str:
    """True where a row `s` of SETTLED marks a row `r` of a table."""
    original = " AND s.original_shard = r.original_shard AND s.original_sequence = r.original_sequence"
    return (
        f"s.\"table\" = '{table}' AND s.source = r.source AND s.shard = r.shard AND s.sequence = r.sequence"
        f"{original if table == 'duplicates' else ''}"
    )
