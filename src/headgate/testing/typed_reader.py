"""An independent reader of typed tables: judges `analytics/` by `events`, by none of the writing code.

Law: it takes for granted what the documentation says of these tables, and nothing else. Valid for lakes of format
delta or parquet in which all that is in `events` was built.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from deltalake import DeltaTable

from headgate.testing.independent import visible_files

ENVELOPE = ("event_uuid", "event_name", "created_at")
#: Columns of `events` that each typed table has too, as one text a column.
COMMON = (
    *("event_uuid", "event_name", "event_type", "event_subtype", "created_at", "created_datetime", "created_date"),
    *("arrived_at", "source", "shard", "sequence"),
)
_ROW = ("event_uuid", "source", "shard", "sequence")  # what tells a row from any other
RESCUED = "_rescued"
_OTHER = "_other"
_TEXTS = ", ".join(f"{name}::VARCHAR AS {name}" for name in COMMON)
_SHOWN = 3  # examples of a breach

#: Names of laws, and the rows that break them.
_LAWS = {
    "an accepted event is in no typed table": "SELECT * FROM events EXCEPT ALL SELECT * EXCLUDE folder FROM typed",
    "a typed table has a row that is not in events": """
        SELECT * EXCLUDE folder FROM typed EXCEPT ALL SELECT * FROM events""",
    "an id is in the typed tables more than once": """
        SELECT lower(event_uuid), count(*), list(folder) FROM typed GROUP BY 1 HAVING count(*) > 1""",
    "an event name has two tables": """
        SELECT event_name, list(DISTINCT folder) FROM typed GROUP BY 1 HAVING count(DISTINCT folder) > 1""",
    "a table holds two event names": """
        SELECT folder, list(DISTINCT event_name) FROM typed WHERE folder != '_other'
        GROUP BY 1 HAVING count(DISTINCT event_name) > 1""",
}


def typed_breaches(lake: Path) -> list[str]:
    """Everything about the typed tables that is not as `events` has it; an empty list where all is exact.

    Args:
        lake: its folder; nobody writes to it meanwhile.
    """
    found = []
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        _load(connection, lake)
        for law, query in _LAWS.items():
            hits = connection.execute(f"SELECT * FROM ({query}) LIMIT {_SHOWN}").fetchall()  # noqa: S608  own text
            if hits:
                found.append(f"{law}, for example {hits}")
        for folder in typed_folders(lake):
            if folder != _OTHER:
                found += islice(_values(connection, lake, folder), _SHOWN)
    return found


def typed_folders(lake: Path) -> list[str]:
    """The folders of typed tables below `analytics/`."""
    return sorted(log.parent.name for log in (lake / "analytics").glob("*/_delta_log"))


def typed_rows(lake: Path) -> int:
    """Rows of all typed tables."""
    return sum(_read(lake, folder, ["event_uuid"]).num_rows for folder in typed_folders(lake))


def _load(connection: duckdb.DuckDBPyConnection, lake: Path) -> None:
    """Make the tables payloads (with all that `events` holds), events and typed."""
    connection.execute(
        f"CREATE TABLE payloads AS SELECT {_TEXTS}, payload FROM "  # noqa: S608  own text
        "read_parquet($files, hive_partitioning = true, hive_types_autocast = 0)",
        {"files": visible_files(lake, "events")},
    )
    connection.execute("CREATE VIEW events AS SELECT * EXCLUDE payload FROM payloads")
    connection.execute("CREATE TABLE typed AS SELECT *, '' AS folder FROM events WHERE false")
    for folder in typed_folders(lake):
        rows = connection.from_arrow(_read(lake, folder, list(COMMON)))
        rows.project(f"{_TEXTS}, '{folder}'").insert_into("typed")


def _read(lake: Path, folder: str, columns: list[str]) -> pa.Table:
    return DeltaTable(lake / "analytics" / folder).to_pyarrow_dataset().to_table(columns=columns)


def _values(connection: duckdb.DuckDBPyConnection, lake: Path, folder: str) -> Iterator[str]:
    """Each field of each event stands in its column or, as it was sent, in `_rescued`, and nothing else does."""
    fields = DeltaTable(lake / "analytics" / folder).schema().fields
    names = {f.name: str(f.metadata["headgate.field"]) for f in fields if "headgate.field" in f.metadata}
    typed = _read(lake, folder, [*names, RESCUED, *_ROW])
    row = ", ".join(_ROW)
    connection.register("rows", typed.append_column("_row", pa.array(range(typed.num_rows))))
    payloads = connection.execute(
        f"SELECT p.payload FROM rows LEFT JOIN (SELECT {row}, any_value(payload) AS payload FROM payloads "  # noqa: S608
        f"GROUP BY ALL) p USING ({row}) ORDER BY rows._row"
    ).fetchall()
    connection.unregister("rows")
    for kept, (payload,) in zip(typed.to_pylist(), payloads, strict=True):
        sent = json.loads(payload) if payload else {}
        columns = {field: kept[column] for column, field in names.items()}
        rescued = json.loads(kept[RESCUED] or "{}")
        wrong = [field for field in {**sent, **columns, **rescued} if not _is_kept(field, sent, columns, rescued)]
        if wrong:
            where = f"analytics/{folder}, event {kept['sequence']} of {kept['shard']}"
            yield f"{where}: {wrong} of {payload} are kept as {kept}"


def _is_kept(field: str, sent: Mapping[str, Any], columns: Mapping[str, Any], rescued: Mapping[str, Any]) -> bool:
    if field in ENVELOPE:
        return field not in columns and field not in rescued
    if field in rescued:
        return field in sent and columns.get(field) is None and is_same(sent[field], rescued[field])
    return is_same(sent.get(field), columns.get(field))


def is_same(sent: Any, found: Any) -> bool:
    """True where a value of a column is the value that was sent; members that are null may be left out.

    Args:
        sent: as JSON has it.
        found: as Arrow has it; of a column of JSON text, the text.
    """
    if isinstance(found, str):
        return bool(sent == found) or _is_text_of(sent, found)
    if isinstance(sent, bool) or isinstance(found, bool) or sent is None or found is None:
        return sent is found
    if isinstance(sent, dict) and isinstance(found, dict):
        return all(is_same(sent.get(name), found.get(name)) for name in {**sent, **found})
    if isinstance(sent, list) and isinstance(found, list):
        return len(sent) == len(found) and all(map(is_same, sent, found))
    return isinstance(sent, int | float) and isinstance(found, int | float) and sent == found


def _is_text_of(sent: Any, text: str) -> bool:
    """True for JSON text of a value. A text in such a column is not told from a plain one that looks like it."""
    try:
        found = json.loads(text)
    except ValueError:
        return False
    return json.dumps(found, sort_keys=True) == json.dumps(sent, sort_keys=True)
