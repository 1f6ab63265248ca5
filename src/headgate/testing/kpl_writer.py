"""Aggregates as the Kinesis Producer Library writes them; the format stands in core/kpl.py."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from headgate.core.kpl import KPL_MAGIC


def varint(value: int) -> bytes:
    """A number in protobuf's encoding."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, value: int | bytes) -> bytes:
    """A field of a protobuf message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def sealed(message: bytes) -> bytes:
    """Any bytes between the mark of an aggregate and the digest that fits them."""
    return KPL_MAGIC + message + hashlib.md5(message, usedforsecurity=False).digest()


def aggregate(data: Sequence[bytes], *, partition_key: str = "key", hash_keys: Sequence[int] = ()) -> bytes:
    """An aggregate of user records.

    Args:
        data: of each user record.
        partition_key: of all of them.
        hash_keys: explicit hash keys of the records, or none at all.
    """
    tables = field(1, partition_key.encode()) + b"".join(field(2, str(key).encode()) for key in hash_keys)
    records = []
    for i, one in enumerate(data):
        explicit = field(2, i) if hash_keys else b""
        records.append(field(3, field(1, 0) + explicit + field(3, one) + field(4, field(1, b"tag"))))
    return sealed(tables + b"".join(records))
