"""Ids for a claim store, once the files of ledger entries were joined and deleted."""

from dataclasses import replace

import pyarrow as pa
import pytest

from headgate.claims.memory import MemoryClaimStore
from headgate.core.schema import TIMESTAMP
from headgate.errors import PermanentError
from headgate.lake.local import LocalStorage
from headgate.ports import CommittedIds
from headgate.records import Claims, Verdicts
from headgate.recover import claims_from_rows, load_claims
from headgate.testing.compaction import DAY_US, compacted, open_delta
from headgate.testing.lake_rows import batch

SECOND_US = 1_000_000
START_US = 1_795_000_000 * SECOND_US


def arrived(number: int, ids: list[str], at_us: int, event_type: str = "a") -> Verdicts:
    """The batch of entry `number` + 1, whose events arrived at a time."""
    made = batch(None if number == 0 else str(number), str(number + 1), ids, event_type=event_type)
    column = pa.array([at_us] * made.events.num_rows, pa.int64()).cast(TIMESTAMP)
    at = made.events.schema.get_field_index("arrived_at")
    return replace(made, events=made.events.set_column(at, made.events.schema.field(at), column))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lake"


@pytest.fixture
def lake(path):
    lake = open_delta(LocalStorage(path))
    yield lake
    lake.close()


def admit(lake, *batches: Verdicts) -> None:
    for verdicts in batches:
        lake.commit(lake.stage(verdicts))
    lake.publish()


def vacuum(path) -> None:
    compacted(path)
    assert compacted(path, after_us=8 * DAY_US).tables["events"].vacuumed > 0


def read(lake, number: int = 0, since_us: int | None = None) -> list[tuple[int, list[str]]]:
    return [(n, ids.table["event_uuid"].to_pylist()) for n, ids in lake.claims_since(number, since_us)]


def test_rows_of_joined_files_come_from_the_table_and_later_entries_from_their_own_files(path, lake):
    admit(lake, arrived(0, ["a", "b"], START_US), arrived(1, ["c"], START_US + SECOND_US))
    vacuum(path)
    lake.commit(lake.stage(arrived(2, ["d"], START_US)))  # not yet published
    (first, found), *rest = read(lake)
    assert first < 0
    assert sorted(found) == ["a", "b", "c"]
    assert rest == [(3, ["d"])]
    assert read(lake, 2) == [(3, ["d"])]
    lake.publish()
    assert read(lake, 2) == [(3, ["d"])]


@pytest.mark.parametrize("slice_rows", [1, 2, 500_000])
def test_of_an_id_that_was_accepted_twice_the_later_arrival_owns_it(path, lake, monkeypatch, slice_rows):
    monkeypatch.setattr("headgate.lake.accepted.SLICE_ROWS", slice_rows)
    admit(
        lake,
        # `z` sorts behind `a`, so that the files of the earlier arrival are read last.
        arrived(0, ["id"], START_US, "z"),
        arrived(1, ["x1", "x2"], START_US + SECOND_US // 2, "z"),
        arrived(2, ["id"], START_US + 90 * SECOND_US, "a"),
        arrived(3, ["y"], START_US + 90 * SECOND_US, "z"),
        arrived(4, ["other"], START_US + 91 * SECOND_US, "a"),
    )
    vacuum(path)
    claims = MemoryClaimStore()
    assert sum(load_claims(claims, lake, 0)) == len(read_all(lake)) - (slice_rows == 500_000)
    taken = arrived(9, ["id"], START_US + 95 * SECOND_US)
    (owner,) = claims.claim(claims_of(taken, claims), 60 * SECOND_US)
    assert int(owner["arrived"]) == START_US + 90 * SECOND_US


def read_all(lake) -> list[str]:
    return [event_id for _, ids in read(lake) for event_id in ids]


def claims_of(verdicts: Verdicts, store: MemoryClaimStore) -> Claims:
    return claims_from_rows(CommittedIds(table=verdicts.events), store)


def test_many_rows_of_one_arrival_are_given_bit_by_bit(path, lake, monkeypatch):
    monkeypatch.setattr("headgate.lake.accepted.SLICE_ROWS", 2)
    monkeypatch.setattr("headgate.lake.accepted.MAX_ROWS", 3)
    monkeypatch.setattr("headgate.lake.accepted._READ_ROWS", 2)
    ids = [f"{i:02d}" for i in range(10)]
    admit(lake, arrived(0, ids, START_US), arrived(1, ["later"], START_US + 5 * SECOND_US))
    vacuum(path)
    found = read(lake)
    assert sorted(read_all(lake)) == [*ids, "later"]
    assert len({n for n, _ in found}) == len(found) > 3
    assert found[-1][1] == ["later"]


def test_rows_that_arrived_earlier_are_left_out(path, lake):
    admit(lake, arrived(0, ["a"], START_US), arrived(1, ["b"], START_US + 1), arrived(2, ["c"], START_US + SECOND_US))
    vacuum(path)
    since = [[i for _, ids in read(lake, 0, START_US + us) for i in ids] for us in (0, 1, 2, SECOND_US, SECOND_US + 1)]
    assert list(map(sorted, since)) == [["a", "b", "c"], ["b", "c"], ["c"], ["c"], []]


def test_a_file_that_is_gone_and_was_never_joined_is_named(path, lake):
    staged = lake.stage(arrived(0, ["a"], START_US))
    lake.commit(staged)
    (file,) = [f for f in staged.files if f.table == "events"]
    lake.storage.delete(file.path)
    with pytest.raises(PermanentError, match="restore it from a backup"):
        read(lake)
    lake.publish()
    with pytest.raises(PermanentError, match="restore it from a backup"):
        read(lake)
