"""Claims on disk: RocksDB with one column family a time bucket, and a few facts beside them.

A key is 16 bytes, a value 48 (OWNER). Large writes are sorted files that RocksDB takes in as they are
(synced to disk by it before it answers), small ones go through its log.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import cast

from rocksdict import (
    Cache,
    ColumnFamily,
    DbClosedError,
    IngestExternalFileOptions,
    Rdict,
    SstFileWriter,
    WriteBatch,
    WriteOptions,
)

from headgate.claims.tuning import claim_options
from headgate.disk_errors import advice_in
from headgate.errors import HeadgateError, PermanentError, TransientError

CACHE_BYTES = 32 << 20  # bytes; blocks, indexes and filters of all buckets together; a larger one won nothing
BUCKET_PREFIX = "bucket "
FACTS = "default"
CORRUPT_MARK = "CORRUPT"


class ClaimStoreInUse(TransientError):
    """Another process has the embedded claim store open. Reaction: wait for it, or stop it."""


class ClaimStoreCorrupt(PermanentError):
    """The files of the claim store are damaged. Reaction: start again; the store is rebuilt from the lake."""


class Buckets:
    """An open RocksDB database. Not safe for several threads that write."""

    def __init__(self, path: Path) -> None:
        """Open, or begin where nothing is there; damaged files are moved aside.

        Raises:
            ClaimStoreInUse: another process has it open.
            TransientError: the disk does not answer.
        """
        self.path = path
        self.moved_aside: Path | None = None
        self._cache = Cache(CACHE_BYTES)
        self._is_closed = False
        self._is_stuck = False
        self._is_open = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            is_corrupt = (path / CORRUPT_MARK).exists()
        except OSError as error:
            reason = f"cannot open the claim store {path}: {error.strerror}"
            if isinstance(error, PermissionError | NotADirectoryError):
                raise PermanentError(f"{reason}; give this user access to it") from error
            raise TransientError(f"{reason}; free space or look at the disk") from error
        if path.exists() and not path.is_dir():
            raise PermanentError(f"cannot open the claim store {path}: a file lies in its folder's place; move it away")
        if is_corrupt:
            self._move_aside()
        try:
            self._open()
        except (ClaimStoreCorrupt, TransientError) as error:
            if not isinstance(error, ClaimStoreCorrupt) and not self._lacks_files(error):
                raise
            self._move_aside()
            self._open()

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Name RocksDB's errors by what to do about them."""
        try:
            yield
        except Exception as error:  # rocksdict raises bare Exception for every status of RocksDB
            if type(error) not in (Exception, DbClosedError):
                raise
            raise self._named(str(error)) from error

    def numbers(self) -> list[int]:
        """The buckets, newest first."""
        self._resume()
        return sorted(self._families, reverse=True)

    def get(self, bucket: int, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of keys in a bucket; about 5 µs each."""
        self._resume()
        with self.answering():
            return cast("list[bytes | None]", self._family(bucket).get(list(keys)))

    def scan(self, bucket: int | None, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Names and values that begin with a prefix, in order; None: among the facts."""
        self._resume()
        with self.answering():
            found = self._family(bucket).iter()
            try:
                found.seek(prefix)
                while found.valid() and found.key().startswith(prefix):
                    yield found.key(), found.value()
                    found.next()
                found.status()  # a block that cannot be read ends it, and only this says so
            finally:
                del found  # it keeps the database open, and an error would keep it

    def ingest(self, bucket: int | None, names: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Write sorted names and their values as one file; durable and visible as a whole after it."""
        self._resume()
        written = str(self.path / "incoming.sst")
        options = IngestExternalFileOptions()
        options.set_move_files(True)
        with self.answering():
            writer = SstFileWriter(options=claim_options(self._cache))
            writer.open(written)
            deque(map(writer.__setitem__, names, values), maxlen=0)
            writer.finish()
            self._family(bucket).ingest_external_file([written], options)

    def batch(self) -> Batch:
        """A new atomic write over any buckets."""
        self._resume()
        return Batch(self)

    def family_handle(self, bucket: int | None) -> ColumnFamily:
        """RocksDB's handle of a bucket for a batch; the bucket is made where there is none."""
        if bucket is None:
            return self._db.get_column_family_handle(FACTS)
        self._family(bucket)
        return self._db.get_column_family_handle(f"{BUCKET_PREFIX}{bucket}")

    def write(self, batch: WriteBatch, *, is_synced: bool) -> None:
        """Apply a batch: survives a kill, and a power cut where it is synced."""
        options = WriteOptions()
        options.sync = is_synced
        with self.answering():
            self._db.write(batch, options)

    def drop(self, bucket: int) -> None:
        """Delete a bucket with everything in it."""
        self._resume()
        with self.answering():
            del self._families[bucket]
            self._db.drop_column_family(f"{BUCKET_PREFIX}{bucket}")

    def sync(self) -> None:
        """Write the log through to the disk; files taken in are there already."""
        self._resume()
        with self.answering():
            self._db.flush_wal(True)

    def disk_bytes(self) -> int:
        """Bytes of all files."""
        total = 0
        with os.scandir(self.path) as files:
            for file in files:
                try:
                    total += file.stat().st_size
                except FileNotFoundError:
                    continue  # merged away meanwhile
        return total

    def num_keys(self) -> int:
        """About how many values all buckets hold."""
        return sum(family.property_int_value("rocksdb.estimate-num-keys") or 0 for family in self._families.values())

    def memory_bytes(self) -> int:
        """Bytes of cached blocks and of writes that are in no file yet."""
        tables = [self._db, *self._families.values()]
        return self._cache.get_usage() + sum(t.property_int_value("rocksdb.size-all-mem-tables") or 0 for t in tables)

    def close(self) -> None:
        """Write buffers out and let the lock go. May be called twice."""
        if self._is_closed:
            return
        self._is_closed = True
        if not self._is_open:  # a write failed, and so did opening it again
            return
        with self.answering():
            self._db.flush_wal(True)
            self._families.clear()
            self._db.close()

    def _family(self, bucket: int | None) -> Rdict:
        """A bucket's column family, made where there is none; None: the facts."""
        if bucket is None:
            return self._db
        if bucket not in self._families:
            name = f"{BUCKET_PREFIX}{bucket}"
            self._families[bucket] = self._db.create_column_family(name, claim_options(self._cache))
        return self._families[bucket]

    def _resume(self) -> None:
        """Open again after a write failed: RocksDB takes no more until then, whatever the disk says now."""
        if not self._is_stuck:
            return
        self._families.clear()
        if self._is_open:
            with suppress(TransientError), self.answering():
                self._db.close()
            self._is_open = False
        self._open()
        self._is_stuck = False

    def _open(self) -> None:
        """Open the database and all its buckets."""
        with self.answering():
            names = Rdict.list_cf(str(self.path)) if (self.path / "CURRENT").exists() else [FACTS]
            self._db = Rdict(
                str(self.path),
                claim_options(self._cache),
                {name: claim_options(self._cache) for name in names},
            )
            self._families = {
                int(name.removeprefix(BUCKET_PREFIX)): self._db.get_column_family(name)
                for name in names
                if name.startswith(BUCKET_PREFIX)
            }
        self._is_open = True

    def _lacks_files(self, error: TransientError) -> bool:
        """True where a file of the database is gone; waiting brings none back."""
        return os.strerror(errno.ENOENT) in str(error) and (self.path / "CURRENT").exists()

    def _move_aside(self) -> None:
        """Give the damaged files another name, so that somebody can look at them."""
        number = 1
        while (target := self.path.with_name(f"{self.path.name}.corrupt-{number}")).exists():
            number += 1
        self.path.rename(target)
        (target / CORRUPT_MARK).touch()
        self.moved_aside = target

    def _named(self, message: str) -> HeadgateError:
        """The error by reaction for a status of RocksDB."""
        if "While lock file" in message or "lock hold" in message:
            return ClaimStoreInUse(
                f"the claim store {self.path} is open in another process: wait for that `headgate` to end or "
                f"stop it (`fuser {self.path / 'LOCK'}` names it)"
            )
        if message.startswith("Corruption"):
            (self.path / CORRUPT_MARK).touch()
            return ClaimStoreCorrupt(
                f"the claim store {self.path} is damaged ({message}): start again, then it is rebuilt"
            )
        self._is_stuck = True
        advice = advice_in(message) or "look at its disk"
        return TransientError(f"the claim store {self.path} cannot be used now ({message}); {advice}")


class Batch:
    """Puts and deletes over any buckets that happen together or not at all."""

    def __init__(self, buckets: Buckets) -> None:
        """Begin empty."""
        self._buckets = buckets
        self._batch = WriteBatch(raw_mode=True)

    def put(self, bucket: int | None, names: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Enter values; None: among the facts."""
        handle = self._buckets.family_handle(bucket)
        for name, value in zip(names, values, strict=True):
            self._batch.put(name, value, handle)

    def delete(self, bucket: int | None, names: Sequence[bytes]) -> None:
        """Delete names."""
        handle = self._buckets.family_handle(bucket)
        for name in names:
            self._batch.delete(name, handle)

    def write(self, *, is_synced: bool = False) -> None:
        """Apply all; survives a kill, and a power cut where it is synced or `Buckets.sync` was called."""
        self._buckets.write(self._batch, is_synced=is_synced)
