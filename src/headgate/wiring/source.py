"""Configuration to a source."""

from __future__ import annotations

import hashlib
import os
import random
import sys
from datetime import datetime
from typing import Literal, cast

from headgate.clock import SystemClock
from headgate.config import Config, mask_uri
from headgate.errors import ConfigError
from headgate.lake.opening import open_storage
from headgate.ports import Source
from headgate.source.bucket import SCHEME, Bucket, BucketFiles
from headgate.source.files import FileSource
from headgate.source.listing import LocalFiles
from headgate.source.place import Files
from headgate.source.stdin import StdinSource
from headgate.wiring.existing import s3_options
from headgate.wiring.flow import limits_of
from headgate.wiring.job import Job

KINESIS = "kinesis://"
DELIVERY = "firehose://"  # of records that were put to a delivery stream itself; nobody reads them again

Start = Literal["earliest", "latest"] | datetime


def open_source(job: Job, config: Config, clock: SystemClock) -> Source:
    """Open the source."""
    name = config.source.name
    if job.source.startswith(KINESIS):
        return _open_kinesis(job, config, clock)
    if job.source == "-":
        if sys.stdin is None:
            raise ConfigError("standard input is closed: give SOURCE - something to read")
        run_id = hashlib.blake2b(os.urandom(16), digest_size=8).hexdigest()
        return StdinSource(run_id=run_id, arrived_us=clock.now_us(), name=name or "-", limits=limits_of(config))
    return FileSource(
        _files(job, config),
        clock=clock,
        name=name,
        once=job.once is not False,
        start=_start(config.source.start),
        limits=limits_of(config),
        poll_seconds=config.source.poll_seconds,
    )


def _files(job: Job, config: Config) -> Files:
    """Where the files of SOURCE lie."""
    is_remote = job.source.startswith(SCHEME)
    if "://" in job.source and not is_remote:
        raise ConfigError(
            f"{mask_uri(job.source)}: SOURCE is a file, folder, glob, {SCHEME}bucket/prefix, {KINESIS}STREAM or - for "
            "standard input"
        )
    places = [job.source.rstrip("/"), job.lake.rstrip("/")]
    if len(set(places if is_remote else map(os.path.realpath, places))) == 1:
        raise ConfigError(f"{job.lake} is SOURCE and LAKE at once: name another place for the lake")
    if not is_remote:
        return LocalFiles(job.source)
    bucket = job.source.removeprefix(SCHEME).partition("/")[0]
    return BucketFiles(job.source, cast("Bucket", open_storage(SCHEME + bucket, s3_options(config))))


def _open_kinesis(job: Job, config: Config, clock: SystemClock) -> Source:
    try:
        from headgate.source.kinesis.ahead import Pace
        from headgate.source.kinesis.client import ANSWER_SECONDS, EVENT_SECONDS, kinesis_client
        from headgate.source.kinesis.source import KinesisSource
    except ImportError as error:
        raise ConfigError(
            f"{job.source}: Kinesis needs the package {error.name}; install it with `pip install 'headgate[aws]'`"
        ) from error
    if not (stream := job.source.removeprefix(KINESIS)):
        raise ConfigError("kinesis:// names no stream: write kinesis://STREAM, its name or its ARN")
    fan_out, pace = config.kinesis.fan_out, Pace(max_ahead_bytes=config.kinesis.max_ahead_bytes)
    return KinesisSource(
        stream,
        client=kinesis_client(
            region=config.aws.region,
            endpoint_url=config.aws.endpoint_url,
            connections=(pace.pushed() if fan_out else pace).threads + 1,
            answer_seconds=EVENT_SECONDS if fan_out else ANSWER_SECONDS,
        ),
        clock=clock,
        jitter=random.random,
        name=config.source.name,
        start=_start(config.source.start),
        once=job.once is True,
        accept_gap=config.source.accept_gap,
        fan_out=fan_out,
        pace=pace,
    )


def _start(text: str) -> Start:
    words: dict[str, Start] = {"earliest": "earliest", "latest": "latest"}
    return words[text] if text in words else datetime.fromisoformat(text)
