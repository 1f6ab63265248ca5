"""Which ids were certainly never seen: a blocked Bloom filter in memory, in front of the claims on disk.

One 64-bit word an id, five bits in it, so that a look-up touches one cache line. Segments double in size
and are asked all; a full segment never changes again and can be kept on disk. A segment knows the time
buckets of its ids. When the memory is used up the oldest segment goes, and the ids of its buckets are
looked up on disk instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]

BITS_PER_ID = 16  # 0.3 % of a full segment's answers are wrong
FIRST_CAPACITY = 1 << 20  # ids; 2 MiB
LAST_CAPACITY = 1 << 24  # ids; 32 MiB; larger ones would take long to write when full
MAX_BYTES = 352 << 20  # bytes; 184 million ids: a window of 7 days at 1M an hour
PROBE_BITS = (0, 6, 12, 18, 24)  # shifts of the five six-bit pieces of a hash that pick bits in a word


@dataclass(slots=True, kw_only=True)
class Segment:
    """Some ids' bits.

    Attributes:
        number: where the segment stands in the order of time; never used twice.
        words: the bits; a power of two of 64-bit words.
        count: ids entered.
        buckets: time buckets that these ids belong to.
    """

    number: int
    words: npt.NDArray[np.uint64]
    count: int = 0
    buckets: set[int] = field(default_factory=set)

    @property
    def is_full(self) -> bool:
        """True where no further id may be entered."""
        return self.count >= len(self.words) * 64 // BITS_PER_ID


@dataclass(frozen=True, slots=True)
class Traces:
    """Where the traces of some ids were found: by segment its buckets and a mask of the ids."""

    hits: Sequence[tuple[set[int], npt.NDArray[np.bool_]]]
    blind: set[int]
    num_ids: int

    def in_bucket(self, bucket: int) -> npt.NDArray[np.bool_]:
        """(n,) True where an id may be in the bucket; False is certain."""
        if bucket in self.blind:
            return np.ones(self.num_ids, bool)
        mask = np.zeros(self.num_ids, bool)
        for buckets, hit in self.hits:
            if bucket in buckets:
                mask |= hit
        return mask


class SeenFilter:
    """The segments of one store. Cost: about 10 ns an id and segment."""

    def __init__(self, max_bytes: int = MAX_BYTES, first_capacity: int = FIRST_CAPACITY) -> None:
        """Begin empty.

        Args:
            max_bytes: bound of all segments together.
            first_capacity: ids in the first segment; a power of two, at least 8.
        """
        self._max_bytes = max_bytes
        self._first_capacity = first_capacity
        self._segments: list[Segment] = []
        self._blind: set[int] = set()
        self._next_number = 1

    @property
    def memory_bytes(self) -> int:
        """Bytes of all segments."""
        return sum(segment.words.nbytes for segment in self._segments)

    @property
    def num_ids(self) -> int:
        """Ids entered and not dropped since."""
        return sum(segment.count for segment in self._segments)

    def traces(self, hashes: Hashes) -> Traces:
        """Look for ids.

        Args:
            hashes: (n,) uint64, see `core.keys.mixed`.

        Returns:
            Which of them may have been seen, and in which buckets.
        """
        bits = _bits(hashes)
        hits = []
        for segment in self._segments:
            hit = (segment.words[_places(hashes, segment)] & bits) == bits
            if hit.any():
                hits.append((segment.buckets, hit))
        return Traces(hits, self._blind, len(hashes))

    def add(self, hashes: Hashes, bucket: int) -> Segment:
        """Enter ids of one bucket.

        Args:
            hashes: (n,) uint64.
            bucket: their time bucket.

        Returns:
            The segment that took them; where it `is_full` now, the next call begins another one.
        """
        if not self._segments or self._segments[-1].is_full:
            self._begin_segment()
        segment = self._segments[-1]
        np.bitwise_or.at(segment.words, _places(hashes, segment), _bits(hashes))
        segment.count += len(hashes)
        segment.buckets.add(bucket)
        return segment

    def restore(self, segment: Segment) -> None:
        """Take a full segment back from disk; the oldest first."""
        self._segments.append(segment)
        self._next_number = max(self._next_number, segment.number + 1)
        self._keep_within_bounds()

    def drop_buckets(self, buckets: set[int]) -> list[int]:
        """Forget buckets. Returns the numbers of the segments that went with them."""
        self._blind -= buckets
        for segment in self._segments:
            segment.buckets -= buckets
        dropped = [segment.number for segment in self._segments if not segment.buckets]
        self._segments = [segment for segment in self._segments if segment.buckets]
        return dropped

    def _begin_segment(self) -> None:
        """Open a segment of twice the last one's size."""
        capacity = self._first_capacity
        if self._segments:
            last = self._segments[-1].words
            capacity = min(2 * len(last) * 64 // BITS_PER_ID, LAST_CAPACITY)
        words = np.zeros(capacity * BITS_PER_ID // 64, np.uint64)
        self._segments.append(Segment(number=self._next_number, words=words))
        self._next_number += 1
        self._keep_within_bounds()

    def _keep_within_bounds(self) -> None:
        """Let the oldest segments go while there are too many bytes; their buckets become blind."""
        while len(self._segments) > 1 and self.memory_bytes > self._max_bytes:
            self._blind |= self._segments.pop(0).buckets


def _places(hashes: Hashes, segment: Segment) -> npt.NDArray[np.int64]:
    """The word of each hash: its upper bits."""
    shift = np.uint64(64 - (len(segment.words).bit_length() - 1))
    return (hashes >> shift).view(np.int64)


def _bits(hashes: Hashes) -> Hashes:
    """Five bits of a word for each hash: its lower bits."""
    bits = np.zeros(len(hashes), np.uint64)
    for shift in PROBE_BITS:
        bits |= np.uint64(1) << ((hashes >> np.uint64(shift)) & np.uint64(63))
    return bits
