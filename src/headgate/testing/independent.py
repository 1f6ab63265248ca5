"""An independent reader: judges a lake of any format with DuckDB and deltalake, by none of the code that wrote it.

Law: it takes for granted what the contract says of a lake's folders and nothing else. Valid for lakes whose events
all arrived within one window of de-duplication.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import duckdb
from deltalake import DeltaTable

POSITION = ("source", "shard", "sequence")
COLUMNS = {
    "events": ("event_uuid", "event_type", *POSITION),
    "duplicates": ("event_uuid", "event_type", *POSITION, "original_shard", "original_sequence", "conflict"),
    "rejected": ("reason", *POSITION),
    "quality": ("entry_id", "received", "accepted", "duplicates", "rejected"),
}
COUNTS = ("received", "accepted", "duplicates", "rejected")
_LARGEST_LINE = 256 << 20  # bytes; a rejected record of 64 MiB as base64, and room

#: The same id in another spelling is the same id.
_CANONICAL = "regexp_replace(lower(event_uuid), '^urn:uuid:|[{}-]', '', 'g')"


class Totals(NamedTuple):
    """Rows of a lake's tables."""

    accepted: int
    duplicates: int
    rejected: int


def breaches(lake: Path, truth: Mapping[str, object] | None = None) -> list[str]:
    """Everything about a lake that is not as promised; an empty list where all is exact.

    Args:
        lake: its folder; nobody writes to it meanwhile.
        truth: what `headgate generate --truth` wrote about all that was read into it.
    """
    entries = ledger(lake)
    with duckdb.connect() as connection:
        load(connection, lake)
        found = [*_of_ledger(lake, entries), *_of_entries(connection, entries), *_of_ranges(connection, entries)]
        for what, query in _LAWS.items():
            hits = connection.execute(f"SELECT * FROM ({query}) LIMIT 3").fetchall()
            if hits:
                found.append(f"{what}, for example {hits}")
        if truth is not None:
            found += _of_truth(connection, truth)
    return found


def totals(lake: Path) -> Totals:
    """Count the rows that a reader sees."""
    with duckdb.connect() as connection:
        load(connection, lake)
        return Totals(*(_one(connection, f"SELECT count(*) FROM {table}") for table in Totals._fields_tables()))


def ledger(lake: Path) -> list[dict[str, object]]:
    """All ledger entries in the order of their numbers."""
    return [
        json.loads(path.read_bytes())
        for path in sorted((lake / "_headgate" / "ledger").iterdir())
        if path.stem.isdigit()
    ]
