"""A stream that is resharded under consumers that are killed: `python benchmarks/stream_kill.py [--kills 10] ...`.

Producers put events into a stream of 4 shards on kinesis-local at 2,000 a second, arrays of 20 and single events,
with copies across shards and rubbish, while its shards split and merge. Ways through it, each judged by
`headgate verify` and by an independent reader against what the producers know:

    consumer   `headgate run`, RocksDB claims, Delta in a folder; killed, each time with other batch sizes
    lambda     its records through the Lambda handler, Redis claims: any order, repeats, kills
    firehose   its records through the Firehose transformation: retries, lost answers, repeats, kills
    s3         as consumer with Redis claims and a lake on S3, over a live stream of its own

Exit code 1 on any deviation. It needs node, and what the tests need.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from headgate.testing.delivery_rows import kept
from headgate.testing.event_source_mapping import StreamRecord
from headgate.testing.function_world import Trouble, drive_delivery, drive_mapping
from headgate.testing.independent import breaches, ids, rejects, totals
from headgate.testing.kills import run_with_kills
from headgate.testing.kinesis_driver import StreamDriver
from headgate.testing.lambda_runtime import LambdaFunction
from headgate.testing.pairs import Servers, seldom
from headgate.testing.processes import run
from headgate.testing.remote_lake import RemoteLake
from headgate.testing.server_kinesis import kinesis_local
from headgate.testing.server_moto import moto_serving
from headgate.testing.server_valkey import Valkey, valkey
from headgate.testing.stream_world import Load, environment, flowing, held

NODE = Path(__file__).parent.parent / "tests" / "node"
SHARDS = 4
#: Share of the events, events a record, event types: arrays of many types, arrays of one, single events.
MIX = ((0.89, 20, 100), (0.1, 20, 1), (0.01, 1, 100))
WAYS = ("consumer", "lambda", "firehose", "s3")


@dataclass(kw_only=True)
class World:
    """The servers, and what the first stream held.

    Attributes:
        options: the command line.
        folder: for everything.
        kinesis: endpoint of the first stream.
        servers: S3.
        claims: Redis.
        stream: the first one.
        truth: about it.
        lake: of the first consumer.
        records: of the first stream.
    """

    options: argparse.Namespace
    folder: Path
    kinesis: str
    servers: Servers
    claims: Valkey
    stream: str = ""
    truth: Mapping[str, Any] = field(default_factory=dict)
    lake: Path = Path()
    records: Sequence[StreamRecord] = ()

    def loads(self) -> list[Load]:
        """The producers: all events together at the rate."""
        options, seed = self.options, len(MIX) * self.options.seed
        return [
            Load(
                events=round(options.events * share),
                rate=options.rate * share,
                events_per_record=events_per_record,
                types=types,
                seed=seed + n,
            )
            for n, (share, events_per_record, types) in enumerate(MIX)
        ]

    def rng(self, way: str) -> random.Random:
        """Of one way."""
        return random.Random(f"{self.options.seed} {way}")

    def redis(self, database: int) -> str:
        """URI of a database of its own."""
        return f"redis://127.0.0.1:{self.claims.port}/{database}"


def main() -> int:
    """Go all ways."""
    options = arguments()
    folder = Path(tempfile.mkdtemp(prefix="headgate-stream-", dir=options.dir))
    print(f"{options.events:,} events at {options.rate:,.0f}/s, seed {options.seed}, in {folder}", flush=True)
    with ExitStack() as stack:
        url = stack.enter_context(kinesis_local(NODE, folder / "kinesis"))
        claims = stack.enter_context(valkey(folder / "valkey"))
        moto = stack.enter_context(moto_serving(folder / "moto"))
        servers = Servers(moto=moto, redis_uri=claims.uri)
        world = World(options=options, folder=folder, kinesis=url, servers=servers, claims=claims)
        ways = {"consumer": consumer, "s3": remote, "lambda": mapping, "firehose": delivery}
        wanted = ["consumer", *(way for way in WAYS[1:] if way in options.ways.split(","))]
        exact = []
        for way in wanted:
            began = time.monotonic()
            said, found = ways[way](world)
            verdict = "NOT EXACT" if found else "exact"
            print(f"{way:9} {time.monotonic() - began:4.0f} s  {said}: {verdict}", flush=True)
            for breach in found:
                print(f"  {breach}", flush=True)
            exact.append(not found)
    if all(exact):
        shutil.rmtree(folder)
    return 0 if all(exact) else 1


def consumer(world: World) -> tuple[str, list[str]]:
    """`headgate run` as a process, RocksDB claims, Delta in a folder."""
    world.lake = world.folder / "consumer" / "lake"
    return consumed(world, "consumer", str(world.lake), [], None)


def remote(world: World) -> tuple[str, list[str]]:
    """`headgate run` as a process, Redis claims, Delta on S3."""
    uri = world.servers.make_lake_uri()
    # The emulator gets slower with all that it holds, so that each live stream has one of its own.
    with kinesis_local(NODE, world.folder / "s3" / "kinesis") as url:
        flags = ["--dedup", world.redis(1)]
        return consumed(replace(world, kinesis=url), "s3", uri, flags, RemoteLake(world.servers.moto, uri))


def consumed(
    world: World, way: str, lake: str, flags: Sequence[str], remote_lake: RemoteLake | None
) -> tuple[str, list[str]]:
    """A live stream of its own under a consumer that is killed."""
    options, rng, folder = world.options, world.rng(way), world.folder / way
    stream = StreamDriver(world.kinesis, shards=SHARDS)
    env = {**world.servers.env(folder / "cache"), **environment(world.kinesis)}
    env["HEADGATE__AWS__ENDPOINT_URL"] = world.kinesis
    truth: dict[str, Any] = {}
    flow = flowing(stream, world.loads(), folder / "producers", rng, reshards=options.reshards)
    with flow as (producers, resharding):

        def ending() -> list[str]:
            truth.update(producers.wait())
            resharding.wait()
            return ["--once"]

        killed = run_with_kills(
            ["run", f"kinesis://{stream.name}", lake, *flags],
            Path(lake) if remote_lake is None else seldom(remote_lake.read),
            folder / "logs",
            kills=options.kills,
            records=options.events,
            batch_events=(200, 20_000),
            rng=rng,
            env=env,
            ending=ending,
        )
    local = Path(lake) if remote_lake is None else remote_lake.copy(folder / "copy")
    found = verified(stream.name, lake, folder, env) + breaches(local, truth)
    if killed.exit_code:
        found.append(f"the last run ended with {killed.exit_code}: {killed.errors[-500:]}")
    if (killed.kills, resharding.splits, resharding.merges) != (options.kills, options.reshards, options.reshards):
        found.append("not as many kills, splits and merges as wanted: take more events")
    if way == "consumer":
        world.stream, world.truth, world.records = stream.name, truth, held(stream)
    said = f"{resharding.splits} splits, {resharding.merges} merges, {killed.kills} kills, {totals(local)}"
    return said, found


def mapping(world: World) -> tuple[str, list[str]]:
    """The records of the first stream through the Lambda handler, in two containers."""
    folder, env = world.folder / "lambda", function_env(world, "lambda", 2)
    with ExitStack() as stack:
        handler = "headgate.entrypoints.aws_lambda.handler"
        functions = [stack.enter_context(LambdaFunction(handler, folder / f"logs-{n}", env)) for n in range(2)]
        sizes = (20, max(40, len(world.records) // 20))
        rng, kills = world.rng("lambda"), world.options.kills
        trouble = drive_mapping(world.records, world.stream, functions, rng, batch_records=sizes, kills=kills)
    lake = folder / "lake"
    found = verified(world.stream, str(lake), folder, environment(world.kinesis)) + breaches(lake, world.truth)
    if ids(lake) != ids(world.lake) or rejects(lake) != rejects(world.lake):
        found.append("other ids were accepted, or other records rejected, than by the consumer")
    return f"{described(trouble)}, {totals(lake)}", found + few_kills(trouble, kills) + trouble.errors


def delivery(world: World) -> tuple[str, list[str]]:
    """The records of the first stream through the Firehose transformation."""
    folder, env, kills = world.folder / "firehose", function_env(world, "firehose", 3), world.options.kills
    with LambdaFunction("headgate.entrypoints.firehose.handler", folder / "logs", env) as function:
        stream, answers, trouble = drive_delivery(world.records, function, world.rng("firehose"), kills=kills)
    have = kept(stream, folder / "lake")
    found = answers.breaches + have.breaches(world.truth)
    if have.ids != ids(world.lake) or have.raw != rejects(world.lake):
        found.append("other ids were accepted, or other records rejected, than by the consumer")
    said = (
        f"{described(trouble)}, {len(have.delivered):,} events delivered in {have.lines:,} lines, "
        f"{len(have.events):,} kept, {len(have.duplicates):,} duplicates, {len(have.rejected):,} rejected"
    )
    return said, found + few_kills(trouble, kills)


def function_env(world: World, way: str, database: int) -> dict[str, str]:
    """What Terraform sets; rows are shown at once."""
    return {
        "HEADGATE__LAKE__URI": str(world.folder / way / "lake"),
        "HEADGATE__DEDUP__STORE": world.redis(database),
        "HEADGATE__FUNCTION__PUBLISH_SECONDS": "0",
    }


def verified(stream: str, lake: str, folder: Path, env: Mapping[str, str]) -> list[str]:
    """What `headgate verify` has to say against a lake."""
    code, child = run(["verify", f"kinesis://{stream}", lake], folder / "verify", env=env, seconds=600)
    return [] if code == 0 else [f"verify ended with {code}: {child.out.read_text()} {child.errors()}"]


def described(trouble: Trouble) -> str:
    """What befell a function, for people."""
    return (
        f"{trouble.invocations} invocations, {trouble.kills} killed, {trouble.lost} answers lost, "
        f"{trouble.repeats} repeated"
    )


def few_kills(trouble: Trouble, wanted: int) -> list[str]:
    """A breach where fewer kills came than were wanted."""
    return [] if trouble.kills >= wanted else [f"only {trouble.kills} of {wanted} kills: take more events"]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=60_000)
    parser.add_argument("--rate", type=float, default=2_000, help="events a second")
    parser.add_argument("--kills", type=int, default=10, help="of each way")
    parser.add_argument("--reshards", type=int, default=10, help="so many splits and so many merges")
    parser.add_argument("--ways", default=",".join(WAYS), help="the first is always gone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dir", type=Path, help="where to work; kept after a deviation")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
