"""Commands on a lake on S3: consumers side by side with one claim store, and the jobs that look at it."""

import json
import signal

import pytest

from headgate.testing.independent import breaches
from headgate.testing.pairs import Servers, generate, remote_progress
from headgate.testing.processes import Child, run, wait_until
from headgate.testing.remote_lake import RemoteLake
from headgate.testing.server_moto import Moto
from headgate.testing.server_valkey import valkey

EVENTS = 600
FLAGS = ("--flush-seconds", "0.2", "--batch-events", "60")


@pytest.fixture(scope="module")
def servers(moto: Moto, tmp_path_factory):
    with valkey(tmp_path_factory.mktemp("valkey")) as redis:
        yield Servers(moto=moto, redis_uri=redis.uri)


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    return generate(tmp_path_factory.mktemp("generated"), EVENTS, "--types", "3", "--duplicates", "0.3", "--seed", "8")


class Scene:
    """Lines that wait to be put into files, and a lake with a claim store for all."""

    def __init__(self, servers, generated, folder):
        self.uri, self.truth = servers.make_lake_uri(), generated.truth
        self.remote = RemoteLake(servers.moto, self.uri)
        self.progress = remote_progress(self.remote)
        self._folder, self._env = folder, servers.env(folder / "cache")
        self._dedup = servers.dedup("redis")
        self._lines = generated.source.read_bytes().splitlines(keepends=True)

    def put(self, name, lines):
        """The next lines, at the end of the file of a source."""
        path = self._folder / name / "events.jsonl"
        path.parent.mkdir(exist_ok=True)
        with path.open("ab") as file:
            file.write(b"".join(self._lines[:lines]))
        self._lines = self._lines[lines:]

    def follow(self, name, **env):
        command = ["run", self._folder / name, self.uri, "--follow", "--format", "json", *self._dedup, *FLAGS]
        return Child(command, self._folder / "logs", env={**self._env, **env})

    def wait_for(self, records, *children):
        wait_until(
            lambda: self.progress.received() >= records or not all(c.is_running for c in children), f"record {records}"
        )
        assert self.progress.received() >= records, [child.errors() for child in children]

    def end(self, *children):
        for child in children:
            child.signal(signal.SIGTERM)
        assert [child.wait() for child in children] == [0] * len(children), [child.errors() for child in children]

    def breaches(self):
        return breaches(self.remote.copy(self._folder / "copy"), self.truth)


@pytest.fixture
def scene(servers, generated, tmp_path):
    return Scene(servers, generated, tmp_path)


def test_two_consumers_of_different_sources_share_a_lake_and_its_claims(scene):
    """Copies lie in both sources; each is judged by whoever reads it, and one of them is accepted."""
    scene.put("one", 150)
    scene.put("other", 150)
    with scene.follow("one") as first, scene.follow("other") as second:
        scene.wait_for(300, first, second)
        scene.put("one", 150)
        scene.put("other", 150)
        scene.wait_for(EVENTS, first, second)
        scene.end(first, second)
    assert scene.breaches() == []


def test_of_two_consumers_of_one_source_one_works_and_the_other_takes_over(scene):
    scene.put("one", 200)
    takeover = {"HEADGATE__STANDBY__TAKEOVER_SECONDS": "2"}
    with scene.follow("one", **takeover) as first, scene.follow("one", **takeover) as second:
        both = (first, second)
        wait_until(lambda: any("stood_by" in child.errors() for child in both), "a standby")
        idle, busy = both if "stood_by" in first.errors() else (second, first)
        scene.wait_for(200, *both)
        assert busy.kill() == -9
        scene.put("one", EVENTS - 200)
        scene.wait_for(EVENTS, idle)
        scene.end(idle)
    assert scene.breaches() == []


@pytest.mark.parametrize("table_format", ["delta", "parquet", "json"])
def test_every_command_works_on_a_lake_on_s3(servers, generated, tmp_path, table_format):
    uri, env = servers.make_lake_uri(), servers.env(tmp_path / "cache")

    def told(*args):
        code, child = run([*args, "--json"], tmp_path / "logs", env=env)
        assert code == 0, child.errors()
        return json.loads(child.out.read_text())

    truth = generated.truth
    ran = told("run", generated.source, uri, "--format", table_format, "--batch-events", "250")
    assert (ran["accepted"], ran["duplicates"]) == (truth["accepted"], truth["duplicates"])
    shown = told("status", uri)
    assert shown["tables"]["events"]["rows"] == truth["accepted"]
    assert (shown["claims"]["kind"], shown["unpublished"], shown["lease"]) == ("rocksdb", [], None)
    sql = "SELECT event_type, count(*)::INTEGER AS n FROM events GROUP BY 1"
    assert {row["event_type"]: row["n"] for row in told("query", uri, sql)} == truth["accepted_by_type"]
    moved = told("rebuild", uri, *servers.dedup("redis"))
    assert moved["claims"] == truth["accepted"]
    copies = told("run", generated.source, uri, "--source-name", "again", *servers.dedup("redis"))
    assert (copies["accepted"], copies["rejected"]) == (0, truth["rejected"])
    proof = told("verify", generated.source, uri)
    assert proof["proven"], proof
