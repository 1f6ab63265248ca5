"""Replays beside consumers on claims in Valkey, and duplicates whose original was never committed."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner

from headgate.claims.redis import RedisClaimStore
from headgate.core.keys import keys_of
from headgate.entrypoints.cli import cli
from headgate.lake.layout import read_format
from headgate.lake.local import LocalStorage
from headgate.records import OWNER, Claims, Shard
from headgate.testing.commands import ok
from headgate.testing.kills import Progress
from headgate.testing.processes import Child, run, wait_until
from headgate.testing.server_valkey import Valkey, valkey

ARRIVED = 1_790_000_000  # Unix seconds
TTL_US = 14 * 86_400_000_000
RULE = '[[rules]]\nname = "n"\ncheck = "CAST(payload->>\'n\' AS INT) < {}"\n'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with valkey(tmp_path_factory.mktemp("valkey")) as started:
        yield started


def event(i: int) -> str:
    name = "a:b" if i % 2 else "c:d"
    return json.dumps({"event_uuid": f"id-{i}", "event_name": name, "created_at": ARRIVED - i, "n": i % 10}) + "\n"


@pytest.mark.parametrize("table_format", ["delta", "parquet"])
def test_a_replay_beside_a_consumer_whose_copies_race_for_the_same_ids(
    server: Valkey, tmp_path: Path, table_format: str
) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "strict.toml").write_text(RULE.format(5))
    (tmp_path / "loose.toml").write_text(RULE.format(8))
    (tmp_path / "s" / "a.jsonl").write_text("".join(map(event, range(400))))
    lake, store = tmp_path / "lake", ("--dedup", server.uri)
    ok("run", tmp_path / "s", lake, "--format", table_format, "--config", tmp_path / "strict.toml", *store)
    progress, follow = Progress(lake), ["run", tmp_path / "s", lake, "--config", tmp_path / "loose.toml", *store]
    with Child([*follow, "--follow", "--batch-events", "20", "--flush-seconds", "0.1"], tmp_path / "logs") as consumer:
        (tmp_path / "s" / "b.jsonl").write_text("".join(map(event, reversed(range(400)))))
        replay = ["replay", lake, "--config", tmp_path / "loose.toml", *store]
        for _ in range(2):
            code, child = run(replay, tmp_path / "logs")
            assert code == 0, child.errors()
        wait_until(lambda: progress.received() >= 800 or not consumer.is_running, "the end of the copies")
        consumer.signal(signal.SIGTERM)
        assert consumer.wait() == 0, consumer.errors()
    assert ok(*replay)["entries"] == []
    assert ok("verify", tmp_path / "s", lake)["proven"] is True
    counts = ok("status", lake)["counts"]
    assert counts == {"received": 800, "accepted": 320, "duplicates": 320, "rejected": 160}
    found = ok("query", lake, "SELECT count(*) AS n, count(DISTINCT event_uuid) AS ids FROM events")
    assert found == [{"n": 320, "ids": 320}]


@pytest.fixture
def orphaned(server: Valkey, tmp_path: Path) -> Path:
    """A lake whose first ids were claimed by a shard that never committed: three duplicates, two of one id."""
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "a.jsonl").write_text(event(0))
    ok("run", tmp_path / "s", tmp_path / "lake", "--dedup", server.uri)
    about = read_format(LocalStorage(str(tmp_path / "lake")))
    with closing(RedisClaimStore(server.uri, lake_id=about.lake_id, ttl_us=TTL_US)) as store:
        owners = np.zeros(2, OWNER)
        owners["shard"], owners["sub"] = store.shard_number(Shard("-", "gone")), -1
        owners["arrived"] = time.time_ns() // 1_000
        store.claim(Claims(keys=keys_of(pa.array(["id-1", "id-2"])), owners=owners), TTL_US)
    (tmp_path / "s" / "b.jsonl").write_text(event(1) + event(2) + event(1) + event(3))
    return tmp_path


def arrive(path: Path, at: int) -> None:
    os.utime(path, (at, at))


def orphans(folder: Path) -> int:
    result = CliRunner().invoke(cli, ["verify", str(folder / "s"), str(folder / "lake"), "--json"])
    found = json.loads(result.stdout)["breaches"]
    assert {breach["kind"] for breach in found} <= {"orphan"}
    return int(found[0]["sentence"].split()[0]) if found else 0


def test_orphans_of_a_shard_that_never_committed_are_admitted_once(server: Valkey, orphaned: Path) -> None:
    store = ("--dedup", server.uri)
    arrive(orphaned / "s" / "b.jsonl", ARRIVED)
    ok("run", orphaned / "s", orphaned / "lake", *store)
    assert orphans(orphaned) == 3
    dry = ok("replay", orphaned / "lake", "--orphans", "--dry-run", *store)
    done = ok("replay", orphaned / "lake", "--orphans", *store)
    assert (done["accepted"], done["duplicate"], done["left"]) == (2, 1, 0)
    assert dry["reasons"] == done["reasons"]
    assert orphans(orphaned) == 0
    assert ok("replay", orphaned / "lake", "--orphans", *store)["reasons"] == {}
    assert ok("status", orphaned / "lake")["counts"] == {"received": 5, "accepted": 4, "duplicates": 1, "rejected": 0}
    tables = "SELECT (SELECT count(*) FROM duplicates) AS d, (SELECT count(*) FROM duplicates_all) AS a"
    assert ok("query", orphaned / "lake", tables) == [{"d": 1, "a": 4}]
    (orphaned / "s" / "c.jsonl").write_text(event(1) + event(2))
    arrive(orphaned / "s" / "c.jsonl", ARRIVED)
    assert ok("run", orphaned / "s", orphaned / "lake", *store)["duplicates"] == 2
    assert orphans(orphaned) == 0


def test_an_original_that_may_still_come_keeps_its_claim(server: Valkey, orphaned: Path) -> None:
    ok("run", orphaned / "s", orphaned / "lake", "--dedup", server.uri)
    waiting = ok("replay", orphaned / "lake", "--orphans", "--dedup", server.uri)
    assert (waiting["accepted"], waiting["left"]) == (0, 3)
    assert orphans(orphaned) == 3


def test_the_lake_itself_admits_orphans_once_its_claims_are_its_own(server: Valkey, orphaned: Path) -> None:
    ok("run", orphaned / "s", orphaned / "lake", "--dedup", server.uri)
    own = ("--dedup", f"rocksdb:{orphaned / 'claims'}")
    ok("rebuild", orphaned / "lake", *own)
    done = ok("replay", orphaned / "lake", "--orphans", *own)
    assert (done["accepted"], done["duplicate"], done["left"]) == (2, 1, 0)
    assert orphans(orphaned) == 0
