"""Every claim store passes the same suite."""

from pathlib import Path

import pytest

from headgate.claims.filter import SeenFilter
from headgate.claims.memory import MemoryClaimStore
from headgate.claims.rocksdb import RocksDbClaimStore
from headgate.testing.claim_store_suite import EmbeddedClaimStoreTests, LastingClaimStoreTests, SharedClaimStoreTests

SMALLEST_SEGMENT = 8  # ids


class TestRocksDb(EmbeddedClaimStoreTests, LastingClaimStoreTests):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "claims"

    def open_again(self) -> RocksDbClaimStore:
        return RocksDbClaimStore(self.folder)


class TestRocksDbWithSmallSegments(TestRocksDb):
    """Full segments go to disk and come back."""

    def open_again(self) -> RocksDbClaimStore:
        return RocksDbClaimStore(self.folder, seen_filter=SeenFilter(first_capacity=SMALLEST_SEGMENT))


class TestRocksDbWithoutMemory(TestRocksDb):
    """Every segment but the newest is dropped, so that old ids are looked up on disk."""

    def open_again(self) -> RocksDbClaimStore:
        return RocksDbClaimStore(self.folder, seen_filter=SeenFilter(max_bytes=0, first_capacity=SMALLEST_SEGMENT))


class TestMemory(EmbeddedClaimStoreTests):
    lasts = False

    def open_again(self) -> MemoryClaimStore:
        return MemoryClaimStore()


class TestSharedMemory(SharedClaimStoreTests):
    @pytest.fixture(autouse=True)
    def _server(self) -> None:
        self.server = MemoryClaimStore(is_embedded=False)

    def open_again(self) -> MemoryClaimStore:
        return self.server
