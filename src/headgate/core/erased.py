"""What is kept of erased rows, so that they cannot come back as new: positions, and digests of their ids. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.columns import one_array
from headgate.core.keys import keys_of
from headgate.core.schema import TIMESTAMP
from headgate.records import KEY_BYTES

#: One row an erased row of `events`, `duplicates` or `rejected`, by its position; a duplicate also by its original.
#: `digest` is `digests_of` the id's key: of events, while their window is open; else null.
ERASED = pa.schema(
    [
        pa.field("table", pa.string()),
        pa.field("source", pa.string()),
        pa.field("shard", pa.string()),
        pa.field("sequence", pa.string()),
        pa.field("original_shard", pa.string()),
        pa.field("original_sequence", pa.string()),
        pa.field("arrived_at", TIMESTAMP),
        pa.field("digest", pa.binary(KEY_BYTES)),
    ]
)

CLOCK_US = 24 * 3_600_000_000  # microseconds by which a clock may be wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """Erased events whose ids are still claimed.

    Attributes:
        rows: ERASED of events, each with a digest; a row may still be in its table.
        secret: of the digests.
    """

    rows: pa.Table
    secret: bytes


def digests_of(keys: npt.NDArray[np.uint8], secret: bytes) -> npt.NDArray[np.uint8]:
    """Keyed digests (BLAKE2b) of ids: without the secret nobody can test which id one belongs to.

    Args:
        keys: (n, 16) uint8, see `keys_of`.
        secret: 32 bytes.

    Returns:
        (n, 16) uint8.
    """
    digest = hashlib.blake2b
    found = b"".join(digest(key, digest_size=KEY_BYTES, key=secret).digest() for key in map(bytes, keys))
    return np.frombuffer(found, dtype=np.uint8).reshape(-1, KEY_BYTES)


def erased_of(table: str, rows: pa.Table, secret: bytes) -> pa.Table:
    """What is kept of rows that are taken out of a table.

    Args:
        table: `events`, `duplicates` or `rejected`.
        rows: of it; of events with `event_uuid`, of duplicates with the position of the original.
        secret: of the digests.

    Returns:
        ERASED.
    """
    count = rows.num_rows
    digest = pa.nulls(count, ERASED.field("digest").type)
    if table == "events" and count:
        found = digests_of(keys_of(one_array(rows["event_uuid"].cast(pa.string()))), secret)
        digest = pa.Array.from_buffers(ERASED.field("digest").type, count, [None, pa.py_buffer(found.tobytes())])
    columns = {name: rows[name] for name in ERASED.names if name in rows.column_names}
    columns |= {"table": pa.array([table] * count, pa.string()), "digest": digest}
    whole = [columns.get(field.name, pa.nulls(count, field.type)) for field in ERASED]
    return pa.table(whole, names=ERASED.names).cast(ERASED)


def without_old_digests(rows: pa.Table, erased_us: int, now_us: int, window_us: int) -> pa.Table:
    """ERASED without digests of events that arrived, and were erased, more than a window ago.

    Copies of old events come with old files, whatever the time is: hence the time of the erasure.

    Args:
        rows: ERASED.
        erased_us: when the erasure ended, microseconds since 1970 UTC.
        now_us: wall clock, which may be wrong by a day.
        window_us: of de-duplication, microseconds.
    """
    oldest_us = now_us - window_us - CLOCK_US
    since = pc.max_element_wise(rows["arrived_at"].cast(pa.int64()), pa.scalar(erased_us, pa.int64()))
    is_open = pc.greater_equal(since, oldest_us)
    digest = pc.if_else(is_open, rows["digest"], pa.scalar(None, ERASED.field("digest").type))
    return rows.set_column(rows.schema.get_field_index("digest"), ERASED.field("digest"), digest)
