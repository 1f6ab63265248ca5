"""One stream, three ways, killed on each: exactly once, as `verify`, an independent reader and the producer see it.

The long version is `benchmarks/stream_kill.py`.
"""

import random
from contextlib import ExitStack
from typing import NamedTuple

import pytest

from headgate.clock import SystemClock
from headgate.config import Config, Firehose
from headgate.testing.delivery_rows import kept
from headgate.testing.event_source_mapping import StreamRecord
from headgate.testing.function_world import drive_delivery, drive_mapping
from headgate.testing.independent import breaches, ids, rejects
from headgate.testing.kills import run_with_kills
from headgate.testing.kinesis_driver import StreamDriver
from headgate.testing.lambda_runtime import LambdaFunction
from headgate.testing.processes import run
from headgate.testing.server_valkey import valkey
from headgate.testing.stream_world import Load, environment, flowing, held
from headgate.testing.world import FactList
from headgate.wiring.filing import file_deliveries
from headgate.wiring.job import Job
from headgate.wiring.lake import open_lake_for_writing

LOADS = [
    Load(events=3_000, rate=1_000, seed=1, types=8, duplicates=0.1, invalid=0.02),
    Load(events=900, rate=300, seed=2, types=1, duplicates=0.1, invalid=0.02),
    Load(events=300, rate=100, seed=3, types=8, duplicates=0.1, invalid=0.02, events_per_record=1),
]
EVENTS = sum(load.events for load in LOADS)
KILLS = 2
RESHARDS = 2

#: They share a stream: one process runs them all.
pytestmark = [pytest.mark.kill, pytest.mark.xdist_group("stream_kills")]


class Scene(NamedTuple):
    """A stream, what it holds, and the lake of its first consumer."""

    name: str
    env: dict
    records: list[StreamRecord]
    truth: dict
    lake: object
    outcome: object


@pytest.fixture
def rng():
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    return random.Random(seed)


@pytest.fixture(scope="module")
def scene(kinesis_url, tmp_path_factory):
    """Consumed by `headgate run` with RocksDB claims into Delta, while it is filled and resharded."""
    folder, rng, truth = tmp_path_factory.mktemp("stream-kills"), random.Random(5), {}
    stream, lake, env = StreamDriver(kinesis_url, shards=4), folder / "lake", environment(kinesis_url)
    with flowing(stream, LOADS, folder / "producers", rng, reshards=RESHARDS) as (producers, resharding):

        def ending():
            truth.update(producers.wait())
            resharding.wait()
            return ["--once"]

        outcome = run_with_kills(
            ["run", f"kinesis://{stream.name}", lake],
            lake,
            folder / "logs",
            kills=KILLS,
            records=EVENTS,
            batch_events=(100, 2_000),
            rng=rng,
            env=env,
            ending=ending,
        )
    assert (resharding.splits, resharding.merges) == (RESHARDS, RESHARDS)
    return Scene(stream.name, env, held(stream), truth, lake, outcome)


@pytest.fixture(scope="module")
def claims(tmp_path_factory):
    with valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def function_env(claims, tmp_path):
    return {
        "HEADGATE__LAKE__URI": str(tmp_path / "lake"),
        "HEADGATE__DEDUP__STORE": claims.uri,
        "HEADGATE__FUNCTION__PUBLISH_SECONDS": "0",
    }


def verified(scene, lake, tmp_path):
    code, child = run(["verify", f"kinesis://{scene.name}", lake], tmp_path / "verify", env=scene.env)
    assert code == 0, child.out.read_text() + child.errors()
    said = child.out.read_text()
    assert f"{EVENTS:,} events of" in said
    assert "0 events of 0 shards that kinesis://" in said


def filed_of(lake, delivered):
    config = Config(firehose=Firehose(delivered=str(delivered)))
    clock = SystemClock()
    opened = open_lake_for_writing(Job(source="", lake=str(lake)), config, clock)
    try:
        return file_deliveries(opened, config, clock=clock, telemetry=FactList())
    finally:
        opened.close()


def test_a_consumer_admits_a_resharded_stream_once(scene, tmp_path):
    assert scene.outcome.exit_code == 0, scene.outcome.errors
    assert scene.outcome.kills >= 1  # a slow machine reads all of it in one life
    assert breaches(scene.lake, scene.truth) == []
    verified(scene, scene.lake, tmp_path)


def test_lambda_functions_admit_it_once(scene, function_env, tmp_path, rng):
    with ExitStack() as stack:
        functions = [
            stack.enter_context(
                LambdaFunction("headgate.entrypoints.aws_lambda.handler", tmp_path / f"logs-{n}", function_env)
            )
            for n in range(2)
        ]
        trouble = drive_mapping(
            scene.records, scene.name, functions, rng, batch_records=(10, len(scene.records) // 12), kills=KILLS
        )
    assert (trouble.kills, trouble.errors) == (KILLS, [])
    assert trouble.repeats > 0
    lake = tmp_path / "lake"
    assert breaches(lake, scene.truth) == []
    assert ids(lake) == ids(scene.lake)
    assert rejects(lake) == rejects(scene.lake)
    verified(scene, lake, tmp_path)


def test_the_firehose_transformation_gives_the_same_verdicts_and_filing_makes_them_once(
    scene, function_env, tmp_path, rng
):
    handler = "headgate.entrypoints.firehose.handler"
    env = {**function_env, "HEADGATE__SOURCE__NAME": f"kinesis://{scene.name}"}
    with LambdaFunction(handler, tmp_path / "logs", env) as function:
        stream, answers, trouble = drive_delivery(scene.records, function, rng, kills=KILLS)
    have = kept(stream, tmp_path / "lake")
    assert answers.breaches == []
    assert trouble.kills >= 1
    assert have.breaches(scene.truth) == []
    assert 0 < len(have.delivered) < have.lines  # at least once: what was delivered twice counts once
    assert have.ids == ids(scene.lake)
    assert have.raw == rejects(scene.lake)
    lake, delivered = tmp_path / "lake", tmp_path / "delivered"
    stream.write(delivered)
    filed = filed_of(lake, delivered)
    assert filed.redelivered == have.lines - len(have.delivered)
    assert breaches(lake, scene.truth) == []
    assert ids(lake) == ids(scene.lake)
    assert rejects(lake) == rejects(scene.lake)
    verified(scene, lake, tmp_path)
    assert filed_of(lake, delivered).entries == 0
