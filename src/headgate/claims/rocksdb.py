"""The embedded claim store: RocksDB on local disk behind a filter in memory, for one process at a time.

An id never seen costs no look-up on disk. New claims go to disk as one sorted file a call. Time buckets
follow the owner's arrival, so that expiry drops whole buckets.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from headgate.claims.buckets import Buckets, ClaimStoreCorrupt
from headgate.claims.filter import Hashes, SeenFilter
from headgate.claims.rows import key_order, names_of, values_of
from headgate.claims.run_log import RunLog
from headgate.claims.runs import Run, decode_run, encode_run, last_sequences
from headgate.core.dedup import first_copies, is_abandoned, is_same_position, put_rows, rows_of
from headgate.core.keys import mixed
from headgate.errors import ConfigError
from headgate.records import OWNER, Claims, Shard

BUCKET_US = 24 * 3600 * 1_000_000  # µs; a seventh of the default window
MIN_FILE_CLAIMS = 2_000  # claims; below this RocksDB's log is cheaper than a file of its own
MAX_FILE_CLAIMS = 131_072  # claims; bounds the memory of one write
SHARD_PREFIX = b"shard "

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Holders:
    """Who owns each of some keys: where `is_held`, the owner and the bucket it stands in."""

    is_held: npt.NDArray[np.bool_]
    owners: npt.NDArray[np.void]
    buckets: npt.NDArray[np.int64]


class RocksDbClaimStore:
    """A ClaimStore in a local folder."""

    is_embedded = True

    def __init__(self, path: Path, *, bucket_us: int = BUCKET_US, seen_filter: SeenFilter | None = None) -> None:
        """Open the store, or begin a new one with a new generation where there is none or it is damaged.

        Args:
            path: its folder; a damaged one is moved beside it (`moved_aside` says where to).
            bucket_us: width of a time bucket in microseconds; fixed when the store is made.
            seen_filter: an empty filter, where another bound of memory than the default is wanted.

        Raises:
            ClaimStoreInUse: another process has it open.
            TransientError: the disk does not answer or is full.
        """
        self._path, self._wanted_bucket_us = path, bucket_us
        try:
            self._begin(seen_filter or SeenFilter())
        except ClaimStoreCorrupt:  # the next opening moves it aside
            self._buckets.close()
            self._begin(SeenFilter())
        self.moved_aside = self._buckets.moved_aside

    def _begin(self, seen_filter: SeenFilter) -> None:
        """Read what the store says of itself; make it up for a new one."""
        self._buckets = Buckets(self._path)
        facts = dict(self._buckets.scan(None, b"fact "))
        if not facts:
            facts = {
                b"fact generation": uuid.uuid4().hex.encode(),
                b"fact seen": b"0",
                b"fact bucket_us": str(self._wanted_bucket_us).encode(),
            }
            batch = self._buckets.batch()
            batch.put(None, list(facts), list(facts.values()))
            batch.write(is_synced=True)
        self._generation = facts[b"fact generation"].decode()
        self._seen = int(facts[b"fact seen"])
        self._bucket_us = int(facts[b"fact bucket_us"])
        self._shards = [Shard(*msgspec.json.decode(value)) for _, value in self._buckets.scan(None, SHARD_PREFIX)]
        self._shard_numbers = {shard: number for number, shard in enumerate(self._shards)}
        self._committed: dict[int, int | None] = {}
        self._lake_id = facts.get(b"fact lake", b"").decode()
        self._expired_us = int(facts.get(b"fact expired", b"0"))
        self._filter = seen_filter
        self._runs = RunLog(self._buckets, self._filter)

    def bind(self, lake_id: str) -> None:
        """Belong to one lake for ever: the claims of another one would make duplicates of its events.

        Raises:
            ConfigError: the store belongs to another lake.
        """
        if self._lake_id and self._lake_id != lake_id:
            raise ConfigError(
                f"the claim store {self._path} belongs to another lake ({self._lake_id}): name another folder "
                f"with --dedup rocksdb:PATH, or delete it if that lake is gone"
            )
        if not self._lake_id:
            batch = self._buckets.batch()
            batch.put(None, [b"fact lake"], [lake_id.encode()])
            batch.write(is_synced=True)
            self._lake_id = lake_id

    def renew(self) -> None:
        """Forget everything but the lake it belongs to, and begin a new generation."""
        lake_id = self._lake_id
        self._buckets.close()
        shutil.rmtree(self._path)
        self._begin(SeenFilter())
        if lake_id:
            self.bind(lake_id)

    @property
    def generation(self) -> str:
        """Made with the store."""
        return self._generation

    @property
    def seen(self) -> int:
        """The last ledger number that `mark_seen` was told."""
        return self._seen

    def shard_number(self, shard: Shard) -> int:
        """The number of a shard; synced to disk before it is first answered."""
        if shard not in self._shard_numbers:
            number = len(self._shards)
            batch = self._buckets.batch()
            batch.put(None, [SHARD_PREFIX + number.to_bytes(4, "big")], [msgspec.json.encode(list(shard))])
            batch.write(is_synced=True)
            self._shards.append(shard)
            self._shard_numbers[shard] = number
        return self._shard_numbers[shard]

    def shard_of(self, number: int) -> Shard:
        """The shard behind a number."""
        if not 0 <= number < len(self._shards):
            raise KeyError(f"shard number {number} was never assigned in {self._buckets.path}")
        return self._shards[number]

    def claim(self, claims: Claims, window_us: int) -> npt.NDArray[np.void]:
        """See the port. About 1 µs for an id never seen, 6 µs for one that was."""
        hashes = mixed(claims.keys)
        held = self._find(claims.keys, hashes)
        expires = held.owners["arrived"].astype(np.int64) + window_us
        is_expired = held.is_held & (claims.owners["arrived"].astype(np.int64) > expires)
        self._enter(claims, hashes, np.flatnonzero(~held.is_held), is_pending=True)
        self._move(claims, hashes, held, np.flatnonzero(is_expired), is_pending=True)
        return _answer(claims, held, is_expired | ~held.is_held)

    def take_over(self, claims: Claims, expected: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
        """See the port; a key that nobody owns any more is claimed."""
        hashes = mixed(claims.keys)
        held = self._find(claims.keys, hashes)
        is_swapped = held.is_held & is_same_position(held.owners, expected)
        self._enter(claims, hashes, np.flatnonzero(~held.is_held), is_pending=True)
        self._move(claims, hashes, held, np.flatnonzero(is_swapped), is_pending=True)
        return _answer(claims, held, is_swapped | ~held.is_held)

    def release(self, claims: Claims) -> int:
        """See the port."""
        held = self._find(claims.keys, mixed(claims.keys))
        is_own = held.is_held & is_same_position(held.owners, claims.owners)
        self._delete(claims.keys[is_own], held.buckets[is_own])
        return int(is_own.sum())

    def load(self, claims: Claims) -> None:
        """See the port; of a key given twice the later row counts. What is loaded is never withdrawn."""
        last = len(claims) - 1 - np.unique(first_copies(claims.keys[::-1]))
        claims = Claims(keys=claims.keys[last], owners=claims.owners[last])
        hashes = mixed(claims.keys)
        held = self._find(claims.keys, hashes)
        self._enter(claims, hashes, np.flatnonzero(~held.is_held), is_pending=False)
        is_other = held.is_held & (held.owners != claims.owners)
        self._move(claims, hashes, held, np.flatnonzero(is_other), is_pending=False)

    def withdraw(self, positions: Mapping[Shard, str | None]) -> int:
        """See the port. Where an uncommitted claim had replaced an expired one, that one stands again."""
        committed = self._by_number(positions)
        withdrawn = 0
        for run in self._runs.pending(committed):
            value = self._buckets.get(run.bucket, [run.name])[0]
            if value is None:
                continue
            keys, last, previous = decode_run(value)
            held = self._read(run.bucket, keys)
            given_up = is_abandoned(held.owners, {shard: committed.get(shard) for shard in last})
            rows = np.flatnonzero(held.is_held & given_up)
            withdrawn += len(rows)
            if previous is None:
                self._delete(keys[rows], held.buckets[rows])
            else:
                before = Claims(keys=keys, owners=previous)
                self._move(before, mixed(keys), held, rows, is_pending=True)
            run.last = {}
        self._buckets.sync()
        return withdrawn

    def mark_seen(self, number: int, positions: Mapping[Shard, str | None]) -> None:
        """See the port."""
        batch = self._buckets.batch()
        batch.put(None, [b"fact seen"], [str(number).encode()])
        batch.write()
        self._seen = number
        self._committed.update(self._by_number(positions))
        self._runs.forget_committed(self._committed)

    def expire(self, before_us: int) -> None:
        """See the port; a bucket is `bucket_us` wide."""
        gone = [bucket for bucket in self._buckets.numbers() if (bucket + 1) * self._bucket_us <= before_us]
        if gone:
            # First what is gone, then the claims: a kill in between forgets too little, not too much.
            self._expired_us = max(self._expired_us, (gone[0] + 1) * self._bucket_us)
            batch = self._buckets.batch()
            batch.put(None, [b"fact expired"], [str(self._expired_us).encode()])
            batch.write(is_synced=True)
        for bucket in gone:
            self._buckets.drop(bucket)
        if gone:
            self._runs.drop_buckets(gone)

    @property
    def expired_us(self) -> int:
        """See the port."""
        return self._expired_us

    def sync(self) -> None:
        """See the port: claims written as files are on disk already, the log is written through."""
        self._buckets.sync()

    def statistics(self) -> Mapping[str, float]:
        """Estimates of RocksDB and sizes."""
        return {
            "claims": float(self._buckets.num_keys()),
            "disk_bytes": float(self._buckets.disk_bytes()),
            "memory_bytes": float(self._filter.memory_bytes + self._buckets.memory_bytes()),
        }

    def close(self) -> None:
        """See the port."""
        self._buckets.close()

    def _by_number(self, positions: Mapping[Shard, str | None]) -> dict[int, int | None]:
        """Positions by shard number; shards that never claimed are left out."""
        return {
            self._shard_numbers[shard]: None if position is None else int(position)
            for shard, position in positions.items()
            if shard in self._shard_numbers
        }

    def _find(self, keys: npt.NDArray[np.uint8], hashes: Hashes) -> Holders:
        """Look for owners: the filter first, then the buckets, newest first."""
        found = Holders(np.zeros(len(keys), bool), np.zeros(len(keys), OWNER), np.zeros(len(keys), np.int64))
        traces = self._filter.traces(hashes)
        for bucket in self._buckets.numbers():
            rows = np.flatnonzero(traces.in_bucket(bucket) & ~found.is_held)
            if len(rows):
                held = self._read(bucket, keys[rows])
                found.is_held[rows] = held.is_held
                put_rows(found.owners, rows, held.owners)
                found.buckets[rows] = bucket
        return found

    def _read(self, bucket: int, keys: npt.NDArray[np.uint8]) -> Holders:
        """Look for owners in one bucket on disk."""
        values = self._buckets.get(bucket, names_of(keys))
        is_held = np.fromiter((value is not None for value in values), bool, len(keys))
        owners = np.zeros(len(keys), OWNER)
        owners[is_held] = np.frombuffer(b"".join(value for value in values if value is not None), OWNER)
        return Holders(is_held, owners, np.full(len(keys), bucket, np.int64))

    def _enter(self, claims: Claims, hashes: Hashes, rows: Rows, *, is_pending: bool) -> None:
        """Write claims of keys that nobody owns."""
        for bucket, mine in self._by_bucket(claims, rows):
            for start in range(0, len(mine), MAX_FILE_CLAIMS):
                block = mine[start : start + MAX_FILE_CLAIMS]
                part = Claims(keys=claims.keys.take(block, axis=0), owners=rows_of(claims.owners, block))
                self._write_run(bucket, part, hashes[block], is_pending)

    def _by_bucket(self, claims: Claims, rows: Rows) -> Iterator[tuple[int, Rows]]:
        """The given rows by the time bucket that they belong to."""
        buckets = claims.owners["arrived"].astype(np.int64)[rows] // self._bucket_us
        if len(rows) and (buckets == buckets[0]).all():
            yield int(buckets[0]), rows
            return
        for bucket in np.unique(buckets).tolist():
            yield bucket, rows[buckets == bucket]

    def _write_run(self, bucket: int, claims: Claims, hashes: Hashes, is_pending: bool) -> None:
        """Write new claims of one bucket, with their run, at once."""
        keys, owners = claims.keys, claims.owners
        last = last_sequences(owners) if is_pending else {}
        run = Run(name=self._runs.next_name(), bucket=bucket, last=last)
        record = encode_run(keys, last, None)
        if len(keys) < MIN_FILE_CLAIMS:
            batch = self._buckets.batch()
            batch.put(bucket, [*names_of(keys), run.name], [*values_of(owners), record])
            batch.write()
        else:
            order = key_order(keys)
            values = [*values_of(rows_of(owners, order)), record]
            self._buckets.ingest(bucket, [*names_of(keys.take(order, axis=0)), run.name], values)
        self._runs.enter(run, hashes)

    def _move(self, claims: Claims, hashes: Hashes, held: Holders, rows: Rows, *, is_pending: bool) -> None:
        """Give keys that somebody owns to the claimers, each in one atomic write."""
        for bucket, mine in self._by_bucket(claims, rows):
            keys, owners, previous = claims.keys[mine], claims.owners[mine], held.owners[mine]
            last = last_sequences(owners) if is_pending else {}
            run = Run(name=self._runs.next_name(), bucket=bucket, last=last)
            batch = self._buckets.batch()
            for old in set(held.buckets[mine].tolist()) - {bucket}:
                batch.delete(old, names_of(keys[held.buckets[mine] == old]))
            batch.put(bucket, [*names_of(keys), run.name], [*values_of(owners), encode_run(keys, last, previous)])
            batch.write()
            self._runs.enter(run, hashes[mine])

    def _delete(self, keys: npt.NDArray[np.uint8], buckets: npt.NDArray[np.int64]) -> None:
        """Delete claims from the buckets they stand in."""
        batch = self._buckets.batch()
        for bucket in set(buckets.tolist()):
            batch.delete(bucket, names_of(keys[buckets == bucket]))
        batch.write()


def _answer(claims: Claims, held: Holders, is_won: npt.NDArray[np.bool_]) -> npt.NDArray[np.void]:
    """The owners after a call: the claimer where it won."""
    answer = held.owners
    rows = np.flatnonzero(is_won)
    put_rows(answer, rows, rows_of(claims.owners, rows))
    return answer
