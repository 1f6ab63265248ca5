"""The runs of an embedded store and the filter that is filled from them: what is pending, what was ever
seen.

Order matters: a run is written with its claims, then entered into the filter; a full segment is on disk
before the runs that it stands for go. A crash in between leaves ids that are entered twice, which changes
nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Mapping

import numpy as np

from headgate.claims.buckets import Buckets
from headgate.claims.filter import Hashes, SeenFilter, Segment
from headgate.claims.runs import RUN_PREFIX, Run, decode_run, run_name, run_number
from headgate.core.keys import mixed

SEGMENT_PREFIX = b"segment "
PART_BYTES = 1 << 20  # bytes of a segment's words in one value
SEGMENT_HEADER = struct.Struct(">QI")  # ids, buckets


class RunLog:
    """The runs that are not done with yet, oldest first."""

    def __init__(self, buckets: Buckets, seen_filter: SeenFilter) -> None:
        """Read the segments and runs on disk; 20 million ids in about a second."""
        self._buckets = buckets
        self._filter = seen_filter
        self._runs: list[Run] = []
        self._sealed: set[int] = set()
        self._next_number = 1
        for segment in self._stored_segments():
            if segment.buckets:
                self._sealed.add(segment.number)
                seen_filter.restore(segment)
            else:
                self._delete_segment(segment.number)
        for bucket in reversed(buckets.numbers()):
            for name, value in buckets.scan(bucket, RUN_PREFIX):
                keys, last, _ = decode_run(value)
                self._next_number = max(self._next_number, run_number(name) + 1)
                self.enter(Run(name=name, bucket=bucket, last=last), mixed(keys))
        self._runs.sort(key=lambda run: run.name)

    def next_name(self) -> bytes:
        """A name for the next run."""
        self._next_number += 1
        return run_name(self._next_number - 1)

    def enter(self, run: Run, hashes: Hashes) -> None:
        """Remember a run that was written."""
        segment = self._filter.add(hashes, run.bucket)
        run.segment = segment.number
        self._runs.append(run)
        if segment.is_full:
            self._store_segment(segment)
            self._sealed.add(segment.number)

    def pending(self, positions: Mapping[int, int | None]) -> Iterator[Run]:
        """Runs that are not wholly below the committed positions, newest first."""
        return (run for run in reversed(self._runs) if not run.is_committed(positions))

    def forget_committed(self, positions: Mapping[int, int | None]) -> None:
        """Delete the runs that are committed and whose segment is on disk."""
        if not self._sealed:
            return
        done = [run for run in self._runs if run.segment in self._sealed and run.is_committed(positions)]
        if not done:
            return
        batch = self._buckets.batch()
        for run in done:
            batch.delete(run.bucket, [run.name])
        batch.write()
        names = {run.name for run in done}
        self._runs = [run for run in self._runs if run.name not in names]

    def drop_buckets(self, buckets: Collection[int]) -> None:
        """Forget what belongs to buckets that were dropped."""
        self._runs = [run for run in self._runs if run.bucket not in buckets]
        for number in self._filter.drop_buckets(set(buckets)):
            self._sealed.discard(number)
            self._delete_segment(number)

    def _delete_segment(self, number: int) -> None:
        """Delete a segment's parts."""
        batch = self._buckets.batch()
        batch.delete(None, [name for name, _ in self._buckets.scan(None, _segment_name(number))])
        batch.write()

    def _store_segment(self, segment: Segment) -> None:
        """Write a full segment: part 0 says what it holds, the other parts are its words."""
        name = _segment_name(segment.number)
        header = SEGMENT_HEADER.pack(segment.count, len(segment.buckets))
        header += b"".join(bucket.to_bytes(8, "big", signed=True) for bucket in sorted(segment.buckets))
        words = segment.words.tobytes()
        parts = [header, *(words[at : at + PART_BYTES] for at in range(0, len(words), PART_BYTES))]
        self._buckets.ingest(None, [name + number.to_bytes(4, "big") for number in range(len(parts))], parts)

    def _stored_segments(self) -> Iterator[Segment]:
        """The segments on disk, oldest first; buckets that are gone are left out."""
        living = set(self._buckets.numbers())
        parts: dict[bytes, list[bytes]] = {}
        for name, value in self._buckets.scan(None, SEGMENT_PREFIX):
            parts.setdefault(name[:-4], []).append(value)
            # a segment is one file that was taken in as a whole, so no part is missing
        for name in sorted(parts):
            header, *words = parts.pop(name)
            count, num_buckets = SEGMENT_HEADER.unpack_from(header)
            buckets = np.frombuffer(header, ">i8", num_buckets, SEGMENT_HEADER.size).tolist()
            yield Segment(
                number=int.from_bytes(name[len(SEGMENT_PREFIX) :], "big"),
                words=np.frombuffer(b"".join(words), np.uint64),
                count=count,
                buckets=set(buckets) & living,
            )


def _segment_name(number: int) -> bytes:
    """The name of a segment's parts, without the part's number."""
    return SEGMENT_PREFIX + number.to_bytes(4, "big")
