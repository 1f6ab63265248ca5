"""How far `build` has come, and what it knows of the typed tables: `_headgate/analytics/registry.json`.

Law: `built` is written after what it says, and as 0 before anything is read; all else here is a copy for people. Which
rows a table holds is in its own `txn`, its columns and their fields are in its own schema, and a folder's event name
is in `names/`. The file is whole always: it is replaced, never changed.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from headgate.errors import PermanentError
from headgate.lake.storage import Storage

REGISTRY_PATH = "_headgate/analytics/registry.json"
FIRST_PATH = "_headgate/analytics/first.json"


class First(msgspec.Struct, frozen=True):
    """Content of `first.json`: the first run reads version `version` of `events`, with the entries up to `number`.

    Written once by put-if-absent: the rows of one version cannot be told apart by their entries, so that whoever
    goes on with a first run, or begins one at the same time, must take the same.
    """

    version: int
    number: int


class DriftCount(msgspec.Struct):
    """Values of one field that are in no column: how many, what was expected, what was found."""

    field: str
    expected: str
    found: str
    count: int


class TableFacts(msgspec.Struct, kw_only=True):
    """One typed table, for people.

    Attributes:
        folder: below `analytics/`.
        version: of its Delta log; drift of commits up to it is counted here.
        fields: column to the event's field and the column's type.
        untyped: fields of which nothing but nulls and empty arrays was seen in the last run.
        drift: since the table was made, by kind.
    """

    folder: str
    version: int = -1
    fields: dict[str, tuple[str, str]] = {}
    untyped: list[str] = []
    drift: list[DriftCount] = []


class Registry(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The whole file. `built`: every entry up to it is in the typed tables; others may still be read by `build`."""

    built: int
    tables: dict[str, TableFacts] = {}


def read_registry(storage: Storage) -> Registry | None:
    """What is there; None where `build` never ran.

    Raises:
        PermanentError: it cannot be read.
    """
    content = storage.get(REGISTRY_PATH)
    try:
        return None if content is None else msgspec.json.decode(content, type=Registry)
    except msgspec.DecodeError as error:
        raise PermanentError(f"{storage.root}/{REGISTRY_PATH} cannot be read ({error}): restore it") from error


def write_registry(storage: Storage, registry: Registry) -> None:
    """Replace it."""
    storage.put(REGISTRY_PATH, msgspec.json.encode(registry))


def add_drift(facts: TableFacts, drift: Iterable[DriftCount]) -> None:
    """Count further."""
    counts = {(d.field, d.expected, d.found): d.count for d in facts.drift}
    for d in drift:
        counts[d.field, d.expected, d.found] = counts.get((d.field, d.expected, d.found), 0) + d.count
    facts.drift = [DriftCount(*key, count) for key, count in counts.items()]
