"""`headgate run` by enhanced fan-out, killed again and again: exactly once, as an independent reader sees it."""

import json
import random

import pytest

from headgate.testing.fan_out_server import SubscriptionFault
from headgate.testing.independent import breaches, ledger
from headgate.testing.kinesis_driver import StreamDriver
from headgate.testing.processes import Child, run, wait_until
from headgate.testing.server_kinesis import REGION

EVENTS = 900

pytestmark = pytest.mark.kill


def received(lake):
    if not (lake / "_headgate" / "ledger").exists():
        return 0
    return sum(entry.get("counts", [0])[0] for entry in ledger(lake))


def test_kills_cuts_and_splits_change_nothing(fan_out, tmp_path, monkeypatch):
    for name, value in {
        "AWS_ENDPOINT_URL_KINESIS": fan_out.url,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "HEADGATE__KINESIS__FAN_OUT": "lake",
    }.items():
        monkeypatch.setenv(name, value)
    stream, rng = StreamDriver(fan_out.url, shards=2), random.Random(11)
    fan_out.script.records, fan_out.script.guard_seconds = 20, 0.5
    lake, logs, truth = tmp_path / "lake", tmp_path / "logs", tmp_path / "truth.json"
    out = f"kinesis://{stream.name}"
    options = ["--duplicates", "0.2", "--invalid", "0.05", "--rate", "300", "--events-per-record", "5"]
    consume = ["run", out, lake, "--format", "json", "--flush-seconds", "0.3", "--batch-events", "100"]
    with Child(["generate", "--events", str(EVENTS), "--out", out, "--truth", truth, *options], logs) as producer:
        for turn in range(2):
            fan_out.script.faults.append(SubscriptionFault(effect="cut", after=rng.randrange(3)))
            with Child(consume, logs) as consumer:
                goal = EVENTS * (turn + 1) // 4
                wait_until(lambda goal=goal: received(lake) >= goal or not consumer.is_running, f"event {goal}")
                stream.split(rng.choice(stream.open_shards()))
                assert consumer.kill() == -9, consumer.errors()
        assert producer.wait() == 0, producer.errors()
    code, last = run([*consume, "--once"], logs)
    assert code == 0, last.errors()
    assert received(lake) == EVENTS
    assert breaches(lake, json.loads(truth.read_text())) == []
    begun = len(fan_out.script.begun)
    assert begun >= 8  # subscriptions it was, of every consumer
    code, proof = run(["verify", out, lake], logs)
    assert code == 0, proof.errors()
    assert len(fan_out.script.begun) == begun  # who looks takes nothing from who reads
