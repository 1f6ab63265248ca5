"""Claims a second of the stores on AWS, called by claims.py: on an emulator, and of the client alone."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from botocore.awsrequest import AWSPreparedRequest, AWSResponse

from headgate.claims.singly import SinglyClaimStore
from headgate.records import Claims, Shard
from headgate.testing.aws_claims import make_prefix, make_table, open_dynamodb, open_s3
from headgate.testing.sdk_faults import Body
from headgate.testing.server_moto import CREDENTIALS, moto_serving

EMULATED_IDS = 1_000  # the emulator answers about 150 requests a second
CLIENT_IDS = 10_000
WORKERS = 32


@contextmanager
def opened(name: str, folder: Path) -> Iterator[SinglyClaimStore]:
    """The store `dynamodb` or `s3` on an emulator."""
    os.environ.update(CREDENTIALS)
    with moto_serving(folder) as moto:
        store: SinglyClaimStore
        if name == "dynamodb":
            store = open_dynamodb(moto, make_table(moto), workers=WORKERS)
        else:
            store = open_s3(moto, make_prefix(moto), workers=WORKERS)
        yield store
        store.close()


def answer_at_once(request: AWSPreparedRequest, event_name: str, **_: object) -> AWSResponse:
    """The answer to a write that was accepted, without a network."""
    return AWSResponse(request.url, 200, {"etag": '"0"'}, Body(b"{}" if "dynamodb" in event_name else b""))


def measure(name: str, folder: Path, make: Callable[[np.ndarray, int], Claims], window_us: int) -> None:
    """Print one store's figures."""
    with opened(name, folder) as store:
        shard = store.shard_number(Shard("benchmark", "0"))
        ids = np.arange(EMULATED_IDS)
        report(f"{name} on moto, new ids", store, make(ids, shard), window_us)
        report(f"{name} on moto, copies", store, make(ids, shard + 1), window_us)
        operation = {"dynamodb": "PutItem", "s3": "PutObject"}[name]
        store.client.meta.events.register(f"before-send.{name}.{operation}", answer_at_once)
        ids = np.arange(EMULATED_IDS, EMULATED_IDS + CLIENT_IDS)
        report(f"{name} client alone, new ids", store, make(ids, shard), window_us)


def report(what: str, store: SinglyClaimStore, claims: Claims, window_us: int) -> None:
    """Claim in one call and print the rate."""
    wall, cpu = time.perf_counter(), time.process_time()
    answer = store.claim(claims, window_us)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    won = int((answer["shard"] == claims.owners["shard"]).sum())
    print(
        f"{what:32} {len(claims):>8,}: {len(claims) / wall:>8,.0f}/s  cpu {cpu / len(claims) * 1e6:,.0f} µs an id"
        f"  won {won:,}",
        flush=True,
    )
