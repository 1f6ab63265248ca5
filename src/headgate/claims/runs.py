"""The record of a write: which keys it entered, for whom, and what stood there before.

A run is stored in the same atomic write as its claims. It serves twice: to find the claims that were never
committed, and to fill the filter again after opening. It may go once its segment of the filter is on disk and
everything in it is committed.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headgate.records import KEY_BYTES, OWNER, SEQUENCE_BYTES

#: Sorts behind every claim: longer than a key and not below the greatest one.
RUN_PREFIX = b"\xff" * KEY_BYTES + b"run"
HEADER = struct.Struct(">III")  # claims, shards, previous owners
SHARD_BYTES = 4 + SEQUENCE_BYTES


@dataclass(slots=True, kw_only=True)
class Run:
    """One write as it is remembered in memory.

    Attributes:
        name: its key in the bucket.
        bucket: the time bucket it was written to.
        last: by shard number the greatest sequence it claims for; empty where all was committed before.
        segment: the number of the filter's segment that holds its ids; 0 where that is not known.
    """

    name: bytes
    bucket: int
    last: Mapping[int, int]
    segment: int = 0

    def is_committed(self, positions: Mapping[int, int | None]) -> bool:
        """True where every sequence is below its shard's committed position."""
        return all(is_below(sequence, positions.get(shard)) for shard, sequence in self.last.items())


def is_below(sequence: int, position: int | None) -> bool:
    """True where a sequence is below a committed position; None: nothing was committed yet."""
    return position is not None and sequence < position


def run_name(number: int) -> bytes:
    """The key of a run within its bucket."""
    return RUN_PREFIX + number.to_bytes(8, "big")


def run_number(name: bytes) -> int:
    """The number in a run's key."""
    return int.from_bytes(name[len(RUN_PREFIX) :], "big")


def encode_run(keys: npt.NDArray[np.uint8], last: Mapping[int, int], previous: npt.NDArray[np.void] | None) -> bytes:
    """Pack a run's record.

    Args:
        keys: (n, 16) uint8.
        last: see `Run`.
        previous: (n,) OWNER, the owners that the run replaced; None where it replaced none.

    Returns:
        The stored value.
    """
    shards = b"".join(shard.to_bytes(4, "big") + top.to_bytes(SEQUENCE_BYTES, "big") for shard, top in last.items())
    before = b"" if previous is None else previous.tobytes()
    return HEADER.pack(len(keys), len(last), len(before) // OWNER.itemsize) + shards + keys.tobytes() + before


def decode_run(value: bytes) -> tuple[npt.NDArray[np.uint8], dict[int, int], npt.NDArray[np.void] | None]:
    """Unpack a run's record: keys, last and previous as `encode_run` took them."""
    num_claims, num_shards, num_previous = HEADER.unpack_from(value)
    at = HEADER.size
    last = {}
    for _ in range(num_shards):
        last[int.from_bytes(value[at : at + 4], "big")] = int.from_bytes(value[at + 4 : at + SHARD_BYTES], "big")
        at += SHARD_BYTES
    keys = np.frombuffer(value, np.uint8, num_claims * KEY_BYTES, at).reshape(-1, KEY_BYTES)
    at += num_claims * KEY_BYTES
    previous = np.frombuffer(value, OWNER, num_previous, at) if num_previous else None
    return keys, last, previous


def last_sequences(owners: npt.NDArray[np.void]) -> dict[int, int]:
    """By shard number the greatest sequence.

    Args:
        owners: (n,) OWNER.

    Returns:
        One entry a shard.
    """
    shards = owners["shard"].astype(np.uint32)
    words = np.ascontiguousarray(owners["sequence"]).view(">u8").astype(np.uint64).reshape(-1, SEQUENCE_BYTES // 8)
    last = {}
    present = [int(shards[0])] if (shards == shards[0]).all() else np.unique(shards).tolist()
    for shard in present:
        rows = words if len(present) == 1 else words[shards == shard]
        top = 0
        for column in range(SEQUENCE_BYTES // 8):
            greatest = rows[:, column].max()
            rows = rows[rows[:, column] == greatest]
            top = (top << 64) | int(greatest)
        last[shard] = top
    return last
