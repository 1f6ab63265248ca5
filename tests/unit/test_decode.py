"""Decoding and validation: every reject reason, with good events around it, alone and in company."""

import gzip
import json

import numpy as np
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.decode import decode
from headgate.core.envelope import Envelope
from headgate.core.limits import Limits
from headgate.core.reasons import Warn
from headgate.core.validate import validate
from headgate.records import NO_SUB
from headgate.testing.records import ARRIVED_US, record_batch

DAY_US = 86_400_000_000
GOOD = b'{"event_uuid":"u","event_name":"payment:order:completed","created_at":1789990000.5,"amount":1}'


ENVELOPE, LIMITS = Envelope(), Limits()


def parts(records, envelope=ENVELOPE, limits=LIMITS):
    batch = record_batch(records)
    return validate(decode(batch, envelope, limits), DAY_US).to_pylist()


def event(**fields):
    base = {"event_uuid": "u", "event_name": "a:b", "created_at": 1789990000}
    merged = {k: v for k, v in (base | fields).items() if v is not ...}
    return json.dumps(merged).encode()


def raw(field, text):
    base = {"event_uuid": '"u"', "event_name": '"a:b"', "created_at": "1789990000"} | {field: text}
    return ("{" + ",".join(f'"{k}":{v}' for k, v in base.items()) + "}").encode()


NESTED = b'{"event_uuid":"u","event_name":"a","created_at":1,"x":'

BAD = [
    ("malformed_json", b'{"broken": '),
    ("malformed_json", b"rubbish"),
    ("malformed_json", NESTED + b"NaN}"),
    ("malformed_json", NESTED + b"[1,]}"),
    ("malformed_json", NESTED + b'{"a":1,}}'),
    ("malformed_json", NESTED + b'"\xff"}'),
    ("malformed_json", NESTED + b'"\\ud800"}'),
    ("malformed_json", NESTED + b'"a\x01b"}'),
    ("malformed_json", NESTED + b"01}"),
    ("malformed_json", NESTED + b"[" * 128 + b"]" * 128 + b"}"),
    ("malformed_json", NESTED + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    ("malformed_json", b"[" * 100_000),
    ("malformed_json", b'[{"event_uuid":"u"},'),
    ("not_an_object", b"5"),
    ("not_an_object", b'"text"'),
    ("not_an_object", b"null"),
    ("not_an_object", b"9" * 5000),
    ("event_uuid_missing", event(event_uuid=...)),
    ("event_uuid_missing", event(event_uuid=None)),
    ("event_uuid_missing", event(event_uuid="")),
    ("event_uuid_invalid", event(event_uuid=1.5)),
    ("event_uuid_invalid", event(event_uuid=True)),
    ("event_uuid_invalid", event(event_uuid={"a": 1})),
    ("event_uuid_invalid", raw("event_uuid", "1e3")),
    ("event_uuid_invalid", event(event_uuid="é" * 257)),
    ("event_uuid_invalid", raw("event_uuid", "9" * 5000)),
    ("event_name_missing", event(event_name=...)),
    ("event_name_missing", event(event_name=None)),
    ("event_name_invalid", event(event_name=5)),
    ("event_name_invalid", event(event_name=" : b")),
    ("event_name_invalid", event(event_name="x" * 300)),
    ("event_name_invalid", event(event_name="é" * 60)),
    ("created_at_missing", event(created_at=...)),
    ("created_at_missing", event(created_at=None)),
    ("created_at_invalid", event(created_at="soon")),
    ("created_at_invalid", event(created_at=-1)),
    ("created_at_invalid", event(created_at=True)),
    ("created_at_invalid", event(created_at="2026-01-01T00:00:00")),
    ("created_at_invalid", event(created_at="nan")),
    ("created_at_invalid", raw("created_at", "1e400")),
    ("created_at_invalid", raw("created_at", "9" * 5000)),
    ("created_at_invalid", raw("created_at", "9" * 30)),
    ("created_at_in_future", event(created_at=ARRIVED_US / 1e6 + 86_401)),
]


@pytest.mark.parametrize(("reason", "record"), BAD, ids=[f"{r}-{b[:40]!r}-{i}" for i, (r, b) in enumerate(BAD)])
def test_a_bad_record_is_one_reject_with_its_exact_bytes_and_its_neighbours_are_kept(reason, record):
    rows = parts([GOOD + b"\n", b" " + record + b" \r\n", GOOD])
    assert [r["reason"] for r in rows] == [None, reason, None]
    assert rows[1]["detail"]
    kept = rows[1]["raw"] if rows[1]["raw"] is not None else rows[1]["payload"]
    # What is an object keeps its own text; anything else the record's bytes, white space and all.
    assert kept == (record if reason.startswith(("event_", "created_")) else b" " + record + b" ")
    assert rows[0]["payload"] == rows[2]["payload"] == GOOD
    assert [r["sub"] for r in rows] == [NO_SUB] * 3


@pytest.mark.parametrize(
    "record",
    [gzip.compress(GOOD, mtime=0)[:-9], b"\x1f\x8bnot gzip", zstandard.compress(GOOD)[:-2], b"(\xb5/\xfd.."],
)
def test_a_broken_stream_is_one_reject_with_its_exact_bytes(record):
    rows = parts([GOOD, record, GOOD])
    assert [r["reason"] for r in rows] == [None, "malformed_json", None]
    assert rows[1]["raw"] == record


@pytest.mark.parametrize(("reason", "record"), BAD[::2], ids=range(len(BAD[::2])))
def test_a_verdict_does_not_depend_on_the_company(reason, record):
    assert [r["reason"] for r in parts([record])] == [reason]


@pytest.mark.parametrize("field", ["event_uuid", "event_name", "created_at"])
def test_a_reject_below_the_depth_limit_is_an_event(field):
    record = NESTED + b"[" * 127 + b"]" * 127 + b"}"
    assert [r["reason"] for r in parts([record])] == [None]


def test_brackets_inside_strings_do_not_count_as_depth():
    record = NESTED + json.dumps("[" * 500 + '\\"' + "{" * 500).encode() + b"}"
    assert [r["reason"] for r in parts([record])] == [None]


def test_an_integer_id_is_its_decimal_text():
    big = "1234567890" * 10
    rows = parts([event(event_uuid=42), raw("event_uuid", big), event(event_uuid="42")])
    assert [r["event_uuid"] for r in rows] == ["42", big, "42"]


def test_derived_parts_of_a_name():
    rows = parts([event(event_name=n) for n in ("payment:order:completed", "solo", " a : b ", "a:", "a::c")])
    assert [(r["event_type"], r["event_subtype"]) for r in rows] == [
        ("payment", "order"),
        ("solo", None),
        ("a", "b"),
        ("a", None),
        ("a", None),
    ]
    missing = [bool(r["warnings"] & Warn.EVENT_SUBTYPE_MISSING) for r in rows]
    assert missing == [False, True, False, True, True]


def test_one_record_may_hold_an_array_several_documents_or_an_inflatable_stream():
    two = GOOD + b" " + event(event_uuid="v")
    array = b"[" + GOOD + b",5," + GOOD + b"]"
    records = [two, array, gzip.compress(two), zstandard.compress(array), gzip.compress(GOOD), b"[]"]
    rows = parts(records)
    found = [(int.from_bytes(r["sequence"], "big"), r["sub"], r["reason"]) for r in rows]
    assert found == [
        (0, 0, None),
        (0, 1, None),
        (1, 0, None),
        (1, 1, "not_an_object"),
        (1, 2, None),
        (2, 0, None),
        (2, 1, None),
        (3, 0, None),
        (3, 1, "not_an_object"),
        (3, 2, None),
        (4, NO_SUB, None),
    ]
    assert rows[0]["payload"] == rows[-1]["payload"] == GOOD


def test_what_cannot_be_read_to_the_end_of_its_line_is_one_reject_and_good_events_before_it_are_kept():
    rows = parts([GOOD + b' {"broken": ,, } more'])
    assert [r["reason"] for r in rows] == [None, "malformed_json"]
    assert rows[1]["payload"] == b'{"broken": ,, } more'


def test_a_bomb_and_an_oversized_event_are_rejects_without_being_inflated_whole():
    limits = Limits(max_event_bytes=1000, max_record_bytes=5000)
    bomb = gzip.compress(b"x" * 10_000_000)
    zbomb = zstandard.compress(b"x" * 10_000_000)
    long = event(note="x" * 1000)
    rows = parts([bomb, zbomb, long, GOOD], limits=limits)
    assert [r["reason"] for r in rows] == ["too_large", "too_large", "too_large", None]
    assert rows[0]["payload"] == bomb


def test_the_last_of_a_repeated_field_counts_and_is_warned_of():
    repeated = b'{"event_uuid":"first","event_name":"a:b","created_at":1789990000, "event_uuid":"second"}'
    spaced = b'{ "event_uuid" : "first" , "event_name":"a:b","created_at":1789990000 , "event_uuid":"second"}'
    escaped = b'{"event_uuid":"first","event_name":"a:b","created_at":1789990000,"event\\u005fuuid":"second"}'
    bad_first = b'{"event_uuid":true,"event_name":"a:b","created_at":1789990000,"event_uuid":"second"}'
    nested = b'{"event_uuid":"second","event_name":"a:b","created_at":1789990000,"x":{"event_uuid":"deep"}}'
    rows = parts([repeated, spaced, escaped, bad_first, nested])
    assert [r["event_uuid"] for r in rows] == ["second"] * 5
    assert [bool(r["warnings"] & Warn.DUPLICATE_KEY) for r in rows] == [True, True, True, True, False]


def test_an_envelope_with_dotted_paths_finds_its_fields():
    envelope = Envelope(id="detail.eventID", name="detail-type", created_at="detail.time")
    rows = parts(
        [
            b'{"detail":{"eventID":7,"time":"2026-09-21T14:13:20Z"},"detail-type":"aws:call"}',
            b'{"detail":5,"detail-type":"aws:call"}',
            b'{"detail":{"eventID":{},"time":1},"detail-type":"aws:call"}',
        ],
        envelope=envelope,
    )
    assert [(r["event_uuid"], r["reason"]) for r in rows] == [
        ("7", None),
        (None, "event_uuid_missing"),
        (None, "event_uuid_invalid"),
    ]
    assert rows[0]["created_us"] == ARRIVED_US


@given(st.lists(st.sampled_from([GOOD, GOOD + b"\r\n", event(event_uuid=9)] + [b for _, b in BAD[:40:3]]), max_size=12))
def test_every_record_gives_the_same_parts_alone_as_in_company(records):
    together = parts(records)
    alone = [row for record in records for row in parts([record])]
    for row in together + alone:
        del row["sequence"]
    assert together == alone


@given(st.binary(max_size=200))
def test_no_bytes_raise(record):
    for row in parts([record]):
        assert row["reason"] is None or row["detail"]


def test_offsets_of_sliced_records_are_minded():
    batch = record_batch([GOOD, b'{"broken": ', GOOD + b"\n", b"5"])
    sliced = type(batch)(table=batch.table.slice(1, 3), ranges=batch.ranges)
    rows = validate(decode(sliced, Envelope(), Limits()), DAY_US)
    assert rows["reason"].to_pylist() == ["malformed_json", None, "not_an_object"]
    assert isinstance(rows["payload"], pa.ChunkedArray)
    assert np.asarray(rows["sub"]).tolist() == [NO_SUB] * 3


def test_a_compressed_record_that_ends_like_a_line_is_whole():
    """One in 256 does: a checksum ends in any byte."""
    compress = zstandard.ZstdCompressor(write_checksum=True).compress
    records = [r for i in range(4000) if (r := compress(event(event_uuid=str(i)))).endswith(b"\n")]
    assert records
    assert [row["reason"] for row in parts(records)] == [None] * len(records)
    assert [row["reason"] for row in parts([r + b"\n" for r in records])] == [None] * len(records)
