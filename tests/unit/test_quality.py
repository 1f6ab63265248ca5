"""Quality rows: conservation for every type, reasons, warnings, and a flood of partitions."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from headgate.claims.memory import MemoryClaimStore
from headgate.core.decode import decode
from headgate.core.dedup import judge
from headgate.core.envelope import Envelope
from headgate.core.missing import Fields
from headgate.core.quality import MAX_SHARDS, PARTITION_FLOOD_FROM, quality_rows, warning_counts
from headgate.core.rules import Rule, Rules
from headgate.core.schema import QUALITY
from headgate.core.verdicts import Judged
from headgate.decision import claims_of
from headgate.lake import parquet
from headgate.pipeline import prepared
from headgate.records import RecordBatch, Shard
from headgate.testing.records import ARRIVED_US, record_batch
from headgate.testing.world import Attempt, settings

CREATED = ARRIVED_US // 1_000_000


def event(event_id, name="a:b", created_at=CREATED, **fields):
    return json.dumps({"event_uuid": event_id, "event_name": name, "created_at": created_at, **fields}).encode()


def judged(records, *, fields=(), rules=(), envelope=None):
    batch = records if isinstance(records, RecordBatch) else record_batch(records)
    envelope = envelope or Envelope()
    flow = replace(settings(Attempt()), max_future_us=1, fields=Fields(fields, envelope), envelope=envelope)
    parts = prepared(decode(batch, envelope, flow.limits), batch.ranges, flow, Rules(rules)).table
    events = np.flatnonzero(np.asarray(parts["reason"].is_null()))
    numbers = {i: i for i in range(len(batch.ranges))}
    claims = claims_of(parts, events, numbers)
    judgement = judge(claims.keys, claims.owners, MemoryClaimStore(), 1, {})
    return Judged(parts=parts, events=events, judgement=judgement)


def rows(records, **more):
    table = quality_rows(judged(records, **more))
    assert table.schema == QUALITY
    return {row["event_type"]: row for row in table.to_pylist()}


RECORDS = [
    event("1"),
    event("1"),
    event("1", n=1),
    event("2", "c"),
    event("3", "c", CREATED * 1_000),
    event("", "c"),
    event("4", "c", "soon"),
    b"rubbish",
    b"[]5",
]


def test_every_type_is_conserved_and_counted():
    found = rows(RECORDS)
    names = ("received", "accepted", "duplicates", "conflicts", "rejected")
    assert {kind: tuple(row[n] for n in names) for kind, row in found.items()} == {
        "a": (3, 1, 2, 1, 0),
        "c": (4, 2, 0, 0, 2),
        None: (2, 0, 0, 0, 2),
    }
    assert all(r["received"] == r["accepted"] + r["duplicates"] + r["rejected"] for r in found.values())


def test_reasons_and_warnings_by_type():
    found = rows(RECORDS)
    assert dict(found["c"]["reasons"]) == {"created_at_invalid": 1, "event_uuid_missing": 1}
    assert dict(found["c"]["warnings"]) == {"created_at_unit_ms": 1, "event_subtype_missing": 2}
    assert dict(found["a"]["reasons"]) == dict(found["a"]["warnings"]) == {}
    assert warning_counts(judged(RECORDS)) == {"created_at_unit_ms": 1, "event_subtype_missing": 2}


def test_bytes_and_bounds_of_times():
    found = rows([event("1", created_at=CREATED), event("2", created_at=CREATED - 5), b"rubbish"])
    assert found["a"]["payload_bytes"] == len(event("1")) + len(event("2", created_at=CREATED - 5))
    assert (found["a"]["created_max"] - found["a"]["created_min"]).total_seconds() == 5
    assert found[None]["created_min"] is None
    assert found[None]["arrived_max"] == found["a"]["arrived_max"]


@pytest.mark.parametrize(("partitions", "is_flood"), [(PARTITION_FLOOD_FROM - 1, 0), (PARTITION_FLOOD_FROM, 1)])
def test_a_batch_that_touches_very_many_partitions_is_a_flood(partitions, is_flood):
    many = [event(str(i), created_at=CREATED - 86_400 * i) for i in range(partitions)]
    assert warning_counts(judged([*many, *many])).get("partition_flood", 0) == is_flood


def test_no_records_no_rows():
    assert rows([]) == {}
    assert quality_rows(judged([]), staged_us=ARRIVED_US, dedup_seconds=0.5).num_rows == 0


def bare(**fields):
    return json.dumps(fields).encode()


def test_a_missing_common_field_is_counted_whatever_else_is_wrong():
    found = rows(
        [
            bare(event_name="a", created_at=CREATED),
            bare(event_name="a"),
            bare(event_name="a", event_uuid="", created_at="soon"),
            bare(event_name="a", event_uuid=None, created_at=None),
            bare(event_name="a", event_uuid={}, created_at=""),
            bare(event_uuid=[1]),
            bare(event_uuid="1"),
            bare(event_uuid="2", event_name="a", created_at=0),
            b"rubbish",
            b"5",
        ]
    )
    # Which type it was cannot be said where another field has a type that no event has.
    assert dict(found["a"]["missing"]) == {"event_uuid": 4, "created_at": 2}
    assert dict(found[None]["missing"]) == {"event_name": 2, "created_at": 3}
    assert dict(found[None]["reasons"])["malformed_json"] == 1


def test_common_fields_are_where_the_envelope_says():
    envelope = Envelope(id="meta.id", name="kind", created_at="at")
    found = rows([bare(kind="a", at=CREATED, meta={"id": {}}), bare(at=CREATED, meta={"id": 1.5})], envelope=envelope)
    assert dict(found[None]["missing"]) == {"event_name": 1}


PAYLOADS = [
    {"user": {"id": 1}},
    {"user": {"id": ""}},
    {"user": {"id": None}},
    {"user": {}},
    {"user": [{"id": 1}]},
    {"user": 5},
    {"user": {"id": 0}},
    {"user": {"id": False}},
    {"user": {"id": []}},
    {"user": {"id": " "}},
    {},
]


def test_payload_fields_that_are_absent_null_or_empty_are_missing_of_events():
    records = [event(str(i), "a", **payload) for i, payload in enumerate(PAYLOADS)]
    records += [event("0", "a", user={"id": 1}), event("x", "a", "soon"), event("y", "b", user={"id": 1}), b"rubbish"]
    found = rows(records, fields=["user.id", "o'clock~/"])
    assert dict(found["a"]["missing"]) == {"user.id": 6, "o'clock~/": 12}
    assert (found["a"]["accepted"], found["a"]["duplicates"], found["a"]["rejected"]) == (11, 1, 1)
    assert dict(found["b"]["missing"]) == {"user.id": 0, "o'clock~/": 1}
    assert dict(found[None]["missing"]) == {}


def test_odd_names_of_fields_are_found():
    records = [event("1", "a", **{"o'clock~/": 1, "é": {"\n": 2}})]
    assert dict(rows(records, fields=["o'clock~/", "é.\n"])["a"]["missing"]) == {"o'clock~/": 0, "é.\n": 0}


@pytest.mark.parametrize("kind", [int, str])
def test_units_of_time_are_those_that_were_sent(kind):
    times = {"seconds": CREATED, "milliseconds": CREATED * 10**3, "microseconds": CREATED * 10**6}
    times["nanoseconds"] = CREATED * 10**9
    records = [event(unit, "a", kind(time)) for unit, time in times.items()]
    records += [
        event("iso", "a", "2026-01-01T00:00:00Z"),
        event("seconds", "a", kind(CREATED)),
        event("x", "a", "soon"),
    ]
    numbers = dict.fromkeys(times, 1) | {"seconds": 2} if kind is int else {"numeric_text": 5}
    found = rows(records)["a"]
    assert dict(found["units"]) == numbers | {"text": 1}
    assert sum(dict(found["units"]).values()) == found["accepted"] + found["duplicates"]


def test_each_rule_is_counted_for_itself_and_only_where_it_applies():
    rules = [
        Rule(name="low", check="CAST(payload->>'n' AS INTEGER) < 10"),
        Rule(name="even", check="CAST(payload->>'n' AS INTEGER) % 2 = 0", when="event_type = 'a'"),
        Rule(name="LOW", check="CAST(payload->>'n' AS INTEGER) < 5", when="event_type = 'b'"),
    ]
    records = [event("1", "a", n=2), event("2", "a", n=3), event("3", "a", n=11), event("4", "a", n=12)]
    records += [event("1", "a", n=2), event("5", "b", n=7), event("6", "b"), event("7", "c", "soon"), b"rubbish"]
    found = rows(records, rules=rules)
    assert (dict(found["a"]["rule_passes"]), dict(found["a"]["rule_failures"])) == (
        {"low": 3, "even": 3},
        {"low": 2, "even": 2},
    )
    assert (dict(found["b"]["rule_passes"]), dict(found["b"]["rule_failures"])) == ({"low": 1}, {"low": 1, "LOW": 2})
    assert found["c"]["rule_passes"] == found[None]["rule_failures"] == []
    assert dict(found["a"]["reasons"]) == {"rule:low": 2, "rule:even": 1}


def test_durations_from_creation_to_arrival_and_on():
    ages = [0, 1, 1.5, 100, -1e-6, 100_000]
    records = [event(str(i), "a", CREATED - age) for i, age in enumerate(ages)]
    records += [event("0", "a", CREATED), event("x", "a", "soon"), event("y", "b", CREATED - 7)]
    table = quality_rows(judged(records), staged_us=ARRIVED_US + 2_000_000, dedup_seconds=0.25)
    a, b = table.sort_by("event_type").to_pylist()
    assert dict(a["created_to_arrived"]) == {0.0: 1, 0.01: 2, 1.0: 1, 2.5: 1, 120.0: 1, 259_200.0: 1}
    assert (a["created_to_arrived_sum"], a["created_to_arrived_max"]) == (100_102.5, 100_000.0)
    assert (dict(b["created_to_arrived"]), b["created_to_arrived_sum"]) == ({10.0: 1}, 7.0)
    assert (dict(a["arrived_to_staged"]), a["arrived_to_staged_sum"], a["arrived_to_staged_max"]) == (
        {2.5: 7},
        14.0,
        2.0,
    )
    assert [a["dedup_seconds"], b["dedup_seconds"]] == [0.25, None]
    assert [a["shard_lag"], b["shard_lag"]] == [[("shard", 2.0)], None]


def of_shards(number):
    batches = [
        record_batch([event(str(i), "a")], shard=Shard("source", f"s{i:03}"), arrived_us=ARRIVED_US - i * 1_000_000)
        for i in range(number)
    ]
    table = pa.concat_tables(
        [b.table.set_column(1, b.table.schema.field(1), pa.array([i], pa.int32())) for i, b in enumerate(batches)]
    )
    return RecordBatch(table=table, ranges=[b.ranges[0] for b in batches])


def test_of_very_many_shards_those_furthest_behind_are_named():
    table = quality_rows(judged(of_shards(MAX_SHARDS + 3)), staged_us=ARRIVED_US, dedup_seconds=0.0)
    lag = dict(table["shard_lag"].to_pylist()[0])
    assert list(lag) == [f"s{i:03}" for i in range(3, MAX_SHARDS + 3)]
    assert (lag["s003"], lag["s102"]) == (3.0, 102.0)


def test_rows_stay_small():
    records = [event(str(i), f"type-{i % 100}", CREATED - i % 1000) for i in range(10_000)]
    table = quality_rows(judged(records), staged_us=ARRIVED_US, dedup_seconds=0.1)
    assert table.num_rows == 100
    assert len(parquet.encode(parquet.prepare(table))) < 200 * table.num_rows  # bytes; the payloads are 700,000
