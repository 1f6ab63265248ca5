"""Consumers of one stream: two at once, and one that is asked to end with records in its hands."""

import json
import signal

import pytest

from headgate.testing.independent import breaches, ids, ledger
from headgate.testing.kinesis_driver import StreamDriver
from headgate.testing.processes import Child, run, wait_until
from headgate.testing.server_valkey import valkey
from headgate.testing.stream_world import environment

EVENTS = 400

pytestmark = pytest.mark.kill


def event(n):
    return json.dumps({"event_uuid": f"id-{n}", "event_name": "a:b", "created_at": 1_790_000_000 + n}).encode()


def received(lake):
    return sum(entry.get("counts", [0])[0] for entry in ledger(lake)) if (lake / "_headgate" / "ledger").exists() else 0


@pytest.fixture
def stream(kinesis_url):
    return StreamDriver(kinesis_url, shards=2)


@pytest.mark.parametrize("claims", ["rocksdb", "redis"])
def test_of_two_consumers_of_one_stream_one_works_and_the_other_takes_over(kinesis_url, stream, claims, tmp_path):
    """With embedded claims the lease decides, with shared ones the ledger does."""
    lake, logs = tmp_path / "lake", tmp_path / "logs"
    env = {**environment(kinesis_url), "HEADGATE__STANDBY__TAKEOVER_SECONDS": "2"}
    with valkey(tmp_path / "valkey") as server:
        dedup = ["--dedup", server.uri] if claims == "redis" else []
        command = ["run", f"kinesis://{stream.name}", lake, "--flush-seconds", "0.2", "--batch-events", "50", *dedup]
        stream.put([event(n) for n in range(EVENTS // 2)])
        with Child(command, logs, env=env) as first, Child(command, logs, env=env) as second:
            both = (first, second)
            wait_until(lambda: any("stood_by" in child.errors() for child in both), "a standby")
            idle, busy = both if "stood_by" in first.errors() else (second, first)
            wait_until(lambda: received(lake) >= EVENTS // 2, "the first half")
            assert busy.kill() == -9
            stream.put([event(n) for n in range(EVENTS // 4, EVENTS)])  # a quarter of them once more
            wait_until(lambda: received(lake) >= EVENTS // 2 + EVENTS * 3 // 4 or not idle.is_running, "the rest")
            idle.signal(signal.SIGTERM)
            assert idle.wait() == 0, idle.errors()
    assert breaches(lake) == []
    assert len(ids(lake)) == EVENTS


def test_sigterm_commits_what_waits_in_the_buffer(kinesis_url, tmp_path):
    """One answer holds all records; three quarters fill a batch, the rest would wait for an hour."""
    stream = StreamDriver(kinesis_url, shards=1)
    lake, logs, env = tmp_path / "lake", tmp_path / "logs", environment(kinesis_url)
    stream.put([event(n) for n in range(EVENTS)])
    command = [
        "run",
        f"kinesis://{stream.name}",
        lake,
        "--flush-seconds",
        "3600",
        "--batch-events",
        str(EVENTS * 3 // 4),
    ]
    with Child(command, logs, env=env) as child:
        wait_until(lambda: received(lake) > 0 or not child.is_running, "the full batch")
        child.signal(signal.SIGTERM)
        assert child.wait() == 0, child.errors()
    assert received(lake) == EVENTS
    code, last = run([*command, "--once"], logs, env=env)
    assert code == 0, last.errors()
    assert received(lake) == EVENTS
    assert breaches(lake) == []
    assert len(ids(lake)) == EVENTS
