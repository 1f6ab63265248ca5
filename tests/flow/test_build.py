"""`build`: typed tables follow the ledger, each event once, on all formats."""

import datetime
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from deltalake import DeltaTable

from headgate.core.analytics.policy import Contract, FieldPolicy
from headgate.errors import PermanentError
from headgate.jobs.build import build, combined
from headgate.jobs.existing import ExistingLake
from headgate.lake.analytics import BuildSettings
from headgate.lake.analytics_registry import read_registry
from headgate.lake.analytics_table import APP_ID
from headgate.lake.lake import LakeOptions, open_lake
from headgate.lake.local import LocalStorage
from headgate.testing.build_rows import build_all, commit, payload_values, typed_rows
from headgate.testing.lake_rows import NOW_US, read_rows

FORMATS = ("delta", "parquet", "json")
PAYMENT = "payment_order"


class World:
    def __init__(self, folder, table_format="delta"):
        self.storage = LocalStorage(folder)
        self.lake = open_lake(self.storage, table_format, LakeOptions(), now_us=lambda: NOW_US)

    def commit(self, *values, **where):
        commit(self.lake, [v if isinstance(v, str) else json.dumps(v) for v in values], **where)

    def build(self, **settings):
        contract = Contract(**settings.pop("contract", {}))
        return build_all(self.storage, self.lake.about, self.lake, BuildSettings(contract=contract, **settings))

    def rebuild(self, day):
        return build(
            ExistingLake(path="lake", storage=self.storage, about=self.lake.about),
            BuildSettings(contract=Contract()),
            self.lake.publish,
            None,
            now_us=lambda: NOW_US,
            new_id=iter(f"date{i}" for i in range(1000)).__next__,
            created_date=day,
        )

    def table(self, folder=PAYMENT):
        return DeltaTable(f"{self.storage.root}/analytics/{folder}")


@pytest.fixture(params=FORMATS)
def any_format(tmp_path, request):
    world = World(tmp_path / "lake", request.param)
    yield world
    world.lake.close()


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path / "lake")
    yield world
    world.lake.close()


def test_each_run_takes_in_what_came_since_the_last(any_format):
    any_format.commit({"n": 1}, {"n": 2})
    assert any_format.build().rows == 2
    any_format.commit({"n": 3, "new": {"a": [1, 2]}})
    any_format.commit({"n": 9}, event_type="page")
    again = any_format.build()
    assert [(t.event_name, t.rows, t.is_new) for t in again.tables] == [
        ("payment:order", 1, False),
        ("page:order", 1, True),
    ]
    assert again.tables[0].new_columns == [("new", "struct<a: list<bigint>>")]
    assert any_format.build().rows == 0
    assert payload_values(any_format.storage, PAYMENT) == [1, 2, 3]
    assert typed_rows(any_format.storage, PAYMENT, "new")[2] == ({"a": [1, 2]},)
    assert typed_rows(any_format.storage, "page_order", "event_type, event_name, n") == [("page", "page:order", 9)]
    assert read_registry(any_format.storage).built == any_format.lake.refresh().number


def test_common_columns_are_those_of_events(world):
    world.commit({"n": 1})
    world.build()
    times = "created_datetime::VARCHAR, arrived_at::VARCHAR"
    common = f"event_uuid, event_name, event_type, event_subtype, created_at, {times}, source, shard, sequence"
    assert typed_rows(world.storage, PAYMENT, common) == read_rows(world.storage, "events", common)


def test_late_events_land_in_their_own_date(world):
    world.commit({"n": 1})
    world.build()
    world.commit({"n": 2}, day=-3)
    world.build()
    rows = typed_rows(world.storage, PAYMENT, "n, created_date")
    assert rows[1][1] == rows[0][1] - datetime.timedelta(days=3)
    assert {dict(p)["created_date"] for p in world.table().partitions()} == {str(row[1]) for row in rows}


def test_an_integer_column_that_meets_a_float_is_written_anew(world):
    world.commit({"n": 1}, {"n": 2**53 + 1}, '{"n": 5, "m": 1}')
    world.build()
    world.commit({"n": 1.5}, {"n": "text"})
    report = world.build()
    assert report.tables[0].changed_columns == [("n", "bigint", "double")]
    assert payload_values(world.storage, PAYMENT) == [1.0, {"n": 2**53 + 1}, 5.0, 1.5, {"n": "text"}]
    assert '"name":"n","type":"double"' in world.table().schema().to_json()
    assert len(world.table().file_uris()) == 2
    facts = read_registry(world.storage).tables["payment:order"]
    assert [(d.field, d.expected, d.found, d.count) for d in facts.drift] == [("n", "double", "string", 1)]
    assert facts.fields["n"] == ("n", "double")


def test_beyond_the_limit_names_share_a_table_of_text(world):
    world.commit({"n": 1})
    world.build(max_tables=1)
    world.commit('{ "n" : 2}', event_type="page")
    world.commit('{"n":3}', event_type="quiz")
    world.build(max_tables=1)
    assert typed_rows(world.storage, "_other", "event_name, payload") == [
        ("page:order", '{ "n" : 2}'),
        ("quiz:order", '{"n":3}'),
    ]
    assert world.build(max_tables=5).rows == 0


def test_policies_of_a_table_and_a_field(world):
    world.commit('{"n":1,"secret":"x","raw":{"a": 1}}')
    lines = [FieldPolicy("payment:order", "secret", "drop"), FieldPolicy(None, "raw", "text")]
    (report,) = world.build(contract={"lines": lines}).tables
    assert typed_rows(world.storage, PAYMENT, "n, raw, _rescued") == [(1, '{"a": 1}', None)]
    assert report.drift == [("secret", "no column: dropped", "string", 1)]


def test_a_preview_tells_and_writes_nothing(world):
    world.commit({"n": 1})
    world.build()
    world.commit({"n": 1.5, "x": "y"}, {"n": "z"})
    world.commit({"n": 1}, event_type="page")
    before = sorted(world.storage.list(""))
    preview = world.build(is_preview=True)
    assert sorted(world.storage.list("")) == before
    real = world.build()
    assert [(t.event_name, t.rows, t.is_new, t.new_columns, t.changed_columns, t.drift) for t in preview.tables] == [
        (t.event_name, t.rows, t.is_new, t.new_columns, t.changed_columns, t.drift) for t in real.tables
    ]


def test_a_date_is_built_anew_and_the_next_run_adds_nothing_twice(any_format):
    any_format.commit({"n": 1})
    any_format.commit({"n": 2}, day=1)
    any_format.build()
    day = typed_rows(any_format.storage, PAYMENT, "created_date")[0][0]
    any_format.commit({"n": 3})
    any_format.rebuild(day)
    before = any_format.table().version()
    again = any_format.rebuild(day)
    assert [(t.event_name, t.rows) for t in again.tables] == [("payment:order", 2)]
    assert any_format.table().version() == before + 1
    any_format.commit({"n": 4})
    any_format.build()
    assert payload_values(any_format.storage, PAYMENT) == [1, 2, 3, 4]


def test_the_first_run_reads_the_table_and_not_files_that_compaction_took(world):
    for n in range(4):
        world.commit({"n": n})
    table = DeltaTable(f"{world.storage.root}/events")
    table.optimize.compact()
    table = DeltaTable(f"{world.storage.root}/events")
    table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    world.build()
    world.commit({"n": 4})
    world.build()
    assert payload_values(world.storage, PAYMENT) == [0, 1, 2, 3, 4]


def test_a_file_that_was_committed_and_is_gone_stops_the_run_by_name(world):
    world.commit({"n": 1})
    world.build()
    world.commit({"n": 2}, event_type="page")
    for path in list(world.storage.list("events/event_type=page")):
        world.storage.delete(path)
    with pytest.raises(PermanentError, match=r"event_type=page.*is gone"):
        world.build()


def test_two_builds_at_once_take_each_event_once(world):
    for n in range(6):
        world.commit({"n": 10 * n}, {"n": 10 * n + 1})
        world.commit({"n": n}, event_type="page", day=n)
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda _: world.build(), range(3)))
    assert payload_values(world.storage, PAYMENT) == [10 * n + k for n in range(6) for k in range(2)]
    assert payload_values(world.storage, "page_order") == list(range(6))
    assert world.table().transaction_version(APP_ID) <= world.lake.refresh().number


def test_other_tools_may_write_to_the_tables_between_runs(world):
    world.commit({"n": 1})
    world.build()
    world.table().alter.set_table_properties({"delta.logRetentionDuration": "interval 1 days"})
    world.commit({"n": 2, "m": 1})
    world.build()
    assert payload_values(world.storage, PAYMENT) == [1, 2]
    assert world.table().metadata().configuration["delta.logRetentionDuration"] == "interval 1 days"


def test_reports_of_several_commits_are_one(world):
    world.commit({"n": 1})
    first = world.build().tables
    world.commit({"n": 1.5, "x": 1}, {"n": "a"})
    (one,) = combined([*first, *world.build().tables])
    assert (one.rows, one.is_new, dict(one.new_columns)) == (3, True, {"n": "double", "x": "bigint"})
    assert one.drift == [("n", "double", "string", 1)]
