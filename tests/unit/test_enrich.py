"""Derived columns: dates, source and shard, positions as text."""

import datetime as dt

import numpy as np
import pytest

from headgate.core.decode import decode
from headgate.core.enrich import enrich, position_texts
from headgate.core.envelope import Envelope
from headgate.core.limits import Limits
from headgate.core.validate import validate
from headgate.records import NO_SUB, SEQUENCE_BYTES, Shard
from headgate.testing.records import ARRIVED_US, record_batch

DAY_US = 86_400_000_000
KINESIS = 49_590_338_271_490_256_608_559_692_538_361_571_095_921_575_989_136_588_898


def event(created_at):
    return f'{{"event_uuid":"u","event_name":"a:b","created_at":{created_at}}}'.encode()


def enriched(records, **kw):
    batch = record_batch(records, **kw)
    return enrich(validate(decode(batch, Envelope(), Limits()), DAY_US), batch.ranges).to_pylist()


@pytest.mark.parametrize(
    ("created_at", "date"),
    [
        ("0", dt.date(1970, 1, 1)),
        ("86399.999999", dt.date(1970, 1, 1)),
        ("86400", dt.date(1970, 1, 2)),
        ('"2026-09-21T01:00:00+02:00"', dt.date(2026, 9, 20)),
    ],
)
def test_the_date_is_that_of_utc(created_at, date):
    [row] = enriched([event(created_at)])
    assert row["created_date"] == date
    assert row["created_datetime"].date() == date
    assert row["created_datetime"].utcoffset() == dt.timedelta(0)


def test_arrival_date_source_and_shard():
    [row] = enriched([event(1)], shard=Shard("s", "p"), arrived_us=DAY_US - 1)
    assert (row["arrival_date"], row["source_name"], row["shard_name"]) == (dt.date(1970, 1, 1), "s", "p")


def test_rejects_have_a_position_too():
    rows = enriched([b"rubbish", b"[" + event(1) + b"," + event(2) + b"]"], first=7, arrived_us=ARRIVED_US)
    assert [row["sequence_text"] for row in rows] == ["7", "8#0", "8#1"]


@pytest.mark.parametrize("value", [0, 1, 2**63, 2**64 - 1, 2**64, KINESIS, 2**192 - 1])
def test_positions_are_decimal_whatever_their_size(value):
    raw = np.frombuffer(value.to_bytes(SEQUENCE_BYTES, "big"), np.uint8).reshape(1, -1)
    both = np.concatenate([raw, raw])
    assert position_texts(both, np.array([NO_SUB, 0], np.int32)).to_pylist() == [f"{value}", f"{value}#0"]


def test_no_positions():
    assert position_texts(np.zeros((0, SEQUENCE_BYTES), np.uint8), np.zeros(0, np.int32)).to_pylist() == []
