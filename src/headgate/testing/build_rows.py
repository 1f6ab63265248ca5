"""Lakes with payloads of one's own, for tests of typed tables, and what such a table holds."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import duckdb
import msgspec
import pyarrow as pa
from deltalake import DeltaTable

from headgate.core.analytics.policy import Contract
from headgate.core.schema import EVENTS
from headgate.jobs.build import Built, build
from headgate.jobs.existing import ExistingLake
from headgate.lake.analytics import BuildSettings
from headgate.lake.lake import TableLake
from headgate.lake.layout import LakeFormat
from headgate.lake.storage import Storage
from headgate.testing.lake_rows import NOW_US, batch

_ids = itertools.count()


def commit(lake: TableLake, payloads: Sequence[str], *, event_type: str = "payment", day: int = 0) -> None:
    """One ledger entry, published.

    Args:
        lake: where to.
        payloads: of the events, JSON text each; ids are made up.
        event_type: first part of their name, `<type>:order`.
        day: days after the date of `lake_rows.CREATED` on which they were created.
    """
    state = lake.refresh()
    position = next(iter(state.shards.values())).position if state.shards else None
    end = str(int(position or 0) + 10)
    verdicts = batch(position, end, [f"id-{next(_ids)}" for _ in payloads], event_type=event_type)
    events = verdicts.events
    events = _with(events, "payload", pa.array(payloads, pa.string()))
    if day:
        dates = pa.array(
            [value.toordinal() - 719_163 + day for value in events["created_date"].to_pylist()], pa.int32()
        )
        events = _with(events, "created_date", dates.cast(pa.date32()))
    lake.commit(lake.stage(replace(verdicts, events=events, generation=state.generation or verdicts.generation)))
    lake.publish()


def build_all(
    storage: Storage,
    about: LakeFormat,
    lake: TableLake,
    settings: BuildSettings | None = None,
    *,
    created_date: date | None = None,
) -> Built:
    """Run `build` without a lease."""
    run_ids = itertools.count()
    return build(
        ExistingLake(path=storage.root, storage=storage, about=about),
        settings or BuildSettings(contract=Contract()),
        lake.publish,
        None,
        now_us=lambda: NOW_US,
        new_id=lambda: f"run{id(run_ids)}-{next(run_ids)}",
        created_date=created_date,
    )


def typed_rows(storage: Storage, folder: str, columns: str = "*") -> list[tuple[object, ...]]:
    """Rows of a typed table through DuckDB over its Arrow dataset, by id."""
    table = DeltaTable(f"{storage.root}/analytics/{folder}", storage_options=storage.delta_options)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone='UTC'")
        connection.register("typed", table.to_pyarrow_dataset())
        return connection.sql(f"SELECT {columns} FROM typed ORDER BY length(event_uuid), event_uuid").fetchall()  # noqa: S608


def payload_values(storage: Storage, folder: str) -> list[object]:
    """The column `n` of each row, or what `_rescued` holds, by id."""
    return [
        n if rescued is None else msgspec.json.decode(str(rescued))
        for n, rescued in typed_rows(storage, folder, "n, _rescued")
    ]


def _with(events: pa.Table, name: str, column: pa.Array) -> pa.Table:
    return events.set_column(EVENTS.get_field_index(name), EVENTS.field(name), column)
