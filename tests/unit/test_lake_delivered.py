"""Lines that a delivery carries: what is read from them is what was written, byte for byte."""

import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.core.schema import EVENTS
from headgate.lake.delivered import delivery_lines, read_lines

POSITION = {
    "source": "kinesis://stream",
    "shard": "shardId-0",
    "sequence": "4959033827149025660855969253836157109592#3",
}


def table(payload, *, event_uuid="id-1", created_at=1_790_000_000.0, subtype=None):
    row = {
        "event_uuid": event_uuid, "event_name": "a:é", "event_type": "a", "event_subtype": subtype,
        "created_at": created_at, "created_datetime": round(created_at * 1e6), "created_date": 20_717,
        "payload": payload, "arrived_at": 1_790_000_000_000_001, **POSITION,
    }  # fmt: skip
    arrays = []
    for field in EVENTS:
        stored = pa.int64() if pa.types.is_timestamp(field.type) else field.type
        arrays.append(pa.array([row[field.name]], stored).cast(field.type))
    return pa.Table.from_arrays(arrays, schema=EVENTS)


@pytest.mark.parametrize(
    ("more", "is_own_envelope"),
    [({}, True), ({}, False), ({"event_uuid": "123"}, False), ({"created_at": 1.5}, True), ({"subtype": "b"}, True)],
)
@pytest.mark.parametrize(
    "text",
    [
        '{"event_uuid":"id-1","event_name":"a:é","created_at":1790000000}',
        '{ "event_uuid" : "id-1",\n "event_name":"a:\\u00e9", "created_at" : 1790000000 }',
        '  {"event_uuid":"id-1","event_name":"a:é","created_at":1790000000}\r\n',
        '{"event_uuid":"id-1","event_name":"a:é","created_at":1790000000000}',
        '{"created_at":"2026-09-21T14:13:20Z","event_uuid":123,"event_name":"a:é"}',
        '{"event_uuid":"id-1","event_name":"a:é","created_at":1790000000,"_headgate":{"shard":"x"},"event_type":7}',
        '{"event_uuid":"no","event_uuid":"id-1","event_name":"a:é","created_at":1790000000}',
        '{"event_uuid":"id-1","event_name":"a:é","created_at":1790000000,"_original":[1],"z":{"created_at":3}}',
        '{"id":"id-1","name":"a:é","at":1790000000}',
    ],
)
def test_an_event_is_read_back_as_it_was(text, more, is_own_envelope):
    events = table(text, **more)
    (line,) = delivery_lines(events, is_own_envelope=is_own_envelope).to_pylist()
    assert "\n" not in line
    read = read_lines([line.encode() + b"\n"])
    assert read.strange == []
    assert read.events.equals(events)


def test_a_plain_line_does_not_carry_its_payload_twice():
    text = '{"event_uuid": "id-1", "event_name": "a:é", "created_at": 1790000000, "more": [1, 2]}'
    (line,) = delivery_lines(table(text), is_own_envelope=True).to_pylist()
    assert line.startswith(text[:-1])
    assert json.loads(line)["_headgate"].keys() == {"arrived_at", *POSITION}


def test_no_events_have_no_lines():
    assert len(delivery_lines(EVENTS.empty_table(), is_own_envelope=True)) == 0
    assert read_lines([]).events.equals(EVENTS.empty_table())


GOOD = delivery_lines(table('{"event_uuid":"id-1","event_name":"a:é","created_at":1}'), is_own_envelope=True)[0].as_py()


@pytest.mark.parametrize(
    "line",
    [
        b"rubbish",
        b"\xff\xfe",
        b"{}",
        b"[" * 5_000,
        b'{"event_uuid":"a","event_name":"b","created_at":1}',
        GOOD.replace("+00:00", "").encode(),
        GOOD.replace('"sequence":"4', '"sequence":"x').encode(),
        GOOD.replace('"event_type":"a"', '"event_type":""').encode(),
        GOOD.replace('"event_uuid":"id-1"', '"event_uuid":[1]').encode(),
        GOOD.replace("shardId", "shard\\u0000Id").encode(),
    ],
)
def test_any_other_line_is_strange(line):
    read = read_lines([GOOD.encode(), line, GOOD.encode()])
    assert read.strange == [1]
    assert read.events.num_rows == 2


@settings(max_examples=100)
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_line_is_an_error(line):
    assert read_lines([line]).strange == [0]
