"""Pairs of parts, a claim store and a lake, under a real run that is killed again and again.

The servers are real processes; the lake is judged by an independent reader, a lake on S3 from a copy in a folder.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from headgate.testing.aws_claims import make_prefix, make_table
from headgate.testing.independent import breaches
from headgate.testing.kills import Killed, Progress, Read, run_with_kills
from headgate.testing.processes import run
from headgate.testing.remote_lake import RemoteLake
from headgate.testing.server_moto import CREDENTIALS, Moto, moto_serving
from headgate.testing.server_valkey import valkey

STORES = ("rocksdb", "redis", "dynamodb", "s3")
FORMATS = ("delta", "parquet", "json")
PLACES = ("local", "s3")
_LOOK_SECONDS = 0.1  # between two questions for what is not there yet: the emulator has other things to do


class Pair(NamedTuple):
    """A claim store, and a lake of a format in a place."""

    store: str
    format: str
    place: str

    def __str__(self) -> str:
        """Words for people."""
        return f"{self.store} claims, {self.format} {'on S3' if self.place == 's3' else 'in a folder'}"


ALL = tuple(Pair(*parts) for parts in product(STORES, FORMATS, PLACES))


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """Where stores and lakes live."""

    moto: Moto
    redis_uri: str

    def dedup(self, store: str) -> list[str]:
        """Flags of `run` for a new claim store."""
        if store == "rocksdb":
            return []
        if store == "redis":
            uri = self.redis_uri
        else:
            uri = make_prefix(self.moto) if store == "s3" else f"dynamodb://{make_table(self.moto)}"
        return ["--dedup", uri]

    def make_lake_uri(self) -> str:
        """The URI of a lake that is not there yet, in a bucket of its own."""
        return f"s3://{self.moto.make_bucket(f'lake-{uuid4().hex}')}/some/lake"

    def env(self, cache: Path) -> dict[str, str]:
        """The environment of a child; `cache` is where it keeps what can be made anew."""
        return {
            **CREDENTIALS,
            "HEADGATE__STORAGE__ENDPOINT_URL": self.moto.endpoint_url,
            "HEADGATE__STORAGE__ALLOW_HTTP": "true",
            "HEADGATE__AWS__ENDPOINT_URL": self.moto.endpoint_url,
            "XDG_CACHE_HOME": str(cache),
        }


@contextmanager
def servers_running(folder: Path) -> Iterator[Servers]:
    """Servers of one's own until the block ends; `folder` takes their output and data."""
    with moto_serving(folder / "moto") as moto, valkey(folder / "valkey") as redis:
        yield Servers(moto=moto, redis_uri=redis.uri)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """A file of events, and what is known of it.

    Attributes:
        source: the file.
        events: how many it holds.
        truth: of `headgate generate --truth`.
    """

    source: Path
    events: int
    truth: Mapping[str, object]


def generate(folder: Path, events: int, *flags: str) -> Generated:
    """Make such a file in a folder."""
    source, truth = folder / "events.jsonl", folder / "truth.json"
    code, child = run(
        ["generate", "--events", str(events), "--out", source, "--truth", truth, *flags], folder / "logs", seconds=600
    )
    if code:
        raise RuntimeError(child.errors())
    return Generated(source=source, events=events, truth=json.loads(truth.read_text()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """How a pair fared: what happened to its run, and everything in its lake that is not as promised."""

    outcome: Killed
    breaches: list[str]


def killed_pair(
    pair: Pair,
    servers: Servers,
    generated: Generated,
    folder: Path,
    *,
    kills: int,
    batch_events: tuple[int, int],
    rng: random.Random,
) -> Judged:
    """Run a pair with kills to its end, and judge its lake.

    Args:
        pair: which parts.
        servers: where they live.
        generated: what is read.
        folder: for the lake or its copy, and for output.
        kills: how many.
        batch_events: bounds of the batch size that each process is given.
        rng: of moments and sizes.
    """
    lake = folder / "lake"
    uri = servers.make_lake_uri() if pair.place == "s3" else str(lake)
    remote = RemoteLake(servers.moto, uri) if pair.place == "s3" else None
    outcome = run_with_kills(
        ["run", generated.source, uri, "--format", pair.format, *servers.dedup(pair.store)],
        lake if remote is None else seldom(remote.read),
        folder / "logs",
        kills=kills,
        records=generated.events,
        batch_events=batch_events,
        rng=rng,
        env=servers.env(folder / "cache"),
    )
    if remote is not None:
        remote.copy(lake)
    return Judged(outcome=outcome, breaches=breaches(lake, generated.truth))


def remote_progress(lake: RemoteLake) -> Progress:
    """How many records a lake on an emulator counts."""
    return Progress(seldom(lake.read))


def seldom(read: Read) -> Read:
    """The same, but what was not there is asked for again only after a while."""
    missed: dict[str, float] = {}

    def asked(path: str) -> bytes | None:
        if time.monotonic() - missed.get(path, 0.0) < _LOOK_SECONDS:
            return None
        content = read(path)
        if content is None:
            missed[path] = time.monotonic()
        return content

    return asked
