"""Lines of JSON: ours wins, theirs is kept under `_original`, the rest is as it was sent."""

import base64
import gzip
import json

import pyarrow as pa
import pytest

from headgate.lake import jsonl
from headgate.records import Shard
from headgate.testing.lake_rows import CREATED, event_rows, quality_rows, rejected_rows

SHARD = Shard("source", 'sh"ard')


def line(payload, *, created_at=1.0, event_uuid="1", event_name="a:b", is_own_envelope=True):
    table = event_rows([(event_uuid, "a")], SHARD)
    for name, value in (("payload", payload), ("created_at", created_at), ("event_name", event_name)):
        table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), pa.array([value]))
    (text,) = jsonl.event_lines(table, is_own_envelope=is_own_envelope).to_pylist()
    assert "\n" not in text
    return json.loads(text)


def test_a_usual_event_keeps_its_text_and_gets_ours():
    payload = '{"event_uuid":"1", "event_name":"a:b","created_at":1.0,"x":[1,  2],"é":"\\u00e9"}'
    table = event_rows([("1", "a")], SHARD)
    table = table.set_column(7, "payload", pa.array([payload])).set_column(4, "created_at", pa.array([1.0]))
    (text,) = jsonl.event_lines(table, is_own_envelope=True).to_pylist()
    assert text.startswith(payload[:-1])
    assert json.loads(text) == json.loads(payload) | {
        "created_datetime": "2026-11-18T11:06:40.500000+00:00",
        "event_type": "a",
        "event_subtype": "order",
        "created_date": "2026-11-18",
        "_headgate": {
            "arrived_at": "2026-11-18T11:06:40.500000+00:00",
            "source": "source",
            "shard": 'sh"ard',
            "sequence": "0",
        },
    }


@pytest.mark.parametrize("is_own_envelope", [True, False])
@pytest.mark.parametrize(
    ("payload", "original"),
    [
        ('{"event_uuid":1,"event_name":"a:b","created_at":1}', None),
        ('{"event_uuid":"1","event_name":"a:b","created_at":1e0}', None),
        (' {"event_uuid":"1",\n"event_name":"a:b",\r\n"created_at":1}\n', None),
        ('{"x":{"created_at":9},"event_uuid":"1","event_name":"a:b","created_at":1}', None),
        ('{"event_uuid":"0","event_uuid":"1","event_name":"a:b","created_at":1}', None),
        ('{"event_uuid":"1","event_name":"a:b","created_at":1000}', {"created_at": 1000}),
        ('{"event_uuid":"1","event_name":"a:b","created_at":"1"}', {"created_at": "1"}),
        ('{"event_uuid":"1","event_name":"a:b","created_at":1,"event_type":[1]}', {"event_type": [1]}),
        ('{"event_uuid":"1","event_name":"a:b","created_at":1,"\\u0065vent_type":2}', {"event_type": 2}),
        ('{"event_uuid":"1","event_name":"a:b","created_at":1,"_headgate":0}', {"_headgate": 0}),
        ('{"event_uuid":"1","event_name":"a:b","created_at":1,"_original":0}', {"_original": 0}),
        ('{"event_uuid":"1","event_name":"a:b","created_\\u0061t":7,"y":"created_at"}', {"created_at": 7}),
    ],
)
def test_what_we_overwrite_is_kept_under_original(payload, original, is_own_envelope):
    found = line(payload, is_own_envelope=is_own_envelope)
    assert found.get("_original") == original
    assert (found["created_at"], str(found["event_uuid"]), found["event_type"]) == (1, "1", "a")
    assert found["_headgate"]["sequence"] == "0"


def test_an_event_of_another_envelope_gets_the_common_fields():
    found = line('{"id":1,"created_at":9,"ts":1}', is_own_envelope=False)
    assert (found["event_uuid"], found["event_name"], found["created_at"], found["id"]) == (
        "1",
        "a:b",
        1.0,
        1,
    )
    assert found["_original"] == {"created_at": 9}


@pytest.mark.parametrize(
    "payload",
    [
        '{"event_uuid":"1","event_name":"a:b","created_at":1.0,"x":1}',
        '{"event_uuid":"1","event_name":"a:b","created_at":1000,"event_type":2}',
        '{"event_uuid":"1","event_name":"a:b","created_at":"1","_original":{"a":1}}',
    ],
)
def test_the_payload_can_be_rebuilt(payload):
    assert json.loads(jsonl.original(json.dumps(line(payload)).encode())) == json.loads(payload)


def test_usual_and_unusual_rows_stand_in_their_places():
    table = event_rows([("0", "a"), ("1", "a"), ("2", "a")], SHARD)
    payloads = table["payload"].to_pylist()
    payloads[1] = payloads[1].replace("}", ',"event_type":5}')
    table = table.set_column(7, "payload", pa.array(payloads))
    found = [json.loads(text) for text in jsonl.event_lines(table, is_own_envelope=True).to_pylist()]
    assert [(f["event_uuid"], f.get("_original")) for f in found] == [
        ("0", None),
        ("1", {"event_type": 5}),
        ("2", None),
    ]
    assert [f["created_at"] for f in found] == [CREATED] * 3


def test_rejects_carry_their_bytes_as_base64():
    (text,) = jsonl.plain_lines(rejected_rows([b"\xff\n{"], SHARD)).to_pylist()
    assert base64.b64decode(json.loads(text)["raw"]) == b"\xff\n{"


def test_quality_maps_are_objects():
    (text,) = jsonl.plain_lines(quality_rows(["a"])).to_pylist()
    assert (json.loads(text)["reasons"], json.loads(text)["warnings"]) == ({"malformed_json": 1}, {})


def test_a_slice_is_encoded_alone():
    lines = pa.array(["a", "bb", "ccc"], pa.large_string())
    assert jsonl.encode(lines.slice(1, 2), is_gzip=False) == b"bb\nccc\n"
    assert gzip.decompress(jsonl.encode(lines.slice(0, 1), is_gzip=True)) == b"a\n"
