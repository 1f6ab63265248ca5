"""Quality rows: conservation for every type, reasons, warnings, and a flood of partitions."""

import json

import numpy as np
import pytest

from headgate.claims.memory import MemoryClaimStore
from headgate.core.decode import decode
from headgate.core.dedup import judge
from headgate.core.enrich import enrich
from headgate.core.envelope import Envelope
from headgate.core.limits import Limits
from headgate.core.quality import PARTITION_FLOOD_FROM, quality_rows, warning_counts
from headgate.core.validate import validate
from headgate.core.verdicts import Judged
from headgate.decision import claims_of
from headgate.testing.records import ARRIVED_US, record_batch

CREATED = ARRIVED_US // 1_000_000


def event(event_id, name="a:b", created_at=CREATED, **fields):
    return json.dumps({"event_uuid": event_id, "event_name": name, "created_at": created_at, **fields}).encode()


def judged(records):
    batch = record_batch(records)
    parts = enrich(validate(decode(batch, Envelope(), Limits()), 1), batch.ranges)
    events = np.flatnonzero(np.asarray(parts["reason"].is_null()))
    claims = claims_of(parts, events, {0: 0})
    judgement = judge(claims.keys, claims.owners, MemoryClaimStore(), 1, {})
    return Judged(parts=parts, events=events, judgement=judgement)


def rows(records):
    return {row["event_type"]: row for row in quality_rows(judged(records)).to_pylist()}


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
