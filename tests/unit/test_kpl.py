"""Aggregates of the Kinesis Producer Library: each user record a part, a broken one a reject, nothing raised."""

import gzip
import hashlib

import pyarrow as pa
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.decode import decode
from headgate.core.envelope import Envelope
from headgate.core.irregular import parts_of
from headgate.core.kpl import KPL_MAGIC
from headgate.core.limits import Limits
from headgate.core.reasons import Warn
from headgate.records import RecordBatch, Shard, ShardRange
from headgate.testing.kpl_writer import aggregate, field, sealed, varint
from headgate.testing.records import record_batch

ENVELOPE = Envelope()
HASH_KEY = int.from_bytes(hashlib.md5(b"key", usedforsecurity=False).digest(), "big")


def event(i):
    return b'{"event_uuid":"%d","event_name":"a:b","created_at":%d}' % (i, 1_790_000_000 + i)


def parts(record, hash_range=None, **limits):
    return parts_of(record, None, ENVELOPE, Limits(**limits), hash_range)


def only_reject(record, **limits):
    (part,) = parts(record, **limits)
    assert part.payload == record
    assert part.sub == -1
    return part


def test_each_user_record_is_a_part():
    found = parts(aggregate([event(1), event(2), event(3)]))
    assert [(p.sub, p.event_uuid, p.payload) for p in found] == [(i, str(i + 1), event(i + 1)) for i in range(3)]
    assert [p.reason for p in found] == [None] * 3


def test_a_user_record_is_a_stream_of_documents_of_its_own():
    found = parts(aggregate([event(1) + b"\n" + event(2), b"[" + event(3) + b"]", gzip.compress(event(4)), b"5"]))
    assert [(p.sub, p.event_uuid, p.reason) for p in found] == [
        (0, "1", None),
        (1, "2", None),
        (2, "3", None),
        (3, "4", None),
        (4, None, "not_an_object"),
    ]


def test_one_user_record_still_has_a_number():
    (part,) = parts(aggregate([event(1)]))
    assert (part.sub, part.event_uuid) == (0, "1")


def test_an_empty_user_record_is_a_reject_beside_good_ones():
    found = parts(aggregate([event(1), b"", event(2)]))
    assert [(p.sub, p.reason) for p in found] == [(0, None), (1, "malformed_json"), (2, None)]


def test_positions_in_a_batch():
    batch = record_batch([event(0), aggregate([event(1), event(2)]), event(3)])
    table = decode(batch, ENVELOPE, Limits())
    assert table["event_uuid"].to_pylist() == ["0", "1", "2", "3"]
    assert table["sub"].to_pylist() == [-1, 0, 1, -1]
    assert table["payload"].to_pylist() == [event(i) for i in range(4)]


@pytest.mark.parametrize(
    ("hash_range", "outside"),
    [
        (None, False),
        ((0, (1 << 128) - 1), False),
        ((HASH_KEY, HASH_KEY), False),
        ((HASH_KEY + 1, (1 << 128) - 1), True),
        ((0, HASH_KEY - 1), True),
    ],
)
def test_a_partition_key_outside_the_shard_is_counted_and_kept(hash_range, outside):
    (part,) = parts(aggregate([event(1)]), hash_range)
    assert part.reason is None
    assert bool(part.warnings & Warn.KPL_OUTSIDE_SHARD) is outside


def test_an_explicit_hash_key_counts_before_the_partition_key():
    found = parts(aggregate([event(1), event(2)], hash_keys=[10, 20]), (0, 15))
    assert [bool(p.warnings & Warn.KPL_OUTSIDE_SHARD) for p in found] == [False, True]


def test_the_hash_range_comes_with_the_shard_of_the_record():
    (table,) = (record_batch([aggregate([event(1)])] * 2).table,)
    table = table.set_column(1, table.schema.field("shard"), pa.array([0, 1], pa.int32()))
    hashes = [["0", "5"], ["0", str((1 << 128) - 1)]]
    ranges = [
        ShardRange(shard=Shard("s", str(i)), start=None, end="2", meta={"hash_range": hashes[i]}) for i in range(2)
    ]
    decoded = decode(RecordBatch(table=table, ranges=ranges), ENVELOPE, Limits())
    assert decoded["warnings"].to_pylist() == [Warn.KPL_OUTSIDE_SHARD, 0]


@pytest.mark.parametrize(
    ("record", "detail"),
    [
        (KPL_MAGIC, "cut off"),
        (KPL_MAGIC + b"x" * 15, "cut off"),
        (aggregate([event(1)])[:-1], "MD5"),
        (aggregate([event(1)])[:-17] + b"?" + aggregate([event(1)])[-16:], "MD5"),
        (sealed(b""), "holds no record"),
        (sealed(field(1, b"key")), "holds no record"),
        (sealed(field(3, field(1, 0) + field(3, b"{}"))), "names a key"),
        (sealed(field(1, b"k") + field(3, field(1, 0) + field(2, 0) + field(3, b"{}"))), "names a key"),
        (sealed(field(1, b"k") + field(3, field(3, b"{}"))), "no data or no partition key"),
        (sealed(field(1, b"k") + field(3, field(1, 0))), "no data or no partition key"),
        (sealed(field(1, b"k") + field(3, field(1, b"0") + field(3, b"{}"))), "bytes where a number"),
        (sealed(field(1, b"k") + field(3, field(1, 0) + field(3, 7))), "a number where bytes"),
        (sealed(field(3, 1)), "a number where bytes"),
        (sealed(b"\x1a\x7f"), "cut off"),
        (sealed(b"\x1a" + b"\xff" * 11), "too long"),
        (sealed(b"\x1b"), "wire type"),
        (sealed(b"\x02\x00"), "no number"),
        (sealed(b"\x09" + b"x" * 7), "cut off"),
        (aggregate([event(1)], hash_keys=[1 << 140]), "128 bits"),
    ],
)
def test_a_broken_aggregate_is_one_reject(record, detail):
    part = only_reject(record)
    assert part.reason == "malformed_json"
    assert part.detail.startswith("broken KPL aggregate: ")
    assert detail in part.detail


def test_unknown_fields_are_passed_over():
    unknown = (
        varint(9 << 3) + varint(1) + field(10, b"x") + varint(11 << 3 | 1) + b"8" * 8 + varint(12 << 3 | 5) + b"4444"
    )
    message = unknown + field(1, b"k") + field(3, unknown + field(1, 0) + field(3, event(1)))
    assert [p.event_uuid for p in parts(sealed(message))] == ["1"]


def test_an_aggregate_in_an_aggregate_is_no_json():
    (part,) = parts(aggregate([aggregate([event(1)])]))
    assert (part.sub, part.reason) == (0, "malformed_json")


def test_all_user_records_together_inflate_to_one_limit():
    bomb = gzip.compress(b" " * 600 + event(1))
    found = parts(aggregate([bomb, bomb, event(2)]), max_record_bytes=1_000)
    assert [(p.sub, p.reason) for p in found] == [(0, None), (1, "too_large"), (2, None)]


def test_a_digest_that_ends_like_a_line_is_no_line_end():
    records = [aggregate([b" " * pad + event(1)]) for pad in range(2_000)]
    odd = [record for record in records if record.endswith(b"\n")]
    assert odd
    for record in odd:
        assert [p.event_uuid for p in parts(record)] == ["1"]


def test_a_frame_that_ends_like_a_line_is_whole_and_one_with_a_line_end_too():
    compressor = zstandard.ZstdCompressor(write_checksum=True)
    frames = [compressor.compress(event(i)) for i in range(2_000)]
    odd = [(i, frame) for i, frame in enumerate(frames) if frame.endswith(b"\n")]
    assert odd
    for i, frame in odd:
        assert [p.event_uuid for p in parts(frame)] == [str(i)]
        assert [p.event_uuid for p in parts(frame + b"\r\n")] == [str(i)]


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_after_the_mark_give_rows(rest, is_sealed):
    record = sealed(rest) if is_sealed else KPL_MAGIC + rest
    batch = record_batch([event(1), record, event(2)])
    table = decode(batch, ENVELOPE, Limits())
    assert table.num_rows >= 3
    assert table["event_uuid"].to_pylist()[0] == "1"
    assert table["event_uuid"].to_pylist()[-1] == "2"


MESSAGES = st.recursive(
    st.binary(max_size=20),
    lambda inner: st.lists(
        st.builds(field, st.integers(0, 5), st.one_of(st.integers(0, 1 << 70), inner)), max_size=6
    ).map(b"".join),
    max_leaves=12,
)


@given(MESSAGES, st.sampled_from([None, (0, 10)]))
def test_any_message_with_a_good_digest_gives_parts(message, hash_range):
    found = parts(sealed(message), hash_range)
    assert found
    assert all(p.reason or p.event_uuid is not None or p.payload for p in found)


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=8), st.integers(0, 200), st.binary(max_size=3))
def test_a_changed_aggregate_is_never_half_read(data, at, change):
    good = aggregate(data)
    bad = good[:at] + change + good[at + len(change) :]
    is_line = bad.endswith(b"\n") and bad.removesuffix(b"\n").removesuffix(b"\r") == good  # with a line end: as good
    if bad[4:] != good[4:] and bad.startswith(KPL_MAGIC) and not is_line:
        assert [p.reason for p in parts(bad)] == ["malformed_json"]


def test_an_aggregate_whose_digest_ends_like_a_line_is_read():
    whole = next(one for one in (aggregate([event(i)]) for i in range(100_000)) if one.endswith(b"\n"))
    table = decode(record_batch([whole, whole + b"\n", whole + b"\r\n"]), ENVELOPE, Limits())
    assert table["reason"].to_pylist() == [None] * 3
