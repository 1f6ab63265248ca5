"""`headgate build` from outside: on S3, beside a running consumer, and what it prints."""

import json
import uuid

import pytest

from headgate.lake.lake import LakeOptions, open_lake
from headgate.lake.lease import LocalLease
from headgate.lake.local import LocalStorage
from headgate.lake.s3 import S3Storage
from headgate.lake.s3_options import S3Options
from headgate.testing.build_rows import build_all, commit, payload_values, typed_rows
from headgate.testing.commands import ok, run
from headgate.testing.filing_world import FilingWorld, event, record
from headgate.testing.lake_rows import NOW_US
from headgate.testing.processes import Child
from headgate.testing.records import ARRIVED_US

CASES = [
    {"k": "text", "n": 1, "a": 1, "A": 2, "e-mail": "x@y", "a.b": [1], "": True, "big": 2**63},
    {"k": {"x": 1}, "n": 1.5, "A": None, "o": {}},
    {"k": None, "n": "text"},
]


def write_events(path, documents, first=0):
    with path.open("w") as file:
        for i, document in enumerate(documents, first):
            event = {
                "event_uuid": f"id-{i:09}",
                "event_name": "payment:order:completed",
                "created_at": 1_795_000_000 + i,
            }
            file.write(json.dumps({**event, **document}) + "\n")


@pytest.mark.parametrize("table_format", ["delta", "parquet", "json"])
def test_the_schema_cases_are_read_back_exactly(tmp_path, table_format):
    write_events(tmp_path / "a.jsonl", CASES)
    assert run("run", tmp_path / "a.jsonl", tmp_path / "lake", "--format", table_format).exit_code == 0
    built = ok("build", tmp_path / "lake")
    assert (built["rows"], [t["folder"] for t in built["tables"]]) == (3, ["payment_order_completed"])
    assert ok("build", tmp_path / "lake")["rows"] == 0
    columns = 'k, n, a, "A_559aead0", "e-mail", a_b, "_empty", o, _rescued'
    rows = typed_rows(LocalStorage(tmp_path / "lake"), "payment_order_completed", columns)
    assert rows == [
        ("text", 1.0, 1, 2, "x@y", [1], True, None, '{"big":9223372036854775808}'),
        (None, 1.5, None, None, None, None, None, "{}", '{"k":{"x": 1}}'),
        (None, None, None, None, None, None, None, None, '{"n":"text"}'),
    ]


def test_a_preview_a_date_and_the_summary(tmp_path):
    write_events(tmp_path / "a.jsonl", CASES)
    run("run", tmp_path / "a.jsonl", tmp_path / "lake")
    preview = run("build", tmp_path / "lake", "--preview")
    assert preview.exit_code == 0
    assert "1 would be changed, 1 of them new" in preview.stdout
    assert not (tmp_path / "lake" / "analytics").exists()
    built = run("build", tmp_path / "lake")
    assert "values that fit no column" in built.stdout
    again = ok("build", tmp_path / "lake", "--date", "2026-11-18")
    assert [t["rows"] for t in again["tables"]] == [3]
    assert run("build", tmp_path / "nothing").exit_code == 2
    assert run("build", tmp_path / "lake", "--date", "yesterday").exit_code == 2


def test_a_second_build_waits_for_its_turn_by_a_lease_of_its_own(tmp_path):
    write_events(tmp_path / "a.jsonl", CASES)
    run("run", tmp_path / "a.jsonl", tmp_path / "lake")
    held = LocalLease(tmp_path / "lake" / "_headgate" / "analytics", lambda: 0)
    assert held.try_acquire()
    refused = run("build", tmp_path / "lake")
    assert refused.exit_code == 1
    assert "builds already" in refused.stderr
    held.release()
    assert run("build", tmp_path / "lake").exit_code == 0


def test_beside_a_running_consumer_each_event_is_built_once(tmp_path):
    events = 20_000
    write_events(tmp_path / "a.jsonl", [{"n": i} for i in range(events)])
    flags = ["--batch-events", "500", "--once"]
    rows = 0
    with Child(["run", tmp_path / "a.jsonl", tmp_path / "lake", *flags], tmp_path) as child:
        while child.is_running:
            if (tmp_path / "lake" / "events" / "_delta_log").exists():
                rows += ok("build", tmp_path / "lake")["rows"]
    rows += ok("build", tmp_path / "lake")["rows"]
    found = typed_rows(LocalStorage(tmp_path / "lake"), "payment_order_completed", "n")
    assert found == [(i,) for i in range(events)]
    assert rows == events


def test_a_lake_on_s3_is_built_like_one_on_disk(moto, aws_credentials):
    bucket = moto.make_bucket(f"lake-{uuid.uuid4().hex}")
    storage = S3Storage(f"s3://{bucket}/some/lake", S3Options(endpoint_url=moto.endpoint_url, is_http_allowed=True))
    lake = open_lake(storage, "delta", LakeOptions(), now_us=lambda: NOW_US)
    commit(lake, ['{"n":1}', '{"n":2}'])
    assert build_all(storage, lake.about, lake).rows == 2
    commit(lake, ['{"n":3.5}'])
    commit(lake, ['{"n":3}'], event_type="page", day=-2)
    assert build_all(storage, lake.about, lake).rows == 2
    assert build_all(storage, lake.about, lake).rows == 0
    lake.close()
    assert payload_values(storage, "payment_order") == [1.0, 2.0, 3.5]
    assert payload_values(storage, "page_order") == [3]


@pytest.mark.parametrize("table_format", ["delta", "parquet", "json"])
def test_what_firehose_delivered_is_filed_and_typed_by_one_command(tmp_path, monkeypatch, table_format):
    """Delivered twice, an event is one row of `events` and of its typed table."""
    world = FilingWorld(folder=tmp_path, table_format=table_format)
    parts = [event(1, event_name="pay:done", amount=5), event(2, event_name="pay:done", amount=7), event(1), b"rubbish"]
    records = [record(n, data, ARRIVED_US + n * 1_000) for n, data in enumerate(parts)]
    world.deliver(records)
    world.deliver(records)
    monkeypatch.setenv("HEADGATE__FIREHOSE__DELIVERED", str(tmp_path / "delivered"))
    built = ok("build", tmp_path / "lake")
    assert built["filed"]["counts"] == {"received": 4, "accepted": 2, "duplicates": 1, "rejected": 1}
    assert built["rows"] == 2
    again = ok("build", tmp_path / "lake")
    assert (again["filed"]["entries"], again["rows"]) == (0, 0)
    query = "SELECT sum(amount)::BIGINT AS amount, count(*) AS n FROM analytics.pay_done"
    assert ok("query", tmp_path / "lake", query) == [{"amount": 12, "n": 2}]
