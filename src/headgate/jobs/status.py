"""What a lake looks like now, while a run goes on or not: nothing is written, no lease is taken, no store opened."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
from deltalake.exceptions import DeltaError

from headgate.core.schema import TABLES
from headgate.errors import ConfigError, TransientError
from headgate.jobs.erased_status import ErasureStatus, Missing, erasure_status
from headgate.jobs.existing import ExistingLake, shown_number
from headgate.lake.delta import open_table
from headgate.lake.entry import Entry
from headgate.lake.layout import claims_identity
from headgate.lake.lease import HOLDER_NAME, Holder
from headgate.lake.plain import marker_path
from headgate.lake.published import published_number
from headgate.lake.storage import Storage
from headgate.ports import LedgerState
from headgate.records import Counts, Shard, ShardState
from headgate.source.identity import HEAD_BYTES
from headgate.source.inflate import is_compressed
from headgate.source.known import KnownShards
from headgate.source.listing import list_files
from headgate.source.place import Listed

STATE_FOLDER = "_headgate"
OWN_STORE = "inside the lake"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardStatus:
    """One shard: position as decimal text, and the bytes of its file not yet read; None where that is unknown."""

    source: str
    shard: str
    position: str | None
    lag_bytes: int | None
    is_closed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TableStatus:
    """One table: rows (None where only counting them would tell), files and their bytes, as published."""

    rows: int | None
    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimsStatus:
    """The claim store: kind, identity, generation in force, and bytes on disk where it is a local folder."""

    kind: str | None
    identity: str | None
    generation: str | None
    disk_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """All of it. `unpublished` are numbers of committed entries whose rows cannot be read yet."""

    lake: str
    format: str
    layout: int
    number: int
    committed_us: int
    writer: Mapping[str, object]
    counts: Counts
    event_types: int
    shards: list[ShardStatus]
    unread_files: dict[str, int]
    tables: dict[str, TableStatus]
    claims: ClaimsStatus
    lease: Holder | None
    is_lease_stale: bool
    unpublished: list[int]
    erasures: ErasureStatus


def status(lake: ExistingLake) -> Status:
    """Look at a lake.

    Raises:
        TransientError: the storage did not answer.
    """
    state = lake.state()
    shards, unread = _shards(state)
    unpublished = _unpublished(lake, state.number)
    holder, is_stale = _lease(lake.storage)
    erasures, missing = erasure_status(lake, state)
    return Status(
        lake=lake.path,
        format=lake.about.format,
        layout=lake.about.layout,
        number=state.number,
        committed_us=state.committed_us,
        writer=state.writer,
        counts=state.counts,
        event_types=len(state.event_types),
        shards=shards,
        unread_files=unread,
        tables=_tables(lake, state, unpublished, erasures.rows, missing),
        claims=_claims(lake, state),
        lease=holder,
        is_lease_stale=is_stale,
        unpublished=[entry.number for entry in unpublished],
        erasures=erasures,
    )


def _shards(state: LedgerState) -> tuple[list[ShardStatus], dict[str, int]]:
    """Each shard with its lag, and by source how many files were not begun."""
    lags: dict[Shard, int | None] = {}
    unread: dict[str, int] = {}
    for source in sorted({shard.source for shard in state.shards}):
        known = {shard: s for shard, s in state.shards.items() if shard.source == source}
        files = _files(source)
        if files:
            begun, unread[source] = _file_lags(source, files, known)
            lags |= begun
    return [
        ShardStatus(
            source=shard.source,
            shard=shard.name,
            position=s.reach,
            lag_bytes=lags.get(shard),
            is_closed=s.closed,
        )
        for shard, s in sorted(state.shards.items())
    ], unread


def _files(source: str) -> list[Listed]:
    """The source's files, where its name says where they are."""
    if not os.path.isabs(source):
        return []
    try:
        return list_files(source)
    except (ConfigError, TransientError):
        return []


def _file_lags(
    source: str, files: list[Listed], shards: Mapping[Shard, ShardState]
) -> tuple[dict[Shard, int | None], int]:
    """Bytes not yet read of each file that is there; None for compressed ones, whose positions are others."""
    known = KnownShards()
    known.resume(source, shards)
    lags: dict[Shard, int | None] = {}
    new = 0
    for file in files:
        try:
            with open(file.path, "rb") as opened:
                head = opened.read(HEAD_BYTES)
        except OSError:
            continue
        is_plain = not is_compressed(file.name, head)
        shard = known.find(file.name, head, file.size if is_plain else None)
        if shard is None or shard.position is None:
            new += bool(head)
        else:
            lags[Shard(source, shard.identity.name)] = max(0, file.size - shard.position) if is_plain else None
    return lags, new


def _unpublished(lake: ExistingLake, last: int) -> list[Entry]:
    """Entries that are committed and not yet shown."""
    shown: dict[str, int] = {}
    found = []
    for entry in lake.entries(published_number(lake.storage), last):
        if lake.about.format != "delta":
            is_hidden = bool(entry.files) and lake.storage.exists(marker_path(entry.entry_id))
        else:
            shown = shown or {table: shown_number(lake, table) for table in TABLES}
            is_hidden = any(shown[file.table] < entry.number for file in entry.files if file.table in shown)
        if is_hidden:
            found.append(entry)
    return found


def _tables(
    lake: ExistingLake, state: LedgerState, unpublished: list[Entry], erased: Mapping[str, int], missing: Missing
) -> dict[str, TableStatus]:
    hidden = sum((entry.net for entry in unpublished), Counts())
    if lake.about.format == "delta":
        shown = state.settled - sum((entry.settles for entry in unpublished), Counts())
        settled: dict[str, int | None] = {"duplicates": shown.duplicates, "rejected": shown.rejected}
        for table, count in missing.settled.items():
            settled[table] = None if missing.doubtful.get(table) else (settled[table] or 0) - count
        return {table: _delta_table(lake, table, settled.get(table, 0)) for table in TABLES}
    counts = state.counts - hidden
    counted = {"events": counts.accepted, "duplicates": counts.duplicates, "rejected": counts.rejected}
    rows = {
        table: None if missing.doubtful.get(table) else count - erased.get(table, 0) + missing.settled.get(table, 0)
        for table, count in counted.items()
    }
    return {
        table: TableStatus(rows=rows.get(table), files=len(sizes), size_bytes=sum(sizes))
        for table in TABLES
        for sizes in [[size for _, size in lake.storage.sizes(f"{table}/")]]
    }


def _delta_table(lake: ExistingLake, table: str, settled: int | None) -> TableStatus:
    """Rows that replays have settled are not counted; None: nobody can tell how many of them are there."""
    try:
        actions = open_table(lake.storage, table).get_add_actions(flatten=True)
    except DeltaError:
        return TableStatus(rows=None, files=0, size_bytes=0)
    sizes, rows = actions["size_bytes"].to_pylist(), actions["num_records"].to_pylist()
    is_known = all(count is not None for count in rows)
    shown = sum(rows) - settled if is_known and settled is not None else None
    return TableStatus(rows=shown, files=len(sizes), size_bytes=sum(sizes))


def folder_size(folder: Path) -> tuple[int, int]:
    """Number of files below a folder and their bytes; what vanishes meanwhile is left out."""
    count = size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                size += os.stat(os.path.join(parent, name)).st_size
            except FileNotFoundError:
                continue
            count += 1
    return count, size


def _claims(lake: ExistingLake, state: LedgerState) -> ClaimsStatus:
    identity = claims_identity(lake.storage)
    disk_bytes = None
    if identity is not None and identity.kind == "rocksdb":
        own = Path(lake.storage.root) / STATE_FOLDER / "claims"
        folder = own if identity.identity == OWN_STORE else Path(identity.identity)
        is_here = folder.is_dir() and not (lake.storage.is_remote and identity.identity == OWN_STORE)
        disk_bytes = folder_size(folder)[1] if is_here else None
    return ClaimsStatus(
        kind=identity.kind if identity else None,
        identity=identity.identity if identity else None,
        generation=state.generation,
        disk_bytes=disk_bytes,
    )


def _lease(storage: Storage) -> tuple[Holder | None, bool]:
    """Who holds the lease, and whether that process is known to be dead. The lock itself is not touched."""
    content = storage.get(f"{STATE_FOLDER}/{HOLDER_NAME}")
    try:
        holder = None if content is None else msgspec.json.decode(content, type=Holder)
    except msgspec.DecodeError:
        holder = None
    if holder is None:
        return None, False
    if holder.host != socket.gethostname():
        return holder, False
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return holder, True
    except PermissionError:
        return holder, False
    return holder, False
