"""Every claim store with a format and every format with a store, killed in the middle; `make test-pairs` has all."""

import random

import pytest

from headgate.testing.pairs import Generated, Pair, Servers, generate, killed_pair
from headgate.testing.server_moto import Moto
from headgate.testing.server_valkey import valkey

pytestmark = pytest.mark.kill

EVENTS = 240
SIZES = (12, 36)  # events in a batch
KILLS = 2
#: RocksDB with each format in a folder: test_sigkill.py.
PAIRS = [
    Pair("redis", "delta", "local"),
    Pair("dynamodb", "parquet", "local"),
    Pair("s3", "json", "local"),
    Pair("rocksdb", "delta", "s3"),
    Pair("redis", "json", "s3"),
    Pair("dynamodb", "delta", "s3"),
    Pair("s3", "parquet", "s3"),
]


@pytest.fixture(scope="module")
def servers(moto: Moto, tmp_path_factory):
    with valkey(tmp_path_factory.mktemp("valkey")) as redis:
        yield Servers(moto=moto, redis_uri=redis.uri)


@pytest.fixture(scope="module")
def generated(tmp_path_factory) -> Generated:
    return generate(tmp_path_factory.mktemp("generated"), EVENTS, "--types", "3", "--duplicates", "0.2", "--seed", "5")


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_a_pair_admits_every_event_once_however_often_it_is_killed(pair, servers, generated, tmp_path):
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    judged = killed_pair(pair, servers, generated, tmp_path, kills=KILLS, batch_events=SIZES, rng=random.Random(seed))
    assert judged.outcome.exit_code == 0, judged.outcome.errors
    assert judged.breaches == []
    assert judged.outcome.kills >= 1  # a fast machine may come to the end before the last one
