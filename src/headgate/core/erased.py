"""What is kept of erased rows, so that they cannot come back as new: positions, and digests of their ids. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

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
