"""`headgate run s3://... LAKE` as a process that is killed, loses its server, and follows; then all is exact."""

import gzip
import json
import random
import signal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner

from headgate.entrypoints.cli import cli
from headgate.testing.independent import breaches, ledger
from headgate.testing.kills import Progress, run_with_kills
from headgate.testing.pairs import Generated, generate, remote_progress
from headgate.testing.processes import Child, wait_until
from headgate.testing.proxy import Fault, fault_proxy
from headgate.testing.remote_lake import RemoteLake
from headgate.testing.server_moto import CREDENTIALS, Moto

pytestmark = pytest.mark.kill

EVENTS = 3_000
FOLLOWED = ("--follow", "--format", "json", "--flush-seconds", "0.2")


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Generated:
    folder = tmp_path_factory.mktemp("generated")
    return generate(folder, EVENTS, "--types", "4", "--duplicates", "0.2", "--seed", "21")


class Scene:
    """Lines that wait to be put into objects of a bucket."""

    def __init__(self, moto: Moto, generated: Generated, folder: Path) -> None:
        self.moto, self.truth, self.folder = moto, generated.truth, folder
        self.bucket = moto.make_bucket(f"source-{uuid4().hex}")
        self.source, self.lake = f"s3://{self.bucket}/in/", folder / "lake"
        self.lines = generated.source.read_bytes().splitlines(keepends=True)
        self.env = self.env_of(moto.endpoint_url)

    def env_of(self, endpoint_url: str) -> dict[str, str]:
        return {
            **CREDENTIALS,
            "HEADGATE__STORAGE__ENDPOINT_URL": endpoint_url,
            "HEADGATE__STORAGE__ALLOW_HTTP": "true",
            "HEADGATE__SOURCE__POLL_SECONDS": "0.2",
            "XDG_CACHE_HOME": str(self.folder / "cache"),
        }

    def put(self, key: str, count: int) -> None:
        """The next lines as an object, packed where its name says so."""
        content, self.lines = b"".join(self.lines[:count]), self.lines[count:]
        packed = gzip.compress(content, 1) if key.endswith(".gz") else content
        self.moto.client("s3").put_object(Bucket=self.bucket, Key=f"in/{key}", Body=packed)

    def put_all(self) -> None:
        rng = random.Random(3)
        number = 0
        while self.lines:
            self.put(f"{number // 4}/{number:03}.jsonl" + (".gz" if number % 3 == 0 else ""), rng.randint(1, 400))
            number += 1

    def told(self, *args: str | Path) -> Any:
        """What a command answers, in this process."""
        result = CliRunner().invoke(cli, [*map(str, args), "--json"], env={**self.env, "HEADGATE_CONFIG": ""})
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    def child(self, *args: str | Path, env: dict[str, str] | None = None) -> Child:
        return Child(args, self.folder / "logs", env=env or self.env)

    def wait_for(self, child: Child, progress: Progress, records: int) -> None:
        wait_until(lambda: progress.received() >= records or not child.is_running, f"record {records}")
        assert progress.received() >= records, child.errors()

    def end(self, child: Child) -> None:
        child.signal(signal.SIGTERM)
        assert child.wait() == 0, child.errors()


@pytest.fixture
def scene(moto: Moto, generated: Generated, tmp_path: Path) -> Scene:
    return Scene(moto, generated, tmp_path)


def test_many_objects_are_admitted_exactly_once_through_kills(scene: Scene) -> None:
    scene.put("0/large.jsonl", EVENTS // 2)  # the first kill falls into it
    scene.put_all()
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    outcome = run_with_kills(
        ["run", scene.source, scene.lake],
        scene.lake,
        scene.folder / "logs",
        kills=2,
        records=EVENTS,
        batch_events=(50, 300),
        rng=random.Random(seed),
        env=scene.env,
    )
    assert outcome.exit_code == 0, outcome.errors
    assert outcome.kills >= 1  # a fast machine may come to the end before the last one
    assert breaches(scene.lake, scene.truth) == []
    assert len({entry["writer"]["pid"] for entry in ledger(scene.lake)}) > 1, "no kill fell into the run"
    proof = scene.told("verify", scene.source, scene.lake)
    assert (proof["proven"], proof["reread_parts"], proof["unread_records"]) == (True, EVENTS, 0)
    assert scene.told("run", scene.source, scene.lake)["received"] == 0


def test_a_lake_below_its_own_source_is_not_fed_with_itself(scene: Scene) -> None:
    """Objects appear while the run follows, and with each batch those of the lake, in the same bucket."""
    lake = f"{scene.source}lake"
    remote = RemoteLake(scene.moto, lake)
    progress = remote_progress(remote)
    scene.put("b.jsonl", 1_000)
    with scene.child("run", scene.source, lake, *FOLLOWED) as child:
        scene.wait_for(child, progress, 1_000)
        scene.put("a.jsonl.gz", 1_000)
        scene.wait_for(child, progress, 2_000)
        assert child.kill() == -9
    scene.put("z/c.jsonl", 1_000)
    with scene.child("run", scene.source, lake, *FOLLOWED) as child:
        scene.wait_for(child, progress, EVENTS)
        scene.end(child)
    assert breaches(remote.copy(scene.lake), scene.truth) == []
    proof = scene.told("verify", scene.source, lake)
    assert (proof["proven"], proof["reread_parts"], proof["unread_records"]) == (True, EVENTS, 0)


def test_a_server_that_is_away_is_waited_for(scene: Scene) -> None:
    progress = Progress(scene.lake)
    scene.put("a.jsonl", 1_000)
    with fault_proxy(scene.moto.port, scene.folder / "proxy") as proxy:
        proxy.fail(Fault(method="GET", path="/in/b.jsonl", effect="drop", times=None))
        env = scene.env_of(proxy.endpoint_url)
        with scene.child("run", scene.source, scene.lake, *FOLLOWED, env=env) as child:
            scene.wait_for(child, progress, 1_000)
            scene.put("b.jsonl", 1_000)
            child.wait_for_line("in/b.jsonl: no answer")
            scene.put("c.jsonl", 1_000)
            scene.wait_for(child, progress, 2_000)
            proxy.fail(Fault(effect="drop", times=None))
            child.wait_for_line("/in/: no answer")  # the listing
            proxy.heal()
            scene.wait_for(child, progress, EVENTS)
            scene.end(child)
    # The objects were not read in the order of the generator: which copy is the first one differs, the ids do not.
    assert breaches(scene.lake) == []
    assert (
        scene.told("query", scene.lake, "SELECT count(*)::INTEGER AS n FROM events")[0]["n"] == scene.truth["accepted"]
    )
