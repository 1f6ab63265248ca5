"""Another version takes over while records come, and the one before comes back: nothing is lost or there twice.

Versions differ in batch sizes and in a rule: each record is judged once, by whichever version committed it.
"""

import json
import random
import signal
from contextlib import ExitStack
from itertools import groupby

import pytest

from headgate.testing.function_world import drive_mapping
from headgate.testing.independent import breaches, ids, ledger, rejects
from headgate.testing.kills import Progress
from headgate.testing.kinesis_driver import StreamDriver
from headgate.testing.lambda_runtime import LambdaFunction
from headgate.testing.processes import Child, wait_until
from headgate.testing.server_valkey import valkey
from headgate.testing.stream_world import environment, held

RULE = """
[[rules]]
name = "nothing_internal"
check = "event_type <> 'internal'"
"""
PART = 100  # records that are put before each change of version
EVENTS = 4 * PART

pytestmark = pytest.mark.kill


def event(n):
    name = "internal:ping" if n % 3 == 0 else "account:created"
    return json.dumps({"event_uuid": f"id-{n}", "event_name": name, "created_at": 1_790_000_000 + n}).encode()


def judged(lake):
    """Ids that were accepted, and ids that the rule rejected."""
    rejected = rejects(lake)
    assert {reason for reason, _ in rejected} == {"rule:nothing_internal"}
    return set(ids(lake)), {json.loads(raw)["event_uuid"] for _, raw in rejected}


def is_exact(lake, received):
    """Every record has one row; an internal one is where the version that took it put it, all others are accepted."""
    accepted, rejected = judged(lake)
    assert breaches(lake) == []
    assert sum(entry.get("counts", [0])[0] for entry in ledger(lake)) == received
    assert accepted | rejected == {f"id-{n}" for n in range(EVENTS)}
    assert accepted >= {f"id-{n}" for n in range(EVENTS) if n % 3}
    return {f"id-{n}" for n in range(0, EVENTS, 3)} & accepted, rejected


@pytest.fixture
def claims(tmp_path):
    with valkey(tmp_path / "valkey") as server:
        yield server.uri


@pytest.fixture
def rules(tmp_path):
    """The configuration file of the new version."""
    path = tmp_path / "new.toml"
    path.write_text(RULE)
    return path


class Rollout:
    """A stream that is consumed by one version or the other."""

    def __init__(self, url, folder, rules):
        self.stream, self.lake, self._logs = StreamDriver(url, shards=2), folder / "lake", folder / "logs"
        self._env = {**environment(url), "HEADGATE__STANDBY__TAKEOVER_SECONDS": "2"}
        self._flags = {"old": ["--batch-events", "30"], "new": ["--batch-events", "70", "--config", rules]}
        self.progress, self.put_so_far = Progress(self.lake), 0

    def put(self):
        """The next part, and half of the part before once more."""
        part = self.put_so_far // (PART + PART // 2)
        some = [event(n) for n in range(part * PART, (part + 1) * PART)]
        again = [event(n) for n in range(max(part * PART - PART // 2, 0), max(part * PART, PART // 2))]
        self.put_so_far += len(self.stream.put([*some, *again]))

    def start(self, version):
        command = ["run", f"kinesis://{self.stream.name}", self.lake, "--flush-seconds", "0.2", *self._flags[version]]
        return Child(command, self._logs, env=self._env)

    def wait_for(self, received, child):
        wait_until(lambda: self.progress.received() >= received or not child.is_running, f"record {received}")
        assert child.is_running, child.errors()

    def versions(self):
        """The configurations that committed batches, in order."""
        configs = [entry["config"] for entry in ledger(self.lake) if entry.get("counts", [0])[0]]
        return [config for config, _ in groupby(configs)]


def test_a_consumer_is_rolled_out_by_sigterm_and_rolled_back_by_a_kill(kinesis_url, rules, tmp_path):
    """The next version stands by before the one at work is told to end, as platforms replace tasks."""
    rollout = Rollout(kinesis_url, tmp_path, rules)
    rollout.put()
    with rollout.start("old") as old:
        rollout.wait_for(PART // 2, old)
        with rollout.start("new") as new:
            new.wait_for_line("stood_by")
            rollout.put()
            old.signal(signal.SIGTERM)
            assert old.wait() == 0, old.errors()
            before = rollout.progress.received()
            rollout.put()
            rollout.wait_for(before + PART // 2, new)
            with rollout.start("old") as back:
                back.wait_for_line("stood_by")
                rollout.put()
                assert new.kill() == -9
                rollout.wait_for(rollout.put_so_far, back)
                back.signal(signal.SIGTERM)
                assert back.wait() == 0, back.errors()
    versions = rollout.versions()
    assert len(versions) == 3
    assert versions[0] == versions[2] != versions[1]
    by_old, by_new = is_exact(rollout.lake, rollout.put_so_far)
    assert by_old
    assert by_new


def test_a_function_is_rolled_out_and_back_while_batches_are_retried_at_either_version(
    kinesis_url, claims, rules, tmp_path
):
    """An alias that shifts: batches, their retries and repeats come to either version while both are there."""
    stream, lake = StreamDriver(kinesis_url, shards=2), tmp_path / "lake"
    stream.put([event(n) for n in range(EVENTS)])
    env = {
        "HEADGATE__LAKE__URI": str(lake),
        "HEADGATE__DEDUP__STORE": claims,
        "HEADGATE__FUNCTION__PUBLISH_SECONDS": "0",
    }
    handler, rng = "headgate.entrypoints.aws_lambda.handler", random.Random(7)
    with ExitStack() as stack:
        old, new = (
            stack.enter_context(LambdaFunction(handler, tmp_path / f"logs-{n}", {**env, **more}))
            for n, more in enumerate([{}, {"HEADGATE_CONFIG": str(rules)}])
        )
        records = held(stream)
        third = len(records) // 3
        for at, versions in enumerate([[old, new], [new], [old]]):
            some = records[at * third : (at + 1) * third if at < 2 else None]
            trouble = drive_mapping(some, stream.name, versions, rng, batch_records=(20, 60), kills=1)
            assert trouble.errors == []
    by_old, by_new = is_exact(lake, EVENTS)
    assert by_old
    assert by_new
