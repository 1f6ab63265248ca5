"""Aggregates of the Kinesis Producer Library taken apart, by hand: a protobuf message and its digest. Pure.

Format (github.com/awslabs/amazon-kinesis-producer, aggregation-format.md): 4 bytes F3 89 9A C2, then

    message AggregatedRecord { repeated string partition_key_table = 1;
                               repeated string explicit_hash_key_table = 2;
                               repeated Record records = 3; }
    message Record { required uint64 partition_key_index = 1; optional uint64 explicit_hash_key_index = 2;
                     required bytes data = 3; repeated Tag tags = 4; }

then the MD5 of that message, 16 bytes. A user record belongs to the shard that its hash key (the explicit one, else
the MD5 of its partition key) lies in; after a split some of an aggregate's records may belong elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from headgate.core.reasons import Reason
from headgate.errors import RecordError

KPL_MAGIC = b"\xf3\x89\x9a\xc2"
DIGEST_BYTES = 16
MAX_VARINT_BYTES = 10  # protobuf encoding: 64 bits, 7 a byte
MAX_HASH_KEY_DIGITS = 39  # of 2**128 - 1

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types; 3 and 4, groups, are in no such message

HashRange = tuple[int, int]


class UserRecord(NamedTuple):
    """What a producer gave the library: its data, and whether its hash key lies outside the shard."""

    data: bytes
    is_outside: bool


class _Field(NamedTuple):
    number: int
    value: int | bytes


def hash_range_of(meta: Mapping[str, Any]) -> HashRange | None:
    """First and last hash key of a shard from its range's `meta`; None where the source knows of none."""
    found = meta.get("hash_range")
    return None if found is None else (int(found[0]), int(found[1]))


def is_aggregate(record: bytes) -> bool:
    """True where a record says that it is an aggregate."""
    return record.startswith(KPL_MAGIC)


def user_records(record: bytes, hash_range: HashRange | None) -> list[UserRecord]:
    """The user records of an aggregate, in order.

    Args:
        record: a whole record of the stream that `is_aggregate`.
        hash_range: first and last hash key of its shard; None where it is not known: nothing is outside then.

    Raises:
        RecordError: `malformed_json`; the aggregate is broken, and nothing of it can be trusted.
    """
    message, digest = record[len(KPL_MAGIC) : -DIGEST_BYTES], record[-DIGEST_BYTES:]
    if len(record) < len(KPL_MAGIC) + DIGEST_BYTES:
        raise _broken("it is cut off")
    if hashlib.md5(message, usedforsecurity=False).digest() != digest:
        raise _broken("its MD5 does not fit")
    tables: dict[int, list[bytes]] = {1: [], 2: [], 3: []}
    for number, value in _fields(message):
        if number in tables:
            tables[number].append(_bytes(value))
    if not tables[3]:
        raise _broken("it holds no record")
    inside = _Inside(tables[1], tables[2], hash_range)
    return [inside.user_record(record) for record in tables[3]]


class _Inside:
    """The key tables of one aggregate."""

    def __init__(self, partition_keys: list[bytes], hash_keys: list[bytes], hash_range: HashRange | None) -> None:
        self._partition_keys, self._hash_keys = partition_keys, hash_keys
        self._range = hash_range
        self._outside: dict[tuple[int, int | None], bool] = {}  # an aggregate has few keys and many records

    def user_record(self, message: bytes) -> UserRecord:
        data: bytes | None = None
        partition: int | None = None
        explicit: int | None = None
        for number, value in _fields(message):
            if number == 1:
                partition = _number(value)
            elif number == 2:
                explicit = _number(value)
            elif number == 3:
                data = _bytes(value)
        if data is None or partition is None:
            raise _broken("a record in it has no data or no partition key")
        key = partition, explicit
        if key not in self._outside:
            self._outside[key] = self._is_outside(partition, explicit)
        return UserRecord(data, self._outside[key])

    def _is_outside(self, partition: int, explicit: int | None) -> bool:
        if partition >= len(self._partition_keys) or (explicit is not None and explicit >= len(self._hash_keys)):
            raise _broken("a record in it names a key that it does not hold")
        if explicit is None:
            digest = hashlib.md5(self._partition_keys[partition], usedforsecurity=False).digest()
            hash_key = int.from_bytes(digest, "big")
        else:
            text = self._hash_keys[explicit]
            if not text.isdigit() or len(text) > MAX_HASH_KEY_DIGITS:
                raise _broken("an explicit hash key in it is no number of 128 bits")
            hash_key = int(text)
        return self._range is not None and not self._range[0] <= hash_key <= self._range[1]


def _fields(message: bytes) -> Iterator[_Field]:
    """The fields of a protobuf message, in order."""
    at, end = 0, len(message)
    while at < end:
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if not number:
            raise _broken("a field in it has no number")
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield _Field(number, value)
            continue
        if kind == _BYTES:
            size, at = _varint(message, at)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise _broken(f"a field in it has the unknown wire type {kind}")
        if at + size > end:
            raise _broken("a field in it is cut off")
        yield _Field(number, message[at : at + size])
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for i, byte in enumerate(message[at : at + MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return value, at + i + 1
    raise _broken("a number in it is cut off or too long")


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    raise _broken("a field in it is a number where bytes belong")


def _number(value: int | bytes) -> int:
    if isinstance(value, int):
        return value
    raise _broken("a field in it is bytes where a number belongs")


def _broken(what: str) -> RecordError:
    return RecordError(Reason.MALFORMED_JSON, f"broken KPL aggregate: {what}")
