"""What Firehose delivers again of erased rows stays out of the tables, and copies of erased events are duplicates."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from headgate.records import Counts
from headgate.testing.action_log import ActionLog
from headgate.testing.erasure import erase_rows, record_rows
from headgate.testing.filing_world import FilingWorld, event, record
from headgate.testing.firehose_driver import Delivered
from headgate.testing.records import ARRIVED_US
from headgate.testing.scripted_storage import Killed

DAY_US = 86_400_000_000


@pytest.fixture(params=["delta", "json"])
def world(request, tmp_path):
    return FilingWorld(folder=tmp_path, table_format=request.param)


def some(*parts: bytes, start: int = 0, days: float = 0) -> list[Delivered]:
    return [record(start + n, data, ARRIVED_US + int(days * DAY_US) + n * 1_000) for n, data in enumerate(parts)]


def of_ids(*numbers: int) -> Callable[[Mapping[str, Any]], bool]:
    return lambda row: row.get("event_uuid") in {f"id-{n}" for n in numbers}


def storage(world: FilingWorld):
    return world.platform.storage


def erase(world: FilingWorld, *numbers: int) -> None:
    assert erase_rows(storage(world), "events", of_ids(*numbers)) == len(numbers)


def proven(world: FilingWorld) -> Mapping[str, int]:
    proof = world.verify()
    assert proof.breaches == []
    return proof.erased


def test_a_line_that_is_delivered_again_at_an_erased_position_is_not_filed_again(world):
    records = some(event(1), event(2), event(1), b"rubbish")
    world.deliver(records)
    assert world.file().counts == Counts(4, 2, 1, 1)
    erase(world, 1)
    erase_rows(storage(world), "rejected", lambda row: True, erasure="e2")
    erase_rows(storage(world), "duplicates", lambda row: True, erasure="e3")

    world.deliver(records)
    filed = world.file()

    assert (filed.counts, filed.redelivered) == (Counts(), 2)
    assert world.ids() == ["id-2"]
    assert [world.rows(table) for table in ("duplicates", "rejected")] == [[], []]
    assert proven(world) == {"events": 1, "duplicates": 1, "rejected": 1}


@pytest.mark.parametrize("is_lost", [True, False])
def test_a_delivered_copy_of_an_erased_event_is_a_duplicate_of_it(world, is_lost):
    world.deliver(some(event(1), event(2)))
    world.file()
    erase(world, 1)
    if is_lost:
        world.platform.store.renew()

    world.deliver(some(event(1, other=5), event(3), start=10, days=1))
    filed = world.file()

    assert filed.counts == Counts(2, 1, 1, 0)
    assert world.ids() == ["id-2", "id-3"]
    (copy,) = world.rows("duplicates")
    assert copy["original_sequence"] == str(record(0, b"", 0).sequence)
    assert copy["conflict"] is False  # nobody knows
    assert proven(world)["events"] == 1


def test_a_line_that_was_answered_before_the_claims_were_lost_is_a_duplicate_once_it_is_filed(world):
    """Firehose delivers a copy that the transformation took for new: filing finds the erased event behind it."""
    world.deliver(some(event(1), event(2)))
    other = FilingWorld(folder=world.folder / "other", table_format=world.table_format)
    other.deliver(some(event(1, other=5), event(3), start=10, days=1))
    world.file()
    erase(world, 1)
    filed = world.file(delivery=other.delivery)
    assert (filed.counts, filed.accepted_again) == (Counts(2, 1, 1, 0), 1)
    (copy,) = world.rows("duplicates")
    assert (copy["original_sequence"], copy["conflict"]) == (str(record(0, b"", 0).sequence), False)
    assert world.ids() == ["id-2", "id-3"]
    proven(world)


def test_beyond_the_window_an_erased_id_is_free(world):
    world.deliver(some(event(1)))
    world.file()
    erase(world, 1)
    world.platform.store.renew()
    world.deliver(some(event(1), event(1), start=10, days=7.1))
    assert world.file().counts == Counts(2, 1, 1, 0)
    assert world.ids() == ["id-1"]
    proven(world)


def test_a_retry_of_an_invocation_whose_events_were_erased_gets_its_answer_and_files_nothing(world):
    records = some(event(1), event(2))
    world.deliver(records)
    world.file()
    erase(world, 1, 2)
    world.platform.store.renew()
    world.deliver(records)
    assert world.file().redelivered == 2
    assert (world.ids(), world.rows("duplicates")) == ([], [])
    proven(world)


def test_a_row_that_a_killed_erasure_recorded_and_left_is_an_ordinary_one(world):
    world.deliver(some(event(1), event(2)))
    world.file()
    record_rows(storage(world), "events", of_ids(1))
    world.deliver(some(event(1), event(1), start=10, days=1))
    assert world.file().counts == Counts(2, 0, 2, 0)
    assert world.ids() == ["id-1", "id-2"]
    assert proven(world) == {"events": 0, "duplicates": 0, "rejected": 0}


def test_a_filing_that_dies_at_any_write_files_no_erased_row_again(tmp_path):
    base = FilingWorld(folder=tmp_path / "base")
    records = some(event(1), event(2), event(3), event(1))
    base.deliver(records)
    base.file()
    erase(base, 1, 2)
    base.platform.store.renew()
    base.deliver(records)
    base.deliver(some(event(1), event(4), start=10, days=1))
    for number in itertools.count(0, 4):
        shutil.copytree(tmp_path / "base", tmp_path / str(number))
        world, log = FilingWorld(folder=tmp_path / str(number)), ActionLog()
        log.faults[number] = "killed after"
        try:
            world.file(log)
        except Killed:
            world.file()
        assert world.ids() == ["id-3", "id-4"]
        assert len(world.rows("duplicates")) == 2
        proven(world)
        if number >= len(log.effects):
            break
    assert number > 3
