"""The promises as laws over a lake and what was sent: an independent, naive model, one row at a time."""

# ruff: noqa: S101 (these are assertions)
from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from headgate.core.partition import unescape
from headgate.core.schema import PARTITIONS
from headgate.lake.entry import LEDGER, Entry, decode_entry
from headgate.lake.read import dataset
from headgate.lake.storage import Storage
from headgate.records import Counts
from headgate.testing.world import WINDOW_US, World

Row = Mapping[str, Any]
Place = tuple[str, str]  # shard and sequence, as the tables hold them


class Sent(NamedTuple):
    """A part of a record, as the producer meant it.

    Attributes:
        shard: where it was sent.
        sequence: the record's position.
        text: the part's position, `#n` behind it inside a record.
        key: which id it bears, whatever the spelling; None where it is no event under any rules.
        payload: its bytes.
        arrived_us: the record's arrival.
    """

    shard: str
    sequence: int
    text: str
    key: int | None
    payload: bytes
    arrived_us: int

    @property
    def place(self) -> Place:
        """Shard and position."""
        return self.shard, self.text


def check_laws(
    world: World,
    sent: Sequence[Sent],
    *,
    may_be_orphan: Callable[[Place], bool] = lambda place: False,
    erased: Sequence[Row] = (),
    recorded: Collection[Place] = (),
) -> None:
    """All laws that hold for every lake that has come to rest.

    Args:
        world: where it happened.
        sent: every part that can be, or was, read.
        may_be_orphan: True for a place that was claimed by a record that never became an accepted event.
        erased: rows that were taken out of `events`: they count as if they were there.
        recorded: places of these, and of what a killed erasure left.
    """
    tables = {name: rows(world, name) for name in ("events", "duplicates", "rejected", "quality")}
    tables["events"] += erased
    by_place = {part.place: part for part in sent}
    _check_positions(tables, by_place)
    _check_counts(world, tables)
    accepted = {_place(row): by_place[_place(row)] for row in tables["events"]}
    _check_window(accepted.values())
    for row in tables["duplicates"]:
        _check_duplicate(row, accepted, by_place, recorded, may_be_orphan)
    for row in tables["rejected"]:
        is_conditional = row["reason"].startswith(("rule:", "event_type_limit", "too_large"))
        assert is_conditional or by_place[_place(row)].key is None, row


def accepted_places(world: World) -> set[Place]:
    """Where the accepted events came from."""
    return {_place(row) for row in rows(world, "events")}


def first_wins(parts: Sequence[Sent]) -> set[Place]:
    """The accepted of one shard by the contract's rule, one after the other."""
    owner: dict[int, Sent] = {}
    accepted = set()
    for part in parts:
        if part.key is None:
            continue
        held = owner.get(part.key)
        if held is None or part.arrived_us > held.arrived_us + WINDOW_US:
            owner[part.key] = part
            accepted.add(part.place)
    return accepted


def entries(storage: Storage) -> list[Entry]:
    """The ledger, entry by entry."""
    names = [p for p in storage.list(LEDGER) if "snapshot" not in p]
    return [decode_entry(storage.get(path) or b"") for path in sorted(names)]


def rows(world: World, table: str) -> list[Row]:
    """The published rows of a table, whatever the format."""
    if world.table_format == "delta":
        return [dict(row) for row in dataset(world.storage, table).to_table().to_pylist()]
    found: list[Row] = []
    for path in sorted(world.storage.list(f"{table}/")):
        content = world.storage.get(path) or b""
        if path.endswith(".parquet"):
            folders = path.split("/")[1:-1]
            values = {c: unescape(f.split("=", 1)[1]) for c, f in zip(PARTITIONS[table], folders, strict=True)}
            found += [row | values for row in pq.ParquetFile(pa.BufferReader(content)).read().to_pylist()]
        else:
            lines = [json.loads(line) for line in content.splitlines()]
            found += [line | line.get("_headgate", {}) for line in lines]
    return found


def _place(row: Row) -> Place:
    return row["shard"], row["sequence"]


def _check_positions(tables: Mapping[str, Sequence[Row]], by_place: Mapping[Place, Sent]) -> None:
    """Every position stands exactly once in events, duplicates or rejected."""
    seen = Counter(_place(row) for name in ("events", "duplicates", "rejected") for row in tables[name])
    assert seen == Counter(by_place.keys())


def _check_counts(world: World, tables: Mapping[str, Sequence[Row]]) -> None:
    """Conservation for each entry, each shard and in all; tables, quality and ledger agree."""
    ledger = entries(world.storage)
    for entry in ledger:
        assert entry.counts == sum((moved.counts for moved in entry.ranges), Counts())
        assert _is_conserved(entry.counts)
        assert all(_is_conserved(moved.counts) for moved in entry.ranges)
        assert _file_rows(entry, "events") == entry.counts.accepted
        assert _file_rows(entry, "duplicates") == entry.counts.duplicates
        assert _file_rows(entry, "rejected") == entry.counts.rejected
    in_all = sum((entry.counts for entry in ledger), Counts())
    found = [len(tables[name]) for name in ("events", "duplicates", "rejected")]
    assert in_all == Counts(sum(found), *found)
    names = ("received", "accepted", "duplicates", "rejected")
    assert in_all == Counts(*(sum(row[name] for row in tables["quality"]) for name in names))
    conflicts = sum(row["conflicts"] for row in tables["quality"])
    assert conflicts == sum(row["conflict"] for row in tables["duplicates"])
    for name in ("units", "created_to_arrived"):  # measured of each event once
        measured = sum(sum(dict(row[name]).values()) for row in tables["quality"])
        assert measured == in_all.accepted + in_all.duplicates, name
    of_shard = Counter(row["shard"] for name in names[1:] for row in tables["events" if name == "accepted" else name])
    of_ledger: Counter[str] = Counter()
    for entry in ledger:
        for moved in entry.ranges:  # a shard may stand there with several islands
            of_ledger[moved.shard] += moved.counts.received
    assert +of_shard == +of_ledger


def heirs_of(sent: Sequence[Sent]) -> set[Place]:
    """Places that orphans may name as originals, where a shared store outlives a killed or fenced consumer.

    A claim that was not committed judges a copy, and a third one, more than the window later, takes the id over before
    the claim's own record is read again: `verify` names such orphans.
    """
    times: dict[int | None, list[int]] = {}
    for part in sent:
        times.setdefault(part.key, []).append(part.arrived_us)
    return {part.place for part in sent if max(times[part.key]) - min(times[part.key]) > WINDOW_US}


def _is_conserved(counts: Counts) -> bool:
    return counts.received == counts.accepted + counts.duplicates + counts.rejected


def _file_rows(entry: Entry, table: str) -> int:
    return sum(file.rows for file in entry.files if file.table == table)


def _check_window(accepted: Collection[Sent]) -> None:
    """No two accepted of one id within a window."""
    latest: dict[int | None, Sent] = {}
    for part in sorted(accepted, key=lambda part: part.arrived_us):
        before = latest.get(part.key)
        assert before is None or part.arrived_us > before.arrived_us + WINDOW_US, (before, part)
        latest[part.key] = part


def _check_duplicate(
    row: Row,
    accepted: Mapping[Place, Sent],
    by_place: Mapping[Place, Sent],
    recorded: Collection[Place],
    may_be_orphan: Callable[[Place], bool],
) -> None:
    """A duplicate's original stands in events, bears its id, and the flag tells whether the bytes differ.

    Of an event that is recorded as erased nobody asks any more whether they differ.
    """
    place = row["original_shard"], row["original_sequence"]
    if place not in accepted and may_be_orphan(place):
        return
    part, original = by_place[_place(row)], accepted[place]
    assert part.key == original.key
    assert part.place != original.place
    assert part.arrived_us <= original.arrived_us + WINDOW_US
    assert place in recorded or row["conflict"] == (part.payload != original.payload)
