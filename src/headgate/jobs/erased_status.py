"""What `status` says of erasures, and by how many rows they make a table smaller than the ledger counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import duckdb
import pyarrow as pa

from headgate.core.erased import ERASED
from headgate.jobs.existing import ExistingLake
from headgate.lake.erase_receipt import erasures
from headgate.lake.erasures import recorded
from headgate.lake.settled import replays, settled_of, settled_rows
from headgate.ports import LedgerState

_SETTLING = ("duplicates", "rejected")  # tables of which replays settle rows
_ROW = ", ".join(f'"{name}"' for name in ERASED.names if name not in ("arrived_at", "digest"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureStatus:
    """Erasures of a lake.

    Attributes:
        number: of erasures, finished or not.
        rows: by table how many rows the finished ones have taken out.
        unfinished: those without a receipt: killed, or under way. Their rows may still be in the tables.
    """

    number: int = 0
    rows: Mapping[str, int] = field(default_factory=dict)
    unfinished: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """By table, in rows.

    Attributes:
        settled: of the erased rows those that replays had settled before.
        doubtful: recorded by unfinished erasures alone: there or not.
    """

    settled: Mapping[str, int] = field(default_factory=dict)
    doubtful: Mapping[str, int] = field(default_factory=dict)


def erasure_status(lake: ExistingLake, state: LedgerState) -> tuple[ErasureStatus, Missing]:
    """Look at what is recorded; costs one listing of an empty prefix where nothing was erased.

    Raises:
        TransientError: the storage did not answer.
        PermanentError: a record cannot be read.
    """
    known = erasures(lake.storage)
    if not known:
        return ErasureStatus(), Missing()
    finished = [name for name, is_finished in known.items() if is_finished]
    unfinished = [name for name, is_finished in known.items() if not is_finished]
    with duckdb.connect(config={"threads": "1"}) as connection:
        connection.execute("SET enable_progress_bar=false")
        for view, names in (("finished", finished), ("unfinished", unfinished)):
            connection.register(view, pa.concat_tables([ERASED.empty_table(), *recorded(lake.storage, names)]))
        connection.execute(f"CREATE VIEW gone AS SELECT DISTINCT {_ROW} FROM finished")  # noqa: S608
        doubtful = f"(SELECT {_ROW} FROM unfinished EXCEPT SELECT {_ROW} FROM gone)"  # noqa: S608  own names
        return (
            ErasureStatus(number=len(known), rows=_by_table(connection, "gone"), unfinished=unfinished),
            Missing(settled=_settled(connection, lake, state), doubtful=_by_table(connection, doubtful)),
        )


def _by_table(connection: duckdb.DuckDBPyConnection, rows: str) -> dict[str, int]:
    found = connection.execute(f'SELECT "table", count(*) FROM {rows} GROUP BY ALL ORDER BY ALL').fetchall()  # noqa: S608
    return {str(table): int(count) for table, count in found}


def _settled(connection: duckdb.DuckDBPyConnection, lake: ExistingLake, state: LedgerState) -> dict[str, int]:
    if not state.replayed_at:
        return {}
    connection.register("settled", settled_rows(lake.storage, replays(lake.entry, state.replayed_at)))
    found = {}
    for table in _SETTLING:
        rows = f"(SELECT * FROM gone WHERE \"table\" = '{table}')"  # noqa: S608  own names
        counted = f"SELECT count(*) FROM ({settled_of(table, rows, 'settled')})"  # noqa: S608  own names
        found[table] = int(connection.execute(counted).fetchall()[0][0])
    return found
