"""Configuration to a lake and its lease."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from headgate.clock import SystemClock
from headgate.config import Config, digest
from headgate.consumer import Lease
from headgate.lake.entry import PRIVACY
from headgate.lake.lake import TableLake, open_lake
from headgate.lake.layout import ClaimsIdentity
from headgate.lake.lease import HOLDER_NAME, LocalLease
from headgate.lake.opening import open_storage
from headgate.lake.options import LakeOptions
from headgate.lake.remote_lease import RemoteLease, VersionedStorage
from headgate.lake.stage import JsonStyle
from headgate.lake.storage import Storage
from headgate.wiring.claims import EMBEDDED
from headgate.wiring.existing import s3_options
from headgate.wiring.flow import privacy_of
from headgate.wiring.job import Job

STATE_FOLDER = "_headgate"
LOCAL_STAGE_THREADS = 2  # one a core of a small machine
REMOTE_STAGE_THREADS = 16  # of a lake whose files travel; a put waits for its answer, not for a core


def open_lake_for_writing(job: Job, config: Config, clock: SystemClock) -> TableLake:
    """Open the lake, or make it."""
    envelope = config.envelope
    is_remote = job.lake.startswith("s3://")
    options = LakeOptions(
        max_event_types=config.lake.max_event_types,
        config_digest=digest(config),
        json_style=JsonStyle(
            is_gzip=config.lake.json_compression == "gzip",
            is_own_envelope=(envelope.id, envelope.name, envelope.created_at)
            == ("event_uuid", "event_name", "created_at"),
        ),
        stage_threads=REMOTE_STAGE_THREADS if is_remote else LOCAL_STAGE_THREADS,
        writer={} if (privacy := privacy_of(config)) is None else {PRIVACY: privacy.identity},
    )
    storage = open_storage(job.lake, s3_options(config))
    return open_lake(storage, job.format, options, now_us=clock.now_us)


def lease_of(lake: TableLake, identity: ClaimsIdentity, clock: SystemClock) -> Lease | None:
    """The lease that guards an embedded claim store; None for a shared one."""
    return own_lease(lake, clock) if identity.kind in EMBEDDED else None


def own_lease(lake: TableLake, clock: SystemClock) -> Lease:
    """The lake's lease, whoever may ask for it."""
    return _lease(lake.storage, STATE_FOLDER, clock)


def compaction_lease(storage: Storage, clock: SystemClock) -> Lease:
    """The lease of compactions, which has nothing to do with that of consumers."""
    return _lease(storage, f"{STATE_FOLDER}/compaction", clock)


def build_lease(storage: Storage, clock: SystemClock) -> Lease:
    """The lease of `build`, which has nothing to do with the consumer's."""
    return _lease(storage, f"{STATE_FOLDER}/analytics", clock)


def _lease(storage: Storage, folder: str, clock: SystemClock) -> Lease:
    if storage.is_remote:
        return RemoteLease(cast("VersionedStorage", storage), clock.now_us, path=f"{folder}/{HOLDER_NAME}")
    return LocalLease(Path(storage.root) / folder, clock.now_us)
