"""Small lakes with one person's rows among others', erasures of them, and what is left."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from headgate.consumer import Lease
from headgate.core.schema import DUPLICATES, EVENTS, REJECTED
from headgate.jobs.erase import Erasure
from headgate.jobs.erase_found import EraseSettings
from headgate.jobs.ledger_proof import prove_ledger
from headgate.jobs.proof import Proof
from headgate.lake.lake import TableLake
from headgate.lake.published import published_number
from headgate.lake.storage import Storage
from headgate.records import Counts, Verdicts
from headgate.testing.build_rows import build_all
from headgate.testing.compaction import compacted, of_storage
from headgate.testing.lake_contents import contents
from headgate.testing.lake_rows import CREATED, NOW_US, batch, read_table
from headgate.testing.world import DAY_US

PERSON = "person"
WHERE = f"payload->>'account' = '{PERSON}'"
SETTINGS = EraseSettings(where=WHERE, contains=PERSON.encode(), window_us=7 * DAY_US)
_TRACES = re.compile(rb"person|of-them-\d")
_CLAIMS = "_headgate/claims/"


class NoLease:
    """The lease of a lake to which nobody else writes."""

    patience_seconds = 0.0

    def try_acquire(self) -> bool:
        """It is free."""
        return True

    def holder(self) -> object:
        """Nobody."""
        return None

    def release(self) -> None:
        """Nothing to do."""


def admit(lake: TableLake, owners: Sequence[str], *, event_type: str = "payment") -> None:
    """One ledger entry, published; see `verdicts`."""
    lake.commit(lake.stage(verdicts(lake, owners, event_type=event_type)))
    lake.publish()


def verdicts(lake: TableLake, owners: Sequence[str], *, event_type: str = "payment") -> Verdicts:
    """What the next entry may hold: an event of each owner, a copy of each, and a broken reject of each.

    Args:
        lake: where to.
        owners: whose events; PERSON or others.
        event_type: first part of their names.
    """
    state = lake.refresh()
    known = next(iter(state.shards.values())).position if state.shards else None
    first, count = int(known or 0), len(owners)
    names = [f"{'of-them' if owner == PERSON else owner}-{first + i}" for i, owner in enumerate(owners)]
    rows = batch(known, str(first + 3 * count), names, event_type=event_type)
    payloads = [_payload(*pair, event_type) for pair in zip(names, owners, strict=True)]
    columns: dict[str, Sequence[object]] = {"payload": payloads, "sequence": _numbers(first, count)}
    originals = {"original_sequence": _numbers(first, count), "original_shard": [rows.ranges[0].shard.name] * count}
    copies = {**columns, **originals, "event_uuid": names, "sequence": _numbers(first + count, count)}
    raws = {"raw": [f'{{"account":"{owner}"'.encode() for owner in owners]}
    return replace(
        rows,
        events=_with(rows.events, EVENTS, columns),
        duplicates=_with(_times(rows.duplicates, count), DUPLICATES, copies),
        rejected=_with(
            _times(rows.rejected, count), REJECTED, {**raws, "sequence": _numbers(first + 2 * count, count)}
        ),
        shard_counts=[Counts(3 * count, count, count, count)],
        generation=state.generation or rows.generation,
    )


def fill(lake: TableLake) -> None:
    """Five entries: the person's among others' and all the person's; of delta some are compacted; typed tables."""
    owners = ["ann", "bob", PERSON]
    admit(lake, owners)
    admit(lake, [PERSON, PERSON], event_type="theirs")
    admit(lake, ["ann"])
    build_all(lake.storage, lake.about, lake)
    if lake.about.format == "delta":
        compacted(lake.storage.root)
    admit(lake, owners)
    admit(lake, owners, event_type="click")
    build_all(lake.storage, lake.about, lake)


def ledger_breaches(storage: Storage) -> list[str]:
    """What is wrong with the ledger by itself."""
    proof = Proof(lake=storage.root, format="", source="")
    prove_ledger(of_storage(storage), proof)
    return [breach.sentence for breach in proof.breaches]


def erased(
    storage: Storage, settings: EraseSettings = SETTINGS, *, after_us: int = 0, writers: Lease | None = None
) -> Mapping[str, object] | None:
    """Erase; the receipt, None where there was nothing to do.

    Args:
        storage: of the lake.
        settings: what.
        after_us: microseconds since all of it arrived.
        writers: the lease of writers; NoLease by default.
    """
    erasure = Erasure(
        of_storage(storage),
        settings,
        published_number(storage),
        writers=writers or NoLease(),
        now_us=lambda: NOW_US + after_us,
        new_id=lambda: uuid.uuid4().hex,
        sleep=lambda _: None,
    )
    found = erasure.find()
    return None if found.is_nothing else erasure.remove(found)


def traces(storage: Storage) -> list[str]:
    """Files that hold a byte of the person, or one of their ids; those of the claim store are left out."""
    found = {path for path, content in contents(storage) if _TRACES.search(content) and not path.startswith(_CLAIMS)}
    return sorted(found)


def others(storage: Storage) -> dict[str, list[str]]:
    """Rows of all tables that are not the person's, as text, in order."""
    tables = {table: read_table(storage, table).to_pylist() for table in ("events", "duplicates", "rejected")}
    texts = {table: sorted(map(str, rows)) for table, rows in tables.items()}
    return {table: [row for row in rows if not _TRACES.search(row.encode())] for table, rows in texts.items()}


def _payload(name: str, owner: str, event_type: str) -> str:
    event = {"event_uuid": name, "event_name": f"{event_type}:order", "created_at": CREATED, "account": owner}
    return json.dumps(event, separators=(",", ":"))


def _numbers(first: int, count: int) -> list[str]:
    return [str(first + i) for i in range(count)]


def _times(rows: pa.Table, count: int) -> pa.Table:
    return rows.take(pa.array([0] * count))


def _with(rows: pa.Table, schema: pa.Schema, columns: Mapping[str, Sequence[object]]) -> pa.Table:
    for name, values in columns.items():
        column = pa.array(values, schema.field(name).type)
        rows = rows.set_column(rows.schema.get_field_index(name), schema.field(name), column)
    return rows
