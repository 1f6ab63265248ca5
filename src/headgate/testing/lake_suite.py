"""The conformance suite of the Lake port. Subclass it and give `table_format`."""

# ruff: noqa: S101, D102  tests: they assert, and their names say it all

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from headgate.core.schema import TABLES
from headgate.errors import CommitConflict, CommitUnknown, ConfigError, TransientError
from headgate.lake.lake import TableLake, open_lake
from headgate.lake.layout import Format
from headgate.lake.local import LocalStorage
from headgate.lake.options import LakeOptions
from headgate.lake.storage import Storage
from headgate.records import Counts, Shard
from headgate.testing.lake_rows import (
    NOW_US,
    ODD_TYPES,
    OTHER_SHARD,
    SHARD,
    batch,
    event_rows,
    read_ids,
    read_rows,
    read_table,
)
from headgate.testing.scripted_storage import Fault, Killed, ScriptedStorage

Open = Callable[..., TableLake]


class LakeSuite:
    """One test a promise. `files` is where the lake lies: a fresh folder for each test, or what a subclass says."""

    table_format: Format

    @pytest.fixture
    def files(self, tmp_path: Path) -> Storage:
        """The lake's storage as another reader has it, which does not fail."""
        return LocalStorage(tmp_path / "lake")

    @pytest.fixture
    def storage(self, files: Storage) -> ScriptedStorage:
        """The lake's storage, which fails on script."""
        return ScriptedStorage(files)

    @pytest.fixture
    def open_handle(self, storage: ScriptedStorage) -> Iterator[Open]:
        """Opens handles on the same lake, each like another process; closes them all."""
        opened: list[TableLake] = []
        numbers = itertools.count()

        def open_one(max_event_types: int = 1_000) -> TableLake:
            name = f"h{len(opened)}"
            lake = open_lake(
                storage,
                self.table_format,
                LakeOptions(max_event_types=max_event_types),
                now_us=lambda: NOW_US,
                new_id=lambda: f"{name}-{next(numbers)}",
            )
            opened.append(lake)
            return lake

        yield open_one
        for lake in opened:
            lake.close()

    def test_published_rows_are_read_back_as_they_were(self, open_handle: Open, files: Storage) -> None:
        lake = open_handle()
        verdicts = batch(None, "10", ["a", "b"])
        lake.commit(lake.stage(verdicts))
        lake.publish()
        assert read_rows(files, "events", "event_uuid, event_name, event_type, created_at, sequence") == [
            ("a", "payment:order", "payment", 1_795_000_000.5, "0"),
            ("b", "payment:order", "payment", 1_795_000_000.5, "1"),
        ]
        assert read_rows(files, "rejected", "raw, reason") == [(b"\xff{", "malformed_json")]
        assert read_rows(files, "duplicates", "event_uuid, original_sequence, conflict") == [("copy-a", "7", True)]
        assert read_rows(files, "quality", "entry_id, event_type, accepted") == [("h0-1", "payment", 3)]

    def test_every_column_has_its_type(self, open_handle: Open, files: Storage) -> None:
        lake = open_handle()
        lake.commit(lake.stage(batch(None, "10", ["a"])))
        lake.publish()
        for table, schema in TABLES.items():
            read = read_table(files, table)
            assert read.column_names == schema.names
            assert [_plain(field.type) for field in read.schema] == [_plain(field.type) for field in schema]

    def test_nothing_is_visible_before_publication(self, open_handle: Open, files: Storage) -> None:
        lake = open_handle()
        staged = lake.stage(batch(None, "10", ["a"]))
        assert read_ids(files) == []
        lake.commit(staged)
        assert read_ids(files) == []

    def test_commit_called_twice_is_one_entry(self, open_handle: Open, files: Storage) -> None:
        lake = open_handle()
        staged = lake.stage(batch(None, "10", ["a"]))
        assert lake.commit(staged) == lake.commit(staged)
        lake.publish()
        assert read_ids(files) == ["a"]

    def test_publish_called_twice_shows_the_same_rows(self, open_handle: Open, files: Storage) -> None:
        lake = open_handle()
        lake.commit(lake.stage(batch(None, "10", ["a"])))
        assert lake.publish() == lake.publish() == 1
        assert open_handle().publish() == 1
        assert read_ids(files) == ["a"]

    def test_publication_does_not_depend_on_the_hint(
        self, open_handle: Open, storage: ScriptedStorage, files: Storage
    ) -> None:
        lake = open_handle()
        lake.commit(lake.stage(batch(None, "10", ["a"])))
        lake.publish()
        storage.delete("_headgate/published.json")
        assert open_handle().publish() == 1
        assert read_ids(files) == ["a"]

    def test_a_resumed_handle_knows_positions_and_counts(self, open_handle: Open) -> None:
        lake = open_handle()
        lake.commit(lake.stage(batch(None, "10", ["a", "b"])))
        lake.commit(lake.stage(batch("10", "20", ["c"])))
        state = open_handle().refresh()
        assert (state.number, state.shards[SHARD].position, state.counts) == (2, "20", Counts(7, 3, 2, 2))
        assert (state.generation, list(state.event_types)) == ("g1", ["payment"])
        assert state.shards[SHARD].meta == {"head": 1}

    def test_a_fenced_writer_gets_a_conflict_and_leaves_no_row(
        self, open_handle: Open, storage: ScriptedStorage, files: Storage
    ) -> None:
        first, second = open_handle(), open_handle()
        lost = second.stage(batch(None, "10", ["lost"]))
        first.commit(first.stage(batch(None, "10", ["a"])))
        with pytest.raises(CommitConflict):
            second.commit(lost)
        second.discard(lost)
        second.publish()
        assert read_ids(files) == ["a"]
        assert not any(storage.exists(file.path) for file in lost.files)

    def test_a_writer_that_lost_only_the_number_takes_the_next(self, open_handle: Open, files: Storage) -> None:
        first, second = open_handle(), open_handle()
        first.refresh(), second.refresh()
        waiting = second.stage(batch(None, "5", ["b"], shard=OTHER_SHARD))
        first.commit(first.stage(batch(None, "10", ["a"])))
        assert second.commit(waiting).number == 2
        second.publish()
        assert read_ids(files) == ["a", "b"]

    def test_writers_at_once_number_their_entries_without_gap(self, open_handle: Open, files: Storage) -> None:
        def write(k: int) -> list[int]:
            lake, shard = open_lakes[k], Shard("source", f"shard-{k}")
            numbers = []
            for i in range(5):
                start = None if i == 0 else str(i)
                staged = lake.stage(batch(start, str(i + 1), [f"{k}-{i}"], shard=shard))
                numbers.append(lake.commit(staged).number)
                lake.publish()
            return numbers

        open_lakes = [open_handle() for _ in range(3)]
        with ThreadPoolExecutor(3) as pool:
            numbers = [n for written in pool.map(write, range(3)) for n in written]
        assert sorted(numbers) == list(range(1, 16))
        open_handle().publish()
        assert read_ids(files) == sorted(f"{k}-{i}" for k in range(3) for i in range(5))

    def test_publishers_at_once_show_each_row_once(self, open_handle: Open, files: Storage) -> None:
        lake = open_handle()
        for i in range(10):
            lake.commit(lake.stage(batch(None if i == 0 else str(i), str(i + 1), [f"e{i}"])))
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(lambda handle: handle.publish(), [open_handle() for _ in range(4)])) == [10] * 4
        assert read_ids(files) == [f"e{i}" for i in range(10)]

    def test_a_lost_answer_to_the_commit_is_found_again(
        self, open_handle: Open, storage: ScriptedStorage, files: Storage
    ) -> None:
        lake = open_handle()
        staged = lake.stage(batch(None, "10", ["a"]))
        storage.fail("put_if_absent", "_headgate/ledger/", "after")
        assert lake.commit(staged).number == 1
        lake.publish()
        assert (read_ids(files), lake.refresh().number) == (["a"], 1)

    def test_a_commit_that_was_not_written_can_be_tried_again(
        self, open_handle: Open, storage: ScriptedStorage
    ) -> None:
        lake = open_handle()
        staged = lake.stage(batch(None, "10", ["a"]))
        storage.fail("put_if_absent", "_headgate/ledger/", "before")
        with pytest.raises(TransientError):
            lake.commit(staged)
        assert lake.commit(staged).number == 1

    def test_no_answer_to_commit_and_question_is_unknown(self, open_handle: Open, storage: ScriptedStorage) -> None:
        lake = open_handle()
        lake.refresh()
        staged = lake.stage(batch(None, "10", ["a"]))
        storage.fail("put_if_absent", "_headgate/ledger/", "silent")
        with pytest.raises(CommitUnknown):
            lake.commit(staged)
        assert lake.commit(staged).number == 1

    @pytest.mark.parametrize("table", list(TABLES))
    @pytest.mark.parametrize("fault", ["killed", "before", "after"])
    def test_whoever_finds_an_unpublished_entry_publishes_it(
        self, open_handle: Open, storage: ScriptedStorage, files: Storage, table: str, fault: Fault
    ) -> None:
        lake = open_handle()
        lake.commit(lake.stage(batch(None, "10", ["a", "b"])))
        lake.commit(lake.stage(batch("10", "20", ["c"])))
        method = "put_if_absent" if self.table_format == "delta" else "rename"
        storage.fail(method, f"{table}/", fault)
        with pytest.raises((Killed, TransientError)):
            lake.publish()
        assert open_handle().publish() == 2
        assert lake.publish() == 2
        assert read_ids(files) == ["a", "b", "c"]
        assert [read_table(files, name).num_rows for name in TABLES] == [3, 2, 2, 2]

    def test_a_failing_stage_leaves_nothing_and_can_be_repeated(
        self, open_handle: Open, storage: ScriptedStorage, files: Storage
    ) -> None:
        lake = open_handle()
        verdicts = batch(None, "10", ["a"])
        storage.fail("put", "rejected", "before")
        with pytest.raises(TransientError):
            lake.stage(verdicts)
        assert [path for path in storage.list("") if "h0-1" in path] == []
        lake.commit(lake.stage(verdicts))
        lake.publish()
        assert read_ids(files) == ["a"]

    def test_odd_event_types_are_read_back_exactly(self, open_handle: Open, files: Storage) -> None:
        lake = open_handle()
        for i, event_type in enumerate(ODD_TYPES):
            start = None if i == 0 else str(i)
            lake.commit(lake.stage(batch(start, str(i + 1), [f"{i:02d}"], event_type=event_type)))
        lake.publish()
        assert read_rows(files, "events", "event_type") == [(t,) for t in ODD_TYPES]

    def test_types_above_the_limit_are_a_conflict(self, open_handle: Open) -> None:
        first, second = open_handle(max_event_types=1), open_handle(max_event_types=1)
        waiting = second.stage(batch(None, "5", ["b"], event_type="other", shard=OTHER_SHARD))
        first.commit(first.stage(batch(None, "10", ["a"])))
        with pytest.raises(CommitConflict, match="event types"):
            second.commit(waiting)

    def test_another_generation_is_a_conflict(self, open_handle: Open) -> None:
        lake = open_handle()
        staged = lake.stage(batch(None, "10", ["a"]))
        lake.note(generation="g2")
        with pytest.raises(CommitConflict, match="generation"):
            lake.commit(staged)

    def test_a_generation_that_was_filled_too_late_is_a_conflict(self, open_handle: Open) -> None:
        lake = open_handle()
        lake.note(generation="g1")
        lake.note(generation="g2", replaces="g1")
        with pytest.raises(CommitConflict, match="fill again"):
            lake.note(generation="g1")
        lake.note(generation="g2", replaces="g1")  # two that filled one generation together
        assert lake.refresh().generation == "g2"

    def test_an_abandoned_shard_takes_no_more_commits(self, open_handle: Open) -> None:
        lake = open_handle()
        lake.commit(lake.stage(batch(None, "10", ["a"])))
        lake.note(abandoned={SHARD: "10"})
        state = open_handle().refresh()
        assert (state.abandoned, state.shards[SHARD].closed) == ({SHARD: "10"}, True)
        with pytest.raises(CommitConflict, match="abandoned"):
            lake.commit(lake.stage(batch("10", "20", ["b"])))

    def test_a_shard_that_moved_cannot_be_abandoned(self, open_handle: Open) -> None:
        lake = open_handle()
        lake.commit(lake.stage(batch(None, "10", ["a"])))
        with pytest.raises(CommitConflict):
            lake.note(abandoned={SHARD: None})

    @pytest.mark.parametrize("is_published", [True, False])
    def test_claims_are_read_from_staged_and_published_files(self, open_handle: Open, is_published: bool) -> None:
        lake = open_handle()
        lake.commit(lake.stage(batch(None, "10", ["a", "b"])))
        lake.note(generation="g1")
        lake.commit(lake.stage(batch("10", "20", ["c"])))
        if is_published:
            lake.publish()
        read = [(n, ids.table["event_uuid"].to_pylist()) for n, ids in lake.claims_since(0, None)]
        assert read == [(1, ["a", "b"]), (2, []), (3, ["c"])]
        (_, last), *_ = list(lake.claims_since(2, None))
        assert last.table.to_pylist()[0]["payload"] == event_rows([("c", "payment")], SHARD)["payload"][0].as_py()
        assert [ids.table.num_rows for _, ids in lake.claims_since(0, NOW_US + 10**12)] == [0, 0, 0]

    def test_another_format_is_refused(self, open_handle: Open, storage: ScriptedStorage) -> None:
        open_handle()
        other: Format = "json" if self.table_format != "json" else "delta"
        with pytest.raises(ConfigError, match=f"format {self.table_format}"):
            open_lake(storage, other, LakeOptions(), now_us=lambda: NOW_US)


def _plain(data_type: pa.DataType) -> pa.DataType:
    """The type without the name of its time zone's database or its list's inner fields."""
    return pa.map_(data_type.key_type, data_type.item_type) if pa.types.is_map(data_type) else data_type
