"""Config to adapters to Consumer: the one place that knows the classes."""

from __future__ import annotations

import hashlib
import os
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from headgate.claims.memory import MemoryClaimStore
from headgate.claims.rocksdb import RocksDbClaimStore
from headgate.clock import SystemClock
from headgate.config import Config, digest, mask_uri
from headgate.consumer import Consumer, Lease, Parts
from headgate.core.envelope import Envelope, decoder_of
from headgate.core.limits import Limits
from headgate.core.rules import Rule, Rules
from headgate.errors import ConfigError
from headgate.lake.lake import LakeOptions, TableLake, open_or_create
from headgate.lake.layout import ClaimsIdentity, claims_identity, set_claims_identity
from headgate.lake.lease import LocalLease
from headgate.lake.stage import JsonStyle
from headgate.pipeline import FlowSettings, Pipeline
from headgate.ports import ClaimStore, LedgerState, Source, Telemetry
from headgate.source.files import FileSource, Start
from headgate.source.stdin import StdinSource
from headgate.telemetry.facts import Noticed, RunStarted

STATE_FOLDER = "_headgate"
CLAIMS_FOLDER = "claims"  # of the default claim store, inside the lake's state folder
DEFAULT_IDENTITY = "inside the lake"

LATER_SCHEMES = ("s3://", "kinesis://", "redis://", "rediss://", "dynamodb://")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What one `run` is told beside the configuration.

    Attributes:
        source: file, folder, glob or `-`.
        lake: local folder.
        once: end when the source is drained; None: files end, nothing else does.
        format: asked for on the command line; None for whatever the lake is.
    """

    source: str
    lake: str
    once: bool | None = None
    format: Literal["delta", "parquet", "json"] | None = None


def local_lake(lake: str) -> Path:
    """The lake's folder.

    Raises:
        ConfigError: it is no local folder.
    """
    _refuse_later(lake, "LAKE is a local folder")
    return Path(lake).absolute()


def _refuse_later(uri: str, instead: str) -> None:
    if uri.startswith(LATER_SCHEMES):
        raise ConfigError(f"{mask_uri(uri)}: this version does not speak {uri.split(':', 1)[0]}; {instead}")


def open_lake_for_writing(job: Job, config: Config, clock: SystemClock) -> TableLake:
    """Open the lake, or make it."""
    path = local_lake(job.lake)
    envelope = config.envelope
    options = LakeOptions(
        max_event_types=config.lake.max_event_types,
        config_digest=digest(config),
        json_style=JsonStyle(
            is_gzip=config.lake.json_compression == "gzip",
            is_own_envelope=(envelope.id, envelope.name, envelope.created_at)
            == ("event_uuid", "event_name", "created_at"),
        ),
    )
    return open_or_create(str(path), job.format, options, now_us=clock.now_us)


def claims_of_lake(config: Config) -> ClaimsIdentity:
    """Kind and identity of the claim store that the configuration names."""
    uri = config.dedup.store
    if uri is None:
        return ClaimsIdentity(kind="rocksdb", identity=DEFAULT_IDENTITY)
    _refuse_later(uri, "--dedup is rocksdb:PATH or memory:")
    kind, _, rest = uri.partition(":")
    return ClaimsIdentity(kind=kind, identity=str(Path(rest).absolute()) if kind == "rocksdb" else rest)


def open_claims(identity: ClaimsIdentity, lake: TableLake, telemetry: Telemetry) -> ClaimStore:
    """Open the lake's claim store; a damaged embedded one begins anew and is filled from the lake."""
    if identity.kind == "memory":
        return MemoryClaimStore()
    root = Path(lake.storage.root) / STATE_FOLDER / CLAIMS_FOLDER
    path = root if identity.identity == DEFAULT_IDENTITY else Path(identity.identity)
    store = RocksDbClaimStore(path)
    try:
        store.bind(lake.about.lake_id)
    except ConfigError:
        store.close()
        raise
    if store.moved_aside is not None:
        telemetry.emit(
            Noticed(what=f"the claim store {path} was damaged; it lies at {store.moved_aside}, a new one is filled")
        )
    return store


def open_source(job: Job, config: Config, clock: SystemClock) -> Source:
    """Open the source."""
    limits = _limits(config)
    name = config.source.name
    if job.source == "-":
        if sys.stdin is None:
            raise ConfigError("standard input is closed: give SOURCE - something to read")
        run_id = hashlib.blake2b(os.urandom(16), digest_size=8).hexdigest()
        return StdinSource(run_id=run_id, arrived_us=clock.now_us(), name=name or "-", limits=limits)
    _refuse_later(job.source, "SOURCE is a file, folder, glob or - for standard input")
    if os.path.realpath(job.source) == os.path.realpath(job.lake):
        raise ConfigError(f"{job.lake} is SOURCE and LAKE at once: name another folder for the lake")
    return FileSource(
        job.source,
        clock=clock,
        name=name,
        once=job.once is not False,
        start=_start(config.source.start),
        limits=limits,
        poll_seconds=config.source.poll_seconds,
    )


def _start(text: str) -> Start:
    words: dict[str, Start] = {"earliest": "earliest", "latest": "latest"}
    return words[text] if text in words else datetime.fromisoformat(text)


def _limits(config: Config) -> Limits:
    return Limits(max_event_bytes=config.validate.max_event_bytes, max_record_bytes=config.validate.max_record_bytes)


def envelope_of(config: Config) -> Envelope:
    """The envelope, tried out.

    Raises:
        ConfigError: one path runs through another.
    """
    envelope = Envelope(id=config.envelope.id, name=config.envelope.name, created_at=config.envelope.created_at)
    try:
        decoder_of(envelope)
    except ValueError as error:
        raise ConfigError(f"[envelope] {error}") from None
    return envelope


def flow_settings(config: Config) -> FlowSettings:
    """What the flow needs of the configuration."""
    return FlowSettings(
        envelope=envelope_of(config),
        limits=_limits(config),
        max_future_us=config.validate.max_future_us,
        window_us=config.dedup.window_us,
        max_event_types=config.lake.max_event_types,
        max_batch_events=config.batch.max_events,
        max_batch_bytes=config.batch.max_bytes,
        flush_seconds=config.batch.flush_seconds,
    )


def rules_of(config: Config) -> Rules:
    """The user's rules, compiled."""
    return Rules([Rule(name=r.name, check=r.check, when=r.when) for r in config.rules])


def make_consumer(job: Job, config: Config, telemetry: Telemetry, stop: Callable[[], bool]) -> Consumer:
    """Put a consumer together. Opens the lake; nothing else is opened before the lease is held.

    Raises:
        ConfigError: the lake has another format or claim store, or something named does not exist.
    """
    clock = SystemClock(stop)
    settings, rules = flow_settings(config), rules_of(config)
    source = open_source(job, config, clock)  # first, so that a wrong SOURCE is said before a lake is made
    lake = open_lake_for_writing(job, config, clock)
    identity = claims_of_lake(config)
    set_claims_identity(lake.storage, identity)
    lease: Lease = LocalLease(Path(lake.storage.root) / STATE_FOLDER, clock.now_us)

    def pipeline(source: Source, claims: ClaimStore) -> Pipeline:
        return Pipeline(
            source=source,
            claims=claims,
            lake=lake,
            rules=rules,
            settings=settings,
            clock=clock,
            telemetry=telemetry,
            jitter=random.random,
        )

    def started(source: Source, claims: ClaimStore, state: LedgerState) -> RunStarted:
        return RunStarted(
            source=source.name,
            lake=str(lake.storage.root),
            format=lake.about.format,
            claims=f"{identity.kind}: {identity.identity}".removesuffix(": "),
            ledger_number=state.number,
        )

    return Consumer(
        Parts(
            lake=lake,
            lease=lease,
            open_claims=lambda: open_claims(identity, lake, telemetry),
            source=source,
            pipeline=pipeline,
            started=started,
        ),
        clock=clock,
        telemetry=telemetry,
        standby=config.standby.enabled,
        takeover_seconds=config.standby.takeover_seconds,
        stop=stop,
    )


def claims_of_existing(lake: TableLake) -> ClaimsIdentity | None:
    """Kind and identity of the claim store that a lake was made with."""
    return claims_identity(lake.storage)
