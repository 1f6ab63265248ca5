"""Filing that is killed, or overtaken by another, at each kind of write: each row is filed once all the same."""

import shutil
from contextlib import suppress
from itertools import islice

import pytest

from headgate.errors import CommitUnknown, TransientError
from headgate.jobs.filing import FilingSettings
from headgate.records import Counts
from headgate.testing.action_log import ActionLog
from headgate.testing.filing_world import WINDOW_US, FilingWorld, event, record
from headgate.testing.records import ARRIVED_US
from headgate.testing.scripted_storage import Killed


def delivered(folder, table_format):
    """A lake with one filing behind it and two batches before it."""
    world = FilingWorld(folder=folder, table_format=table_format)
    world.settings = FilingSettings(window_us=WINDOW_US, batch_bytes=700)
    world.deliver([record(0, event(0), ARRIVED_US)])
    world.file()
    parts = [event(1), event(1), b"rubbish", event(2, event_name="other"), event(0), event(3)]
    records = [record(n + 1, data, ARRIVED_US + n) for n, data in enumerate(parts)]
    world.deliver(records)
    world.deliver(records)
    return world


def check(world):
    assert world.ids() == ["id-0", "id-1", "id-2", "id-3"]
    assert [len(world.rows(table)) for table in ("duplicates", "rejected")] == [2, 1]
    proof = world.verify()
    assert (proof.breaches, proof.counts) == ([], Counts(7, 4, 2, 1))


def strikes(tmp_path, table_format):
    """Fresh copies of one lake, each with the number of the first write of its kind in a filing of it."""
    world = delivered(tmp_path / "whole", table_format)
    shutil.copytree(tmp_path / "whole", tmp_path / "before")
    log = ActionLog()
    world.file(log)
    check(world)
    kinds = {}
    for number, effect in enumerate(log.effects):
        kinds.setdefault((effect.name, *effect.about.split("/")[:2]), number)
    for number in kinds.values():
        folder = shutil.copytree(tmp_path / "before", tmp_path / str(number))
        yield FilingWorld(folder=folder, table_format=table_format, settings=world.settings), number


@pytest.mark.parametrize(
    ("table_format", "fault", "first"),
    [("delta", "killed after", 0), ("parquet", "killed before", 1)],
)
def test_a_filing_that_fails_anywhere_is_finished_by_the_next(tmp_path, table_format, fault, first):
    for world, number in islice(strikes(tmp_path, table_format), first, None, 2):
        with suppress(Killed, TransientError, CommitUnknown):
            world.file(ActionLog(faults={number: fault}))
        world.file()
        check(world)


def test_of_two_filings_at_once_one_begins_anew(tmp_path):
    for world, number in islice(strikes(tmp_path, "delta"), 0, None, 2):
        world.file(ActionLog(hooks={number: world.file}))
        check(world)
