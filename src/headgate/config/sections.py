"""The specification of every setting: type, default, limits and description.

Everything else is made from it: the parser, the sample file, `headgate config` and the reference page.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from headgate.config.analytics import Analytics
from headgate.config.compaction import MIB, Compaction
from headgate.config.duration import duration_us
from headgate.config.privacy import Privacy
from headgate.config.quality import Quality, Slo
from headgate.config.redis_uri import check_redis_uri
from headgate.config.streams import Firehose, Function, Kinesis
from headgate.config.telemetry import Log, Telemetry

LakeFormat = Literal["delta", "parquet", "json"]

NonEmpty = Annotated[str, Meta(min_length=1)]

#: Where claims may live; the adapter says more about each.
DEDUP_URIS = "rocksdb:PATH, redis://host:port/db, dynamodb://table, s3://bucket/prefix or memory:"
_DEDUP_URI = re.compile(r"rocksdb:.+|rediss?://.+|dynamodb://.+|s3://.+|memory:")
IDENTIFIER = r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"


class Lake(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The lake; format and limits are fixed when it is made."""

    format: Annotated[LakeFormat, Meta(description="Table format.")] = "delta"
    max_event_types: Annotated[
        int, Meta(ge=1, description="Event types that the lake takes; events of more are rejected.")
    ] = 1000
    json_compression: Annotated[
        Literal["gzip", "none"], Meta(description="Compression of the files of the json format.")
    ] = "gzip"
    uri: Annotated[
        NonEmpty | None,
        Meta(description="The lake that functions write to; commands name theirs.", examples=["s3://bucket/prefix"]),
    ] = None


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where records come from."""

    name: Annotated[
        NonEmpty | None,
        Meta(description="Name in positions; by default the absolute path or the URI.", examples=["web"]),
    ] = None
    start: Annotated[
        str, Meta(description="earliest, latest or an ISO 8601 time; counts only where the lake has no position.")
    ] = "earliest"
    poll_seconds: Annotated[
        float, Meta(gt=0, le=3600, description="Seconds between two looks for new files or records.")
    ] = 1.0
    retention: Annotated[
        str, Meta(description="How long the source keeps a record at most; shared claims live for the window and this.")
    ] = "7d"
    accept_gap: Annotated[
        bool, Meta(description="Go on where records of a stream expired unread; else that stops the run.")
    ] = False

    @property
    def retention_us(self) -> int:
        """`retention` in microseconds."""
        return duration_us(self.retention)

    def __post_init__(self) -> None:
        """Refuse a start that is neither a word nor an instant, and a text that is no duration."""
        duration_us(self.retention)
        if self.start in ("earliest", "latest"):
            return
        try:
            has_offset = datetime.fromisoformat(self.start).tzinfo is not None
        except ValueError:
            has_offset = False
        if not has_offset:
            raise ValueError("Expected earliest, latest or a time with an offset such as 2026-11-20T00:00:00Z")


class Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a batch is full; the first limit that is reached cuts it."""

    max_events: Annotated[int, Meta(ge=1, le=10_000_000, description="Events in a batch.")] = 250_000
    max_bytes: Annotated[int, Meta(ge=1, le=4096 * MIB, description="Bytes of records in a batch.")] = 128 * MIB
    flush_seconds: Annotated[
        float, Meta(gt=0, le=86_400, description="Seconds after which a batch is committed though not full.")
    ] = 5.0


class Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where an event keeps its three common fields; dots lead into nested objects."""

    id: Annotated[str, Meta(min_length=1, description="Path of the event's id.")] = "event_uuid"
    name: Annotated[str, Meta(min_length=1, description="Path of the event's name.")] = "event_name"
    created_at: Annotated[str, Meta(min_length=1, description="Path of the time of creation.")] = "created_at"


class Validate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Limits beyond which an event or record is rejected."""

    max_future: Annotated[
        str, Meta(description="How long after its arrival an event may claim to be created: 90s, 15m, 12h, 1d.")
    ] = "1d"
    max_event_bytes: Annotated[int, Meta(ge=1, le=1024 * MIB, description="Bytes of one event.")] = 10 * MIB
    max_record_bytes: Annotated[int, Meta(ge=1, le=1024 * MIB, description="Bytes of one record, inflated.")] = 64 * MIB

    def __post_init__(self) -> None:
        """Refuse a text that is no duration."""
        duration_us(self.max_future)

    @property
    def max_future_us(self) -> int:
        """`max_future` in microseconds."""
        return duration_us(self.max_future)


class Dedup(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who saw an id first, and for how long it is remembered."""

    store: Annotated[
        str | None,
        Meta(
            description=f"Claim store: {DEDUP_URIS}; by default RocksDB in the lake's own state folder.",
            examples=["rocksdb:/var/lib/headgate/claims"],
        ),
    ] = None
    window: Annotated[
        str, Meta(description="How much later than its original a copy is still a duplicate: 12h, 7d.")
    ] = "7d"

    def __post_init__(self) -> None:
        """Refuse an unknown kind of store, a text that is no duration, and a window of nothing."""
        if self.store is not None and not _DEDUP_URI.fullmatch(self.store):
            raise ValueError(f"Expected {DEDUP_URIS}")
        if self.store is not None and self.store.startswith("redis"):
            check_redis_uri(self.store)
        if duration_us(self.window) <= 0:
            raise ValueError("Expected a window longer than 0s")

    @property
    def window_us(self) -> int:
        """`window` in microseconds."""
        return duration_us(self.window)


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A rule of your own: an event that fails `check` is rejected as `rule:<name>`."""

    name: Annotated[str, Meta(pattern=IDENTIFIER, description="Letters, digits and underscores; ends up in `reason`.")]
    check: Annotated[str, Meta(min_length=1, description="SQL predicate that a good event fulfils.")]
    when: Annotated[NonEmpty | None, Meta(description="SQL predicate: which events are checked; by default all.")] = (
        None
    )


class Standby(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a consumer does that finds another one at work on its shard."""

    enabled: Annotated[bool, Meta(description="Wait and take over; false: exit 1.")] = True
    takeover_seconds: Annotated[
        float, Meta(gt=0, le=86_400, description="Seconds without progress after which it takes over.")
    ] = 30.0


class Storage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """S3, or a storage that speaks like it, for sources, lakes and claims; credentials come from the SDK's chain."""

    region: Annotated[NonEmpty | None, Meta(description="Region of the bucket.", examples=["eu-west-1"])] = None
    endpoint_url: Annotated[
        NonEmpty | None, Meta(description="Another service than AWS.", examples=["https://minio.example.com"])
    ] = None
    allow_http: Annotated[bool, Meta(description="Without TLS, for an emulator on the same machine.")] = False
    encryption: Annotated[
        Literal["AES256", "aws:kms"] | None,
        Meta(
            description="Server-side encryption of every write, AES256 or aws:kms; by default the bucket's own.",
            examples=["aws:kms"],
        ),
    ] = None
    kms_key_id: Annotated[
        NonEmpty | None, Meta(description="Key of aws:kms; by default the account's own.", examples=["alias/lake"])
    ] = None


class Aws(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Kinesis and DynamoDB; credentials come from the SDK's own chain."""

    region: Annotated[NonEmpty | None, Meta(description="Region.", examples=["eu-west-1"])] = None
    endpoint_url: Annotated[
        NonEmpty | None, Meta(description="Another server than AWS's.", examples=["http://127.0.0.1:4568"])
    ] = None


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All settings."""

    lake: Lake = Lake()
    source: Source = Source()
    batch: Batch = Batch()
    envelope: Envelope = Envelope()
    validate: Validate = Validate()
    privacy: Privacy = Privacy()
    dedup: Dedup = Dedup()
    standby: Standby = Standby()
    storage: Storage = Storage()
    aws: Aws = Aws()
    kinesis: Kinesis = Kinesis()
    function: Function = Function()
    compaction: Compaction = Compaction()
    firehose: Firehose = Firehose()
    analytics: Analytics = Analytics()
    quality: Quality = Quality()
    telemetry: Telemetry = Telemetry()
    log: Log = Log()
    rules: tuple[Rule, ...] = ()


#: The sections with one value a key, in the order in which they are shown; `[[rules]]` is apart. `a.b` lies in `a`.
SECTIONS: dict[str, type[msgspec.Struct]] = {
    "lake": Lake,
    "source": Source,
    "batch": Batch,
    "envelope": Envelope,
    "validate": Validate,
    "privacy": Privacy,
    "dedup": Dedup,
    "standby": Standby,
    "storage": Storage,
    "aws": Aws,
    "kinesis": Kinesis,
    "function": Function,
    "compaction": Compaction,
    "firehose": Firehose,
    "analytics": Analytics,
    "quality": Quality,
    "quality.slo": Slo,
    "telemetry": Telemetry,
    "log": Log,
}
