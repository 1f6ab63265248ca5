"""What cannot work, what only just works, and what a plan takes for granted.

Pure. A limit that is broken stays broken for a larger volume.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from headgate.core.plan import figures
from headgate.core.plan.ask import DAY_SECONDS, Ask, Compute
from headgate.core.plan.bill import FIREHOSE_UNIT_BYTES, Sizes
from headgate.core.plan.figures import GIB, NIGHT_HOURS, Figure
from headgate.core.plan.load import SINGLY
from headgate.core.plan.prices import Prices
from headgate.core.plan.stored import usable_bytes

FEW_EVENTS = 10  # in a file
MANY_FILES = 100_000  # a day, of a lake whose files cannot be joined; from here on a listing costs minutes


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A limit that is broken, or nearly so.

    Attributes:
        limit: its name.
        needed: by the volume.
        allowed: by the limit: the most, or the least where less was asked for.
        sentence: what it is, in words.
    """

    limit: str
    needed: float
    allowed: float
    sentence: str


def refusals_of(ask: Ask, sizes: Sizes, prices: Prices) -> tuple[Finding, ...]:
    """Why it cannot work; empty where it can.

    Args:
        ask: the volume.
        sizes: what it needs.
        prices: with the nodes that Redis may have.
    """
    return (
        *_settings(ask),
        *_record(ask),
        *_stream(ask, sizes),
        *_readers(ask, sizes),
        *_ledger(ask, sizes),
        *_claims(ask, sizes, prices),
        *_night(sizes),
    )


def _broken(limit: str, needed: float, allowed: Figure | float, sentence: str) -> Iterator[Finding]:
    if needed > float(allowed):
        yield Finding(limit=limit, needed=needed, allowed=float(allowed), sentence=sentence)


def _within(limit: str, needed: float, least: Figure, most: Figure, rule: str) -> Iterator[Finding]:
    """Names the bound that is broken: the least or the most."""
    if not float(least) <= needed <= float(most):
        bound = least if needed < float(least) else most
        yield Finding(limit=limit, needed=needed, allowed=float(bound), sentence=f"{rule}, not {span(needed)}")


def _settings(ask: Ask) -> Iterator[Finding]:
    compute = ask.facts.compute
    yield from _within("retention", ask.retention_s, figures.RETENTION_LEAST, figures.RETENTION_MOST,
                       "a stream keeps a record for 24 to 8,760 hours")  # fmt: skip
    yield from _broken("types", ask.types, ask.max_types, f"{ask.types:,} types; the lake takes {ask.max_types:,} and "
                       "rejects events of more ([lake] max_event_types)")  # fmt: skip
    if ask.claims == "rocksdb" and compute is not Compute.SERVICE:
        yield Finding(
            limit="one_process",
            needed=2,
            allowed=1,
            sentence="RocksDB serves one process, and functions are many: claims must be in Redis, DynamoDB or S3",
        )
    if compute is Compute.MAPPING:
        most = figures.MAPPING_WINDOW
        yield from _broken("flush", ask.flush_s, most, f"an event source mapping waits {most.value:g} s at most, not "
                           f"{ask.flush_s:g} s")  # fmt: skip
    if compute is Compute.FIREHOSE:
        least, longest = figures.FIREHOSE_LEAST, figures.FIREHOSE_MOST
        yield from _within("flush", ask.flush_s, least, longest,
                           f"Firehose delivers by partition every {least.value:g} to {longest.value:g} s")  # fmt: skip
        open_at_once = ask.types * float(figures.DATES)
        yield from _broken("partitions", open_at_once, figures.FIREHOSE_PARTITIONS, f"{ask.types:,} types at "
                           f"{float(figures.DATES):g} dates each "
                           f"are {open_at_once:,.0f} partitions at once; Firehose opens "
                           f"{figures.FIREHOSE_PARTITIONS.value:,} unless AWS raises it")  # fmt: skip


def _record(ask: Ask) -> Iterator[Finding]:
    is_firehose = ask.facts.compute is Compute.FIREHOSE
    most = figures.FIREHOSE_RECORD if is_firehose else figures.STREAM_RECORD
    where = "Firehose" if is_firehose else "the stream"
    yield from _broken("record", ask.record_bytes, most, f"a record of {ask.record_bytes:,} bytes is larger than the "
                       f"{most.value:,.0f} that {where} takes")  # fmt: skip


def _stream(ask: Ask, sizes: Sizes) -> Iterator[Finding]:
    load = sizes.load
    if ask.shards is not None and ask.has_provisioned_shards:
        yield from _broken("shards", load.shards_needed, ask.shards, f"{ask.shards:,} shards are too few: "
                           f"{load.shards_for_bytes:,} are needed for the bytes, {load.shards_for_records:,} for the "
                           f"records, {load.shards_for_function:,} so that one function a shard keeps up")  # fmt: skip


def consumer_limit(ask: Ask) -> float:
    """Events a second that one container takes.

    Args:
        ask: with the claim store, and how the producer packs.
    """
    if ask.claims in SINGLY:
        return float(figures.SINGLE_CLAIMS)
    packed = figures.CONSUMER_PACKED if ask.events_per_record >= figures.PACKED else figures.CONSUMER_PLAIN
    return float(packed[ask.claims])


def _readers(ask: Ask, sizes: Sizes) -> Iterator[Finding]:
    if ask.facts.compute is Compute.SERVICE:
        most = consumer_limit(ask)
        yield from _broken("consumer", ask.events_per_second, most, f"one container takes {most:,.0f} events/s with "
                           f"claims in {ask.claims}, not {ask.events_per_second:,.0f}, and a stream has one "
                           "container")  # fmt: skip
        return
    at_once = sizes.load.invocations_at_once
    yield from _broken("functions", at_once, figures.CONCURRENCY, f"{at_once:,.0f} functions at once; an account has "
                       f"{figures.CONCURRENCY.value:,} unless AWS raises it")  # fmt: skip


def _ledger(ask: Ask, sizes: Sizes) -> Iterator[Finding]:
    if ask.facts.compute is not Compute.MAPPING:
        return
    commits, most = sizes.load.commits_per_second, figures.COMMITS_MOST
    yield from _broken("commits", commits, most, f"{sizes.load.shards:,} shards make {commits:,.1f} batches/s, each a "
                       f"commit; one lake takes {most.value:g} commits/s")  # fmt: skip


def _claims(ask: Ask, sizes: Sizes, prices: Prices) -> Iterator[Finding]:
    held, rate = sizes.claims.held_bytes, ask.events_per_second
    ids = f"a window of {span(ask.window_s)} holds {sizes.claims.ids_in_window:,.0f} ids; with what the store keeps " \
          f"longer they take {held / GIB:,.1f} GB"  # fmt: skip
    if ask.claims == "redis":
        largest = max(prices.nodes.values(), key=usable_bytes)
        usable = usable_bytes(largest)
        yield from _broken("claims", held, usable, f"{ids}, and the largest node ({largest.name}) has room for "
                           f"{usable / GIB:,.1f} GB")  # fmt: skip
        yield from _broken("claims_rate", rate, figures.REDIS_CLAIMS, f"{rate:,.0f} ids/s; one Redis takes "
                           f"{figures.REDIS_CLAIMS.value:,}")  # fmt: skip
    if ask.claims == "rocksdb":
        yield from _broken("claims", held, figures.FARGATE_DISK, f"{ids}, and a Fargate task has "
                           f"{float(figures.FARGATE_DISK) / GIB:,.0f} GB of disk")  # fmt: skip
    if ask.claims == "dynamodb":
        yield from _broken("claims_rate", rate, figures.DYNAMODB_WRITES, f"{rate:,.0f} writes/s for claims; a table "
                           f"of DynamoDB takes {figures.DYNAMODB_WRITES.value:,} unless AWS raises it")  # fmt: skip
    if ask.claims == "s3":
        most = float(figures.S3_WRITES) * float(figures.S3_FOLDERS)
        yield from _broken("claims_rate", rate, most, f"{rate:,.0f} PUTs/s for claims; S3 takes {most:,.0f} over the "
                           "folders that they are spread over")  # fmt: skip


def _night(sizes: Sizes) -> Iterator[Finding]:
    hours = sizes.nightly_hours
    yield from _broken("nightly", hours, NIGHT_HOURS, f"the nightly job needs {hours:,.1f} hours for a day")


def warnings_of(ask: Ask, sizes: Sizes) -> tuple[str, ...]:
    """What works, and should be known.

    Args:
        ask: the volume.
        sizes: what it needs.
    """
    return tuple(_warnings(ask, sizes))


def _warnings(ask: Ask, sizes: Sizes) -> Iterator[str]:
    load, files = sizes.load, sizes.files
    seen = float(figures.COMMITS_SEEN)
    if ask.facts.compute is Compute.MAPPING and seen < load.commits_per_second <= float(figures.COMMITS_MOST):
        yield (f"{load.commits_per_second:,.1f} commits/s: {seen:g} were measured with 0.5 s at the 95th percentile, "
               f"{float(figures.COMMITS_MOST):g} only without a pause; take larger batches")  # fmt: skip
    if ask.format != "delta" and files.a_day_after_compaction > MANY_FILES:
        yield (f"{files.a_day_after_compaction:,.0f} files a day, and files of format {ask.format} are never joined: "
               "take delta, or larger batches")  # fmt: skip
    if ask.facts.compute is Compute.SERVICE and ask.events_per_second > consumer_limit(ask) / 2:
        yield "the container works at more than half of what was measured: it catches up slowly after a stop"
    if ask.facts.compute is Compute.SERVICE and ask.claims == "rocksdb":
        yield "a Fargate task has no disk that stays: at every start the claims are filled from the whole lake"
    if ask.facts.compute is Compute.FIREHOSE and ask.record_bytes * 2 < FIREHOSE_UNIT_BYTES:
        times = FIREHOSE_UNIT_BYTES // ask.record_bytes
        yield (f"Firehose bills each record of {ask.record_bytes:,} bytes as 5 KB: packed, {times} times as many cost "
               "the same (--events-per-record)")  # fmt: skip
    per_file = ask.events_per_second * DAY_SECONDS / files.a_day
    if per_file < FEW_EVENTS:
        yield f"a file holds {per_file:,.1f} events: longer batches make fewer files (--flush)"
    node = sizes.claims.node
    if node is not None and sizes.claims.nodes == 1 and sizes.claims.held_bytes * 2 > usable_bytes(node):
        yield f"claims fill more than half of {node.name}; after a restart of Redis they may need twice their room"
    if ask.claims == "dynamodb" and ask.events_per_second > float(figures.DYNAMODB_FRESH):
        yield f"a new table takes {figures.DYNAMODB_FRESH.value:,} writes/s at once and doubles within half an hour"
    if ask.claims == "s3" and ask.events_per_second > float(figures.S3_WRITES):
        yield "S3 splits a busy prefix while it refuses requests: the first hours are slow"
    if sizes.nightly_hours > NIGHT_HOURS / 4:
        yield f"the nightly job takes {sizes.nightly_hours:,.1f} hours: typed tables are that late"
    if ask.events_per_record == 1 and load.shards_for_records > 2 * load.shards_for_bytes:
        yield (f"records, not bytes, decide the {load.shards:,} shards: packed, {load.shards_for_bytes:,} would do "
               "(--events-per-record; an array, or an aggregate of the Kinesis Producer Library)")  # fmt: skip


def span(seconds: float) -> str:
    """A duration as the command line takes it: `7d`, `12h`, `90s`.

    Args:
        seconds: of it.
    """
    for unit, name in ((DAY_SECONDS, "d"), (3600, "h"), (60, "m")):
        if seconds >= unit and seconds % unit == 0:
            return f"{seconds / unit:g}{name}"
    return f"{seconds:g}s"
