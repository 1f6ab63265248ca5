"""The three common fields: subtypes, sizes, the future, and which reason comes first."""

import json

import pytest

from headgate.core.decode import decode
from headgate.core.envelope import Envelope
from headgate.core.limits import Limits
from headgate.core.reasons import Warn
from headgate.core.validate import validate
from headgate.testing.records import ARRIVED_US, record_batch

FUTURE_US = 5_000_000


def row(**fields):
    base = {"event_uuid": "u", "event_name": "a:b", "created_at": 1_789_990_000}
    event = {k: v for k, v in (base | fields).items() if v is not ...}
    [found] = validate(decode(record_batch([json.dumps(event).encode()]), Envelope(), Limits()), FUTURE_US).to_pylist()
    return found


@pytest.mark.parametrize(
    ("name", "event_type", "subtype"),
    [
        ("payment:order:completed", "payment", "order"),
        ("payment:order", "payment", "order"),
        (" payment : order ", "payment", "order"),
        ("payment", "payment", None),
        ("payment:", "payment", None),
        ("payment: :x", "payment", None),
        ("payment::x", "payment", None),
    ],
)
def test_type_and_subtype(name, event_type, subtype):
    found = row(event_name=name)
    assert (found["event_type"], found["event_subtype"]) == (event_type, subtype)
    assert bool(found["warnings"] & Warn.EVENT_SUBTYPE_MISSING) is (subtype is None)
    assert found["reason"] is None


@pytest.mark.parametrize("name", [":b", " :b", "   ", "a" * 257, "é" * 81, "a" * 241 + ":b"])
def test_names_that_are_none(name):
    found = row(event_name=name)
    assert (found["reason"], found["event_type"], found["warnings"]) == ("event_name_invalid", None, 0)


@pytest.mark.parametrize("name", ["a" * 240, "é" * 40, "a:" + "b" * 254])
def test_names_that_just_fit(name):
    assert row(event_name=name)["reason"] is None


@pytest.mark.parametrize(
    ("event_id", "reason"),
    [
        ("x" * 512, None),
        ("x" * 513, "event_uuid_invalid"),
        ("é" * 257, "event_uuid_invalid"),
        ("", "event_uuid_missing"),
        (None, "event_uuid_missing"),
        (..., "event_uuid_missing"),
        (0, None),
        (True, "event_uuid_invalid"),
        (1.5, "event_uuid_invalid"),
    ],
)
def test_ids(event_id, reason):
    assert row(event_uuid=event_id)["reason"] == reason


@pytest.mark.parametrize(
    ("after_us", "reason"), [(0, None), (FUTURE_US, None), (FUTURE_US + 1, "created_at_in_future")]
)
def test_the_future_begins_one_microsecond_after_its_limit(after_us, reason):
    assert row(created_at=ARRIVED_US + after_us)["reason"] == reason


@pytest.mark.parametrize(
    ("created_at", "reason"),
    [(..., "created_at_missing"), (None, "created_at_missing"), ("", "created_at_missing"), (0, None),
     ("soon", "created_at_invalid"), (-1, "created_at_invalid")],
)  # fmt: skip
def test_times(created_at, reason):
    assert row(created_at=created_at)["reason"] == reason


def test_the_first_reason_in_the_order_id_name_time_counts():
    assert row(event_uuid="", event_name="", created_at="x")["reason"] == "event_uuid_missing"
    assert row(event_name="", created_at="x")["reason"] == "event_name_missing"
    assert row(event_name=":", created_at="x")["reason"] == "event_name_invalid"
