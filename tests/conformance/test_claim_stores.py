"""Every claim store passes the same suite."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from headgate.claims.filter import SeenFilter
from headgate.claims.memory import MemoryClaimStore
from headgate.claims.redis import RedisClaimStore, names_of
from headgate.claims.rocksdb import RocksDbClaimStore
from headgate.testing.claim_store_suite import DAY_US, EmbeddedClaimStoreTests, LastingClaimStoreTests
from headgate.testing.server_valkey import valkey
from headgate.testing.shared_claim_store_suite import ServedClaimStoreTests, SharedClaimStoreTests

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


@pytest.fixture(scope="session")
def redis_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server.uri


class TestRedis(ServedClaimStoreTests, LastingClaimStoreTests):
    @pytest.fixture(autouse=True)
    def _lake(self, redis_uri: str) -> None:
        self.uri, self.lake_id = redis_uri, uuid.uuid4().hex

    def open_again(self) -> RedisClaimStore:
        return RedisClaimStore(self.uri, lake_id=self.lake_id, ttl_us=8 * DAY_US)

    def lose(self) -> None:
        with redis.Redis.from_url(self.uri) as client:
            assert client.delete(names_of(self.lake_id).marker) == 1
