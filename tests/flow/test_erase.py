"""An erased person's rows are in no byte of the lake, all other rows are as before, a second erasure does nothing."""

import json
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from headgate.core.erased import ERASED
from headgate.core.schema import EVENTS, REJECTED
from headgate.errors import ConfigError, TransientError
from headgate.jobs.erase_found import EraseSettings
from headgate.jobs.transform import FIREHOSE
from headgate.lake.entry import decode_entry
from headgate.lake.erase_receipt import checksum, record, record_sha256
from headgate.lake.erasures import erased_rows
from headgate.lake.lake import open_lake
from headgate.lake.local import LocalStorage
from headgate.lake.options import LakeOptions
from headgate.lake.parquet import encode
from headgate.testing.build_rows import build_all
from headgate.testing.compaction import now_us
from headgate.testing.erasing import PERSON, NoLease, admit, erased, fill, ledger_breaches, others, traces, verdicts
from headgate.testing.lake_rows import read_table
from headgate.testing.scripted_storage import ScriptedStorage
from headgate.testing.world import DAY_US


@pytest.fixture(scope="module", params=["delta", "parquet", "json"])
def made(request, tmp_path_factory):
    """A lake with rows of the person; see `fill`."""
    path = tmp_path_factory.mktemp("made") / "lake"
    lake = open_lake(LocalStorage(path), request.param, LakeOptions(), now_us=now_us)
    fill(lake)
    lake.close()
    return path


in_parquet = pytest.mark.parametrize("made", ["parquet"], indirect=True)
in_two_formats = pytest.mark.parametrize("made", ["delta", "parquet"], indirect=True)


@pytest.fixture
def lake(made, tmp_path):
    """A copy of that lake."""
    shutil.copytree(made, tmp_path / "lake")
    lake = open_lake(LocalStorage(tmp_path / "lake"), None, LakeOptions(), now_us=now_us)
    yield lake
    lake.close()


def typed_rows(storage):
    folder = Path(storage.root) / "analytics"
    tables = sorted(path for path in folder.iterdir() if (path / "_delta_log").is_dir())
    return {path.name: sorted(map(str, DeltaTable(path).to_pyarrow_table().to_pylist())) for path in tables}


def test_no_byte_of_the_person_is_left_and_all_other_rows_are(lake):
    storage = lake.storage
    assert traces(storage)
    before, typed = others(storage), typed_rows(storage)
    receipt = erased(storage)
    assert traces(storage) == []
    assert others(storage) == before
    assert {table: read_table(storage, table).num_rows for table in before} == {t: len(r) for t, r in before.items()}
    wanted = {name: [row for row in rows if PERSON not in row] for name, rows in typed.items()}
    assert typed_rows(storage) == wanted
    counts = {table: of["rows"] for table, of in receipt["tables"].items()}
    assert counts == {
        "events": 5, "duplicates": 5, "rejected": 5,
        "analytics/payment_order": 2, "analytics/theirs_order": 2, "analytics/click_order": 1,
    }  # fmt: skip


def test_a_second_erasure_finds_nothing_and_changes_nothing(lake):
    storage = lake.storage
    erased(storage)
    before = {path: path.stat().st_mtime_ns for path in Path(storage.root).rglob("*")}
    assert erased(storage) is None
    assert {path: path.stat().st_mtime_ns for path in Path(storage.root).rglob("*")} == before


def test_what_went_is_recorded_by_its_position_and_every_row_is_there_or_recorded(lake):
    storage = lake.storage
    whole = {t: set(read_table(storage, t)["sequence"].to_pylist()) for t in ("events", "duplicates", "rejected")}
    receipt = erased(storage)
    rows = erased_rows(storage)
    assert rows.schema == ERASED
    for table, sequences in whole.items():
        recorded = {row["sequence"] for row in rows.to_pylist() if row["table"] == table}
        left = set(read_table(storage, table)["sequence"].to_pylist())
        assert recorded | left == sequences
        assert not recorded & left
    of_events = [row for row in rows.to_pylist() if row["table"] == "events"]
    assert all(row["digest"] for row in of_events)
    assert receipt["record_sha256"] == record_sha256(record(storage, receipt["id"]))


@in_two_formats
def test_the_receipt_names_what_was_done_and_nobody(lake):
    storage = lake.storage
    receipt = erased(storage)
    written = json.loads(storage.get(f"_headgate/erasures/{receipt['id']}/receipt.json"))
    assert written == receipt
    assert written["checksum"] == checksum(written)
    assert PERSON not in json.dumps(written)
    assert written["left"] == written["continues"] == []
    assert len(written["where_hmac"]) == len(written["contains_hmac"]) == 64
    if lake.about.format == "delta":
        events = written["tables"]["events"]
        assert events["version_to"] == events["version_from"] + 1 == DeltaTable(f"{storage.root}/events").version()


def test_the_ledger_says_what_is_left_of_its_files(lake):
    storage = lake.storage
    assert ledger_breaches(storage) == []
    erased(storage)
    assert ledger_breaches(storage) == []
    entries = [decode_entry(storage.get(path)) for path in sorted(storage.list("_headgate/ledger/"))]
    files = [file for entry in entries[3:] for file in entry.files if file.table in ("events", "rejected")]
    assert {(file.rows, file.erased) for file in files} == {(2, 1)}
    assert all(storage.size(file.published) == file.size for file in files)
    assert sum(file.erased for file in entries[1].files) == (2 if lake.about.format == "delta" else 6)


def test_writers_and_readers_go_on_after_it(lake):
    storage = lake.storage
    erased(storage)
    ids = sum(ids.table.num_rows for _, ids in lake.claims_since(0, None))
    assert ids == read_table(storage, "events").num_rows
    admit(lake, ["carl"])
    other = open_lake(LocalStorage(storage.root), None, LakeOptions(), now_us=now_us)
    admit(other, ["dora"])
    other.close()
    assert build_all(storage, lake.about, lake).rows == 2
    assert len(others(storage)["events"]) == len(set(others(storage)["events"])) == 7 + 2


@in_parquet
def test_an_event_takes_its_copies_and_an_earlier_reject_with_it(lake):
    storage = lake.storage
    one = EraseSettings(where="event_uuid = 'ann-0'", contains=b"", window_us=DAY_US)
    receipt = erased(storage, one)
    assert {t: of["rows"] for t, of in receipt["tables"].items() if of["rows"]} == {
        "events": 1, "duplicates": 1, "analytics/payment_order": 1,
    }  # fmt: skip
    assert receipt["contains_hmac"] is None


@in_parquet
def test_rejects_are_found_by_their_bytes_alone(lake):
    storage = lake.storage
    events = read_table(storage, "events").num_rows
    receipt = erased(storage, EraseSettings(where=None, contains=PERSON.encode(), window_us=DAY_US))
    assert receipt["tables"]["rejected"]["rows"] == 5
    assert read_table(storage, "events").num_rows == events


@in_parquet
def test_a_predicate_that_fails_on_an_event_touches_nothing(lake):
    storage = lake.storage
    before = sorted(storage.list(""))
    for where in ("CAST(payload->>'account' AS INTEGER) = 1", "payload->>'account'", "(SELECT true)", "no_column = 1"):
        with pytest.raises(ConfigError, match="--where"):
            erased(storage, EraseSettings(where=where, contains=b"", window_us=DAY_US))
    assert sorted(storage.list("")) == before


class Taken:
    """The lease of writers while a run is under way."""

    patience_seconds = 0.0

    def try_acquire(self):
        return False

    def holder(self):
        return "a run"

    def release(self):
        raise AssertionError("it was never taken")


def staged_copy(lake):
    """A batch of the person that nobody has committed."""
    storage, table_format = lake.storage, lake.about.format
    live = next(p for p in storage.list("events/") if "theirs" in p and "_delta_log" not in p)
    name = live.rpartition(".jsonl")[1] or ".parquet"
    folder = live.rpartition("/")[0] if table_format == "delta" else "_headgate/staging/" + "f" * 32
    file = ("f" * 32 + "-0" if table_format == "delta" else "events-0") + name + (".gz" if live.endswith(".gz") else "")
    storage.put(f"{folder}/{file}", storage.get(live))
    return f"{folder}/{file}"


@in_two_formats
def test_a_staged_batch_is_left_to_a_run_under_way_and_named(lake):
    storage = lake.storage
    path = staged_copy(lake)
    receipt = erased(storage, writers=Taken())
    assert receipt["left"] == [path]
    assert traces(storage) == [path]
    assert erased(storage, writers=Taken())["left"] == [path]
    again = erased(storage)
    assert again["left"] == []
    assert again["hidden_files_deleted"] == 1
    assert traces(storage) == []


@in_two_formats
def test_a_batch_that_a_run_commits_and_ends_meanwhile_stays(lake):
    storage, before = lake.storage, others(lake.storage)
    staged = lake.stage(verdicts(lake, [PERSON]))

    class Ending(NoLease):
        def try_acquire(self):
            lake.commit(staged)
            lake.publish()
            return True

    assert len(erased(storage, writers=Ending())["left"]) == 3
    assert [read_table(storage, t).num_rows - len(rows) for t, rows in before.items()] == [1, 1, 1]
    assert erased(storage)["left"] == []
    assert traces(storage) == []
    assert others(storage) == before


@in_parquet
def test_a_batch_staged_long_ago_goes_beside_a_run(lake):
    storage = lake.storage
    path = staged_copy(lake)
    os.utime(Path(storage.root) / path, (0, 0))
    assert erased(storage, writers=Taken())["left"] == []
    assert traces(storage) == []


@in_two_formats
def test_a_committed_batch_that_is_not_yet_published_is_left_alone(lake):
    storage = lake.storage
    erased(storage)
    publish, lake.publish = lake.publish, lambda: 0
    admit(lake, [PERSON])
    lake.publish = publish
    assert erased(storage) is None
    lake.publish()
    assert erased(storage)["tables"]["events"]["rows"] == 1
    assert traces(storage) == []


@in_two_formats
def test_what_was_kept_beside_a_delivery_goes_too(lake):
    storage = lake.storage
    rows = read_table(storage, "events").select(EVENTS.names) if lake.about.format != "json" else None
    rejected = read_table(storage, "rejected").cast(REJECTED)
    storage.put(f"{FIREHOSE}2026-11-18/abc-rejected.parquet", memoryview(encode(rejected)))
    if rows is not None:
        only = rows.filter(pa.compute.match_substring(rows["payload"], PERSON))
        storage.put(f"{FIREHOSE}2026-11-18/abc-events.parquet", memoryview(encode(only)))
    receipt = erased(storage)
    assert receipt["kept_rows"] == 5 + (5 if rows is not None else 0)
    assert traces(storage) == []
    assert not storage.exists(f"{FIREHOSE}2026-11-18/abc-events.parquet")
    kept = pq.read_table(pa.BufferReader(storage.get(f"{FIREHOSE}2026-11-18/abc-rejected.parquet")))
    assert kept.num_rows == rejected.num_rows - 5


def test_a_failure_half_way_is_finished_by_an_erasure_that_looks_for_something_else(lake):
    storage = lake.storage
    before = others(storage)
    scripted = ScriptedStorage(storage)
    scripted.fail("put", "duplicates/" if lake.about.format != "delta" else "duplicates/arrival_date", "before")
    with pytest.raises(TransientError):
        erased(scripted)
    first = next(iter(storage.list("_headgate/erasures/2")))
    receipt = erased(storage, EraseSettings(where="event_uuid = 'nobody'", contains=b"", window_us=DAY_US))
    assert receipt["continues"] == [first.split("/")[2]]
    assert {t: of["rows"] for t, of in receipt["tables"].items()}["events"] == 5
    assert traces(storage) == []
    assert others(storage) == before
    assert ledger_breaches(storage) == []
    assert erased(storage) is None
