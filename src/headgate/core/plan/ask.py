"""What a plan is asked for: a volume, one of the designs, and the settings that decide what it costs.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

MONTH_HOURS = 730  # as AWS's own calculator counts a month
DAY_SECONDS = 86_400
MONTH_DAYS = MONTH_HOURS / 24
MONTH_SECONDS = MONTH_HOURS * 3600

ClaimKind = Literal["redis", "dynamodb", "s3", "rocksdb"]
LakeKind = Literal["delta", "parquet", "json"]


class Compute(StrEnum):
    """What takes the events from the stream."""

    MAPPING = "Lambda, by an event source mapping"
    FIREHOSE = "Firehose with a Lambda transformation"
    SERVICE = "a container that reads all shards"


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """A reference design, and what it takes where nothing else is asked for.

    Each has a job at midnight that files what Firehose delivered, builds typed tables, and compacts a delta lake.

    Attributes:
        title: its path in a few words.
        compute: who takes the events.
        is_on_demand: the stream's capacity mode; else provisioned shards.
        claims: where claims live.
        format: of the lake.
        flush_s: seconds between two batches, or deliveries of Firehose.
        keeps_raw: Firehose keeps every record as it came, too.
    """

    title: str
    compute: Compute
    is_on_demand: bool
    claims: ClaimKind
    format: LakeKind
    flush_s: float
    keeps_raw: bool


DESIGNS: dict[str, Design] = {
    "A": Design(
        title="Kinesis, Lambda by batch size or time, Redis, Parquet",
        compute=Compute.MAPPING,
        is_on_demand=False,
        claims="redis",
        format="parquet",
        flush_s=60.0,
        keeps_raw=False,
    ),
    "B": Design(
        title="Kinesis, Firehose with Lambda, raw layer, typed Delta tables",
        compute=Compute.FIREHOSE,
        is_on_demand=False,
        claims="dynamodb",
        format="delta",
        flush_s=900.0,
        keeps_raw=True,
    ),
    "C": Design(
        title="Kinesis, Firehose with Lambda, JSON by type and date",
        compute=Compute.FIREHOSE,
        is_on_demand=False,
        claims="dynamodb",
        format="json",
        flush_s=900.0,
        keeps_raw=False,
    ),
    "D": Design(
        title="Kinesis, Firehose with containerised Lambda, job at midnight, Parquet",
        compute=Compute.FIREHOSE,
        is_on_demand=False,
        claims="dynamodb",
        format="parquet",
        flush_s=900.0,
        keeps_raw=False,
    ),
    "E": Design(
        title="Kinesis on demand, Lambda, ids on S3, JSON by type",
        compute=Compute.MAPPING,
        is_on_demand=True,
        claims="s3",
        format="json",
        flush_s=60.0,
        keeps_raw=False,
    ),
    "container": Design(
        title="Kinesis, one container, RocksDB, Delta",
        compute=Compute.SERVICE,
        is_on_demand=False,
        claims="rocksdb",
        format="delta",
        flush_s=60.0,
        keeps_raw=False,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A volume and the settings that decide what it needs.

    Attributes:
        design: a key of DESIGNS.
        events_per_hour: of every hour; give the busiest.
        event_bytes: of one event, as JSON.
        events_per_record: events that the producer packs into one record of the stream.
        types: event types, taken as equally frequent.
        max_types: that the lake takes: `[lake] max_event_types`.
        window_s: how long an id is remembered, seconds.
        retention_s: how long the stream keeps a record, seconds.
        flush_s: seconds between two batches of a consumer, of a shard, or of a delivery stream.
        keep_s: how long stored events are kept, for the bill of storage, seconds.
        shards: of a provisioned stream; None for as many as are needed.
        claims: where claims live.
        format: of the lake.
        is_on_demand: the stream's capacity mode; None for the design's.
        has_fan_out: the consumer has a throughput of its own (enhanced fan-out).
        architecture: of functions and containers.
        lakes: the stream is split by id over so many streams, lakes and claim stores, each of its own.
    """

    design: str
    events_per_hour: float
    claims: ClaimKind
    format: LakeKind
    event_bytes: int = 300
    events_per_record: int = 1
    types: int = 100
    max_types: int = 1_000
    window_s: float = 7 * DAY_SECONDS
    retention_s: float = DAY_SECONDS
    flush_s: float = 60.0
    keep_s: float = 30 * DAY_SECONDS
    shards: int | None = None
    is_on_demand: bool | None = None
    has_fan_out: bool = False
    architecture: Literal["arm64", "x86_64"] = "x86_64"
    lakes: int = 1

    @property
    def facts(self) -> Design:
        """The design asked for."""
        return DESIGNS[self.design]

    @property
    def has_provisioned_shards(self) -> bool:
        """The stream is paid by the shard; else by volume."""
        return not (self.facts.is_on_demand if self.is_on_demand is None else self.is_on_demand)

    @property
    def events_per_second(self) -> float:
        """Of one lake."""
        return self.events_per_hour / 3600 / self.lakes

    @property
    def record_bytes(self) -> int:
        """Of one record of the stream."""
        return self.event_bytes * self.events_per_record

    @property
    def records_per_second(self) -> float:
        """Of one lake's stream."""
        return self.events_per_second / self.events_per_record

    def changed(self, **changes: object) -> Ask:
        """The same with other settings."""
        return replace(self, **changes)  # type: ignore[arg-type]
