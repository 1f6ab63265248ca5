"""The monthly bill, item by item.

Pure. A month has 730 hours, a GB 2^30 bytes, as AWS bills them. First-tier prices: large volumes pay less.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from headgate.core.plan import figures
from headgate.core.plan.ask import MONTH_DAYS, MONTH_HOURS, MONTH_SECONDS, Ask, Compute
from headgate.core.plan.figures import FREE_RETENTION_S, GIB, SHORT_RETENTION_S
from headgate.core.plan.load import Load
from headgate.core.plan.prices import Prices
from headgate.core.plan.stored import ClaimSizes, Files, Storage, claim_requests_a_month

PUT_UNIT_BYTES = 25 * 1024  # of a record; Kinesis pricing page
STREAM_UNIT_BYTES = 1024  # to which a record of an on-demand stream is rounded up; the same
FIREHOSE_UNIT_BYTES = 5 * 1024  # to which a record of Firehose is rounded up; Firehose pricing page

#: What a bill does not hold.
NOT_INCLUDED = (
    "NAT gateways and interface endpoints of a VPC (endpoints for S3 and DynamoDB are free)",
    "a second node of Redis",
    "overwritten and deleted objects, which a versioned bucket keeps (14 days in the module `lake`)",
    "reading records of a stream again, and those older than 7 days",
    "keys of KMS and their requests",
    "queries (Athena scans), and transfer out of the region or between zones",
    "custom metrics, traces and the storage of logs",
    "the producers",
    "free tier, discounts, tax and support",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One line of a bill.

    Attributes:
        service: of AWS.
        what: is billed.
        quantity: a month, in single units.
        unit: the price's.
        price_usd: of one unit of the price.
        usd: a month.
    """

    service: str
    what: str
    quantity: float
    unit: str
    price_usd: float
    usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Everything that a bill is made from; of one lake."""

    load: Load
    claims: ClaimSizes
    files: Files
    storage: Storage
    nightly_hours: float


class _Till:
    """Makes items from a price list."""

    def __init__(self, prices: Prices, lakes: int) -> None:
        self._prices, self._lakes = prices, lakes

    def item(self, service: str, what: str, name: str, quantity: float) -> Item:
        price = self._prices.prices[name]
        count = quantity * self._lakes
        return Item(
            service=service, what=what, quantity=count, unit=price.unit, price_usd=price.usd, usd=price.of(count)
        )

    def node(self, sizes: ClaimSizes) -> Item:
        assert sizes.node is not None  # noqa: S101 - asked for where there is one
        hours = float(MONTH_HOURS * self._lakes * sizes.nodes)
        usd = sizes.node.usd_per_hour
        what = f"claims: {sizes.nodes:,} of {sizes.node.name}"
        return Item(service="ElastiCache", what=what, quantity=hours, unit="node-hour", price_usd=usd, usd=usd * hours)


def bill_of(ask: Ask, sizes: Sizes, prices: Prices) -> tuple[Item, ...]:
    """The items of a month, of all lakes together; those that cost nothing are left out.

    Args:
        ask: the volume.
        sizes: what it needs.
        prices: a price list.
    """
    till = _Till(prices, ask.lakes)
    items = [
        *_stream(ask, sizes.load, till),
        *_compute(ask, sizes.load, till),
        *_firehose(ask, sizes, till),
        *_claims(ask, sizes.claims, till),
        *_lake(sizes, till),
        *_nightly(ask, sizes.nightly_hours, till),
        *_watching(sizes.load, till),
    ]
    return tuple(item for item in items if item.usd > 0)


def _stream(ask: Ask, load: Load, till: _Till) -> Iterator[Item]:
    records = load.records_per_second * MONTH_SECONDS
    size = load.bytes_per_second * MONTH_SECONDS / GIB
    kinesis = "Kinesis"
    older = load.bytes_per_second * max(0.0, ask.retention_s - SHORT_RETENTION_S) / GIB
    long_kept = till.item(kinesis, "kept longer than 7 days", "kinesis_long_retention_gb_month", older)
    if not ask.has_provisioned_shards:
        rounded = records * ceil(ask.record_bytes / STREAM_UNIT_BYTES) * STREAM_UNIT_BYTES / GIB
        yield till.item(kinesis, "stream on demand", "kinesis_stream_hour", MONTH_HOURS)
        yield till.item(kinesis, "written, each record rounded up to 1 KB", "kinesis_in_gb", rounded)
        out = "kinesis_stream_fan_out_gb" if ask.has_fan_out else "kinesis_out_gb"
        yield till.item(kinesis, "read", out, size)
        extended = load.bytes_per_second * max(0.0, min(ask.retention_s, SHORT_RETENTION_S) - FREE_RETENTION_S) / GIB
        yield till.item(kinesis, "kept longer than a day", "kinesis_stream_retention_gb_month", extended)
        yield long_kept
        return
    hours = float(load.shards * MONTH_HOURS)
    units = records * ceil(ask.record_bytes / PUT_UNIT_BYTES)
    yield till.item(kinesis, f"shards: {load.shards:,}", "kinesis_shard_hour", hours)
    yield till.item(kinesis, "written, in units of 25 KB a record", "kinesis_put", units)
    if ask.retention_s > FREE_RETENTION_S:
        yield till.item(kinesis, "kept longer than a day", "kinesis_retention_shard_hour", hours)
    yield long_kept
    if ask.has_fan_out:
        yield till.item(kinesis, "enhanced fan-out, one consumer", "kinesis_fan_out_shard_hour", hours)
        yield till.item(kinesis, "enhanced fan-out, read", "kinesis_fan_out_gb", size)


def _compute(ask: Ask, load: Load, till: _Till) -> Iterator[Item]:
    if ask.facts.compute is Compute.SERVICE:
        yield from _task(ask, MONTH_HOURS, "consumer", till)
        return
    calls = load.invocations_per_second * MONTH_SECONDS
    seconds = calls * load.invocation_seconds * float(figures.FUNCTION_GB)
    yield till.item("Lambda", "requests", "lambda_requests", calls)
    yield till.item("Lambda", f"time, {ask.architecture}", f"lambda_gb_second_{ask.architecture}", seconds)


def _task(ask: Ask, hours: float, what: str, till: _Till) -> Iterator[Item]:
    cores, memory = float(figures.TASK_CPU), float(figures.TASK_GB)
    yield till.item("Fargate", f"{what}, cores", f"fargate_vcpu_hour_{ask.architecture}", hours * cores)
    yield till.item("Fargate", f"{what}, memory", f"fargate_gb_hour_{ask.architecture}", hours * memory)


def _firehose(ask: Ask, sizes: Sizes, till: _Till) -> Iterator[Item]:
    if ask.facts.compute is not Compute.FIREHOSE:
        return
    records = sizes.load.records_per_second * MONTH_SECONDS
    rounded = records * ceil(ask.record_bytes / FIREHOSE_UNIT_BYTES) * FIREHOSE_UNIT_BYTES / GIB
    size = sizes.load.bytes_per_second * MONTH_SECONDS / GIB
    yield till.item("Firehose", "taken in, each record rounded up to 5 KB", "firehose_gb", rounded)
    yield till.item("Firehose", "delivered by type and date", "firehose_partitioning_gb", size)
    objects = sizes.files.objects_delivered
    yield till.item("Firehose", "objects delivered", "firehose_partitioning_objects", objects)


def _claims(ask: Ask, sizes: ClaimSizes, till: _Till) -> Iterator[Item]:
    requests = claim_requests_a_month(ask, sizes)
    held = sizes.held_bytes / GIB
    if ask.claims == "dynamodb":
        yield till.item("DynamoDB", "claims: one write an event", "dynamodb_writes", requests)
        yield till.item("DynamoDB", "claims held (deleting by TTL is free)", "dynamodb_gb_month", held)
        yield till.item("DynamoDB", "claims: point-in-time recovery", "dynamodb_recovery_gb_month", held)
    elif ask.claims == "s3":
        yield till.item("S3", "claims: one PUT an event", "s3_puts", requests)
        yield till.item("S3", "claims: one GET a copy", "s3_gets", requests * float(figures.DUPLICATES))
        yield till.item("S3", "claims held", "s3_gb_month", held)
    elif ask.claims == "redis" and sizes.node is not None:
        yield till.node(sizes)
    elif ask.claims == "rocksdb":
        beyond = max(0.0, sizes.held_bytes - float(figures.FARGATE_FREE_DISK)) / GIB
        yield till.item("Fargate", "claims: disk beyond 20 GB", "fargate_disk_gb_hour", beyond * MONTH_HOURS)


def _lake(sizes: Sizes, till: _Till) -> Iterator[Item]:
    yield till.item("S3", "events kept", "s3_gb_month", sizes.storage.held / GIB)
    yield till.item("S3", "writing files, ledger and logs", "s3_puts", sizes.files.puts)
    yield till.item("S3", "reading them", "s3_gets", sizes.files.gets)


def _nightly(ask: Ask, hours: float, till: _Till) -> Iterator[Item]:
    yield from _task(ask, hours * MONTH_DAYS, "nightly job", till)


def _watching(load: Load, till: _Till) -> Iterator[Item]:
    batches = max(load.invocations_per_second, load.commits_per_second) * MONTH_SECONDS
    yield till.item("CloudWatch", "logs", "logs_gb", batches * float(figures.LOG_BYTES) / GIB)
    yield till.item("CloudWatch", "alarms", "alarm_month", float(figures.ALARMS))
    yield till.item("CloudWatch", "dashboard", "dashboard_month", 1)
