"""Records of several lines: taken apart together, they give what each gives when it is looked at alone."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headgate.core import decode as decoding
from headgate.core.decode import decode
from headgate.core.envelope import Envelope
from headgate.core.irregular import parts_of
from headgate.core.limits import Limits
from headgate.records import RecordBatch
from headgate.testing.records import record_batch

ENVELOPE = Envelope()
LIMITS = Limits(max_event_bytes=400, max_record_bytes=1200)
GOOD = [
    b'{"event_uuid":"a","event_name":"n:m","created_at":1}',
    b'{"event_uuid":7,"event_name":"n","created_at":"2026-11-20T00:00:00Z","x":{"y":[1,2,{}]}}',
    b'{"event_uuid":"a","event_uuid":"b","event_name":"n","created_at":1.5}',
    b"{}",
]
ODD = [
    b'{"event_uuid":"a","event_name":"n"',
    b'{"event_uuid":"a","event_na',
    b'{"a":',
    b"1}",
    b'{"a":[{}',
    b"{}]}",
    b'{"a":[{},',
    b"{}{}",
    b"{} {}",
    b"{},",
    b'{"a":NaN}',
    b'{"a":"\x80"}',
    b'{"event_uuid":true,"event_name":[1],"created_at":{}}',
    b'{"a":' + b"[" * 130 + b"]" * 130 + b"}",
    b'{"a":"' + b"x" * 400 + b'"}',
    b"[{},{}]",
    b"[{}",
    b"null",
    b"12",
    b"x",
    b"",
    b" ",
    b"{} ",
    b" {}",
    b'{"a":"\\ud800"}',
    b"\x1f\x8b",
    b"\xf3\x89\x9a\xc2",
]
lines = st.lists(st.sampled_from(GOOD * 4 + ODD), min_size=1, max_size=8)
records = st.builds(
    lambda some, end, last: end.join(some) + last,
    lines,
    st.sampled_from([b"\n", b"\r\n"]),
    st.sampled_from([b"", b"\n", b"\r\n", b" "]),
)


def check(some):
    found = decode(record_batch(some), ENVELOPE, LIMITS).to_pylist()
    wanted = [(i, part) for i, record in enumerate(some) for part in parts_of(record, None, ENVELOPE, LIMITS)]
    assert [(int.from_bytes(row["sequence"], "big"), row["sub"]) for row in found] == [(i, p.sub) for i, p in wanted]
    for row, (_, part) in zip(found, wanted, strict=True):
        assert row["reason"] == part.reason
        assert row["detail"] == part.detail
        assert (row["payload"] if row["raw"] is None else row["raw"]) == part.payload
        if part.reason is None:
            assert row["event_uuid"] == (None if part.event_uuid is None else str(part.event_uuid))
            assert row["event_name"] == part.event_name


@given(st.lists(records, min_size=1, max_size=6))
@example([b"\n".join([GOOD[0], *ODD[:1], GOOD[1]]), GOOD[0], b"\n".join(GOOD)])
def test_lines_of_a_record_are_what_the_record_gives_alone(some):
    check(some)


@pytest.mark.parametrize("odd", range(len(ODD)))
@pytest.mark.parametrize("times", [1, decoding.MAX_ODD_LINES, decoding.MAX_ODD_LINES + 1])
def test_one_kind_of_odd_line_among_good_ones(odd, times):
    check([b"\n".join([GOOD[0], *[ODD[odd], GOOD[1]] * times]), b"\n".join([ODD[odd], GOOD[2]])])


def test_whole_lines_are_never_looked_at_one_by_one(monkeypatch):
    """What the speed rests on."""
    monkeypatch.setattr(decoding, "pieces_of", None)
    table = decode(record_batch([b"\n".join([*GOOD, ODD[1], GOOD[0]])] * 10), ENVELOPE, LIMITS)
    assert table.num_rows == 60
    assert table["reason"].null_count == 50


def test_a_chunk_that_is_a_slice():
    whole = record_batch([b"x", b"\n".join(GOOD), GOOD[0], b"\n".join(GOOD[:2]), b"y"])
    part = RecordBatch(table=whole.table.slice(1, 3), ranges=whole.ranges)
    table = decode(part, ENVELOPE, LIMITS)
    assert table["payload"].to_pylist() == [*GOOD, GOOD[0], *GOOD[:2]]
    assert [int.from_bytes(s, "big") for s in table["sequence"].to_pylist()] == [1] * 4 + [2] + [3] * 2


def test_many_records_that_are_left_are_joined(monkeypatch):
    monkeypatch.setattr(decoding, "MAX_SLICES", 1)
    some = [
        b"\n".join(GOOD),
        ODD[0],
        GOOD[0],
        b"\n".join([GOOD[0], ODD[2]]),
        b"\n".join(GOOD[:2]),
        b"[]\n[]",
        b"{}\n[]",
    ]
    check(some)
    check([b"{}\n[]", b"[]"])
