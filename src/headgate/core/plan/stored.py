"""What a volume leaves behind: claims, files, bytes, requests and the hours of the nightly job.

Pure. Of one lake.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, expm1, log1p

from headgate.core.plan import figures
from headgate.core.plan.ask import DAY_SECONDS, MONTH_DAYS, MONTH_SECONDS, Ask, Compute
from headgate.core.plan.load import SINGLY, Load
from headgate.core.plan.prices import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimSizes:
    """What the claim store holds and takes.

    Attributes:
        ids_in_window: ids that may be asked for.
        ids_held: ids that the store holds: those of the window and of the stream's retention (a day for RocksDB,
            which drops claims by the day).
        bytes_per_id: in the store.
        held_bytes: all of them.
        requests_per_second: ids claimed.
        node: of Redis: the smallest that holds them, or the largest; None for the other stores.
        nodes: so many of them are as large as the claims; Headgate uses one.
    """

    ids_in_window: float
    ids_held: float
    bytes_per_id: float
    held_bytes: float
    requests_per_second: float
    node: Node | None
    nodes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Files of `events`, and the requests that they take.

    Attributes:
        a_day: written by commits (or delivered by Firehose).
        a_day_after_compaction: of these, when `compact` has joined them; the same where the format cannot be joined.
        puts: PUT, COPY, POST and LIST requests a month.
        gets: GET requests a month.
        objects_delivered: by Firehose, a month.
    """

    a_day: float
    a_day_after_compaction: float
    puts: float
    gets: float
    objects_delivered: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Bytes on S3.

    Attributes:
        a_month: bytes that a month adds: `events`, typed tables, and what Firehose delivers.
        held: bytes that are held at a time, as long as events are kept.
    """

    a_month: float
    held: float


def claims_of(ask: Ask, nodes: Mapping[str, Node]) -> ClaimSizes:
    """What the claim store holds.

    Args:
        ask: the volume.
        nodes: the nodes of Redis, by name.
    """
    unique = ask.events_per_second * (1 - float(figures.DUPLICATES))
    more_s = DAY_SECONDS if ask.claims == "rocksdb" else ask.retention_s
    ids = unique * (ask.window_s + more_s)
    each = float(figures.CLAIM_BYTES[ask.claims])
    held = ids * each
    node = _node(held, nodes) if ask.claims == "redis" else None
    return ClaimSizes(
        ids_in_window=ask.events_per_second * ask.window_s,
        ids_held=ids,
        bytes_per_id=each,
        held_bytes=held,
        requests_per_second=ask.events_per_second,
        node=node,
        nodes=ceil(held / usable_bytes(node)) if node else 0,
    )


def usable_bytes(node: Node) -> float:
    """Bytes of a node's memory that claims may use.

    Args:
        node: of Redis.
    """
    return node.memory_bytes * float(figures.REDIS_USABLE)


def _node(held: float, nodes: Mapping[str, Node]) -> Node:
    """The cheapest that holds so many bytes, or the largest."""
    fitting = [node for node in nodes.values() if usable_bytes(node) >= held]
    if fitting:
        return min(fitting, key=lambda node: node.usd_per_hour)
    return max(nodes.values(), key=usable_bytes)


def touched(types: float, events: float) -> float:
    """Types that so many events are of, on average, where all are equally frequent."""
    return -types * expm1(events * log1p(-1 / types)) if types > 1 else 1.0  # exact for many types, too


def files_of(ask: Ask, load: Load) -> Files:
    """Files of `events` and the requests of the whole lake.

    Args:
        ask: the volume.
        load: what its commits carry.
    """
    is_firehose = ask.facts.compute is Compute.FIREHOSE
    commits = load.commits_per_second * DAY_SECONDS
    in_lake = commits * touched(ask.types, ask.events_per_second / load.commits_per_second)
    delivered = 0.0
    if is_firehose:
        in_interval = ask.events_per_second * ask.flush_s
        intervals = min(DAY_SECONDS / ask.flush_s, ask.records_per_second * DAY_SECONDS)
        delivered = intervals * touched(ask.types, max(1.0, in_interval))
    a_day = delivered if is_firehose else in_lake
    joined = _joined(ask, in_lake)
    puts, gets = _requests(ask, load, in_lake, joined, delivered)
    return Files(
        a_day=a_day,
        a_day_after_compaction=joined,
        puts=puts * MONTH_DAYS,
        gets=gets * MONTH_DAYS,
        objects_delivered=delivered * MONTH_DAYS,
    )


def _joined(ask: Ask, in_lake: float) -> float:
    if ask.format != "delta":
        return in_lake
    stored = ask.events_per_second * DAY_SECONDS * ask.event_bytes * float(figures.STORED[ask.format])
    kinds = touched(ask.types, ask.events_per_second * DAY_SECONDS)
    return min(in_lake, max(kinds, stored / figures.TARGET_FILE_BYTES))


def _requests(ask: Ask, load: Load, in_lake: float, joined: float, delivered: float) -> tuple[float, float]:
    """PUTs and GETs a day."""
    commits = load.commits_per_second * DAY_SECONDS
    publications = min(commits, DAY_SECONDS / figures.PUBLISH_SECONDS)
    written = in_lake + commits * 3 * float(figures.OTHER_FILES)
    # Delta shows files by an entry in the log of each of four tables; the other formats by a COPY of each file.
    shown = 4 * publications if ask.format == "delta" else written
    puts = written + shown + commits + delivered
    gets = commits * float(figures.COMMIT_READS) + delivered
    if ask.facts.compute is Compute.FIREHOSE:
        puts += load.invocations_per_second * DAY_SECONDS * float(figures.OTHER_FILES)  # duplicates and rejects, kept
    puts, gets = puts + ask.types, gets + in_lake  # typed tables
    return (puts + joined, gets + in_lake) if ask.format == "delta" else (puts, gets)


def storage_of(ask: Ask) -> Storage:
    """Bytes on S3.

    Args:
        ask: the volume.
    """
    of_events = ask.events_per_second * ask.event_bytes
    rate = of_events * (float(figures.STORED[ask.format]) + float(figures.TYPED))
    if ask.facts.compute is Compute.FIREHOSE:
        rate += of_events * float(figures.STORED["json"]) * (2 if ask.facts.keeps_raw else 1)
    replaced = 7 * DAY_SECONDS if ask.format == "delta" else 0  # [compaction] retention
    held = rate * ask.keep_s + of_events * float(figures.STORED[ask.format]) * replaced
    return Storage(a_month=rate * MONTH_SECONDS, held=held)


def nightly_hours(ask: Ask, files: Files) -> float:
    """Hours that the nightly job works, a day.

    Args:
        ask: the volume.
        files: those that it reads and joins.
    """
    events = ask.events_per_second * DAY_SECONDS
    seconds = events / float(figures.BUILD_EVENTS)
    if ask.facts.compute is Compute.FIREHOSE:
        seconds += events / float(figures.FILING_EVENTS)
    elif ask.format == "delta":
        seconds += files.a_day / float(figures.COMPACT_FILES)
    return max(seconds, figures.TASK_LEAST_SECONDS) / 3600


def claim_requests_a_month(ask: Ask, sizes: ClaimSizes) -> float:
    """Requests that are billed by the claim; 0 where they are not.

    Args:
        ask: the volume.
        sizes: what its claims are.
    """
    return sizes.requests_per_second * MONTH_SECONDS if ask.claims in SINGLY else 0.0
