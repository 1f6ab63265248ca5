"""The figures that a plan is made with: what Headgate was measured to do, what AWS allows, and what is assumed.

Pure. A figure from docs/benchmarks.md names the benchmark that repeats it. Machines of the measurements had 2 slow
x86-64 cores (Xeon at 2.5 GHz).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MIB = 1 << 20  # bytes
GIB = 1 << 30  # bytes; AWS bills a "GB" as so many

Kind = Literal["measured", "limit", "assumed"]


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its unit, whether it was measured, and where it comes from."""

    name: str
    value: float
    unit: str
    kind: Kind
    source: str

    def __float__(self) -> float:
        """The number alone."""
        return float(self.value)


BENCH = "docs/benchmarks.md"
_AWS = "https://docs.aws.amazon.com"
_FORMATS = f"{BENCH}, benchmarks/formats.py"
_CLAIMS = f"{BENCH}, benchmarks/claims.py"
_COMMIT = f"{BENCH}, make bench-commit"
_STREAM = f"{BENCH}, make bench-stream"
_SHARD = f"{_AWS}/streams/latest/dev/service-sizes-and-limits.html"
_FIREHOSE = f"{_AWS}/firehose/latest/dev/limits.html"
_MAPPING = f"{_AWS}/lambda/latest/dg/with-kinesis.html"
_LAMBDA = f"{_AWS}/lambda/latest/dg/gettingstarted-limits.html"
_DISK = f"{_AWS}/AmazonECS/latest/developerguide/fargate-task-storage.html"
_RETENTION = f"{_AWS}/streams/latest/dev/kinesis-extended-retention.html"
_TABLES = f"{_AWS}/amazondynamodb/latest/developerguide/ServiceQuotas.html"
_PREFIXES = f"{_AWS}/AmazonS3/latest/userguide/optimizing-performance.html"
_PARTITIONING = f"{_AWS}/firehose/latest/dev/dynamic-partitioning.html"
_MODULES = "as the modules `ingest-service` and `nightly-job` set it"

# What Headgate was measured to do.
CONSUMER_PLAIN = {
    "rocksdb": Figure("events one container takes, one a record", 80_090, "a second", "measured", _STREAM),
    "redis": Figure("events one container takes, one a record", 76_705, "a second", "measured", _STREAM),
}
CONSUMER_PACKED = {
    "rocksdb": Figure("events one container takes, 20 a record", 106_754, "a second", "measured", _STREAM),
    "redis": Figure("events one container takes, 20 a record", 80_548, "a second", "measured", _STREAM),
}
PACKED = 20  # events in a record, at which CONSUMER_PACKED was measured
SINGLE_CLAIMS = Figure("ids one process claims in DynamoDB or S3", 1_000, "a second", "measured", _CLAIMS)
REDIS_CLAIMS = Figure("new ids one Redis takes", 186_000, "a second", "measured", _CLAIMS)
CLAIM_BYTES = {
    "redis": Figure("memory of an id in Redis", 205, "bytes", "measured", _CLAIMS),
    "rocksdb": Figure("disk of an id in RocksDB", 130, "bytes", "measured", f"{_CLAIMS}: 2.6 GB for 20,000,000"),
    "dynamodb": Figure(
        "storage of an id in DynamoDB",
        270,
        "bytes",
        "assumed",
        "item of 170 bytes and the 100 that DynamoDB adds to each",
    ),
    "s3": Figure("object of an id on S3", 48, "bytes", "measured", "src/headgate/claims/s3.py"),
}
COMMITS_SEEN = Figure("commits that 50 functions made into one lake as asked for", 5.0, "a second", "measured", _COMMIT)
COMMITS_MOST = Figure(
    "commits that 50 functions made into one lake without a pause", 10.0, "a second", "measured", _COMMIT
)
INVOCATION_SECONDS = Figure("an invocation of a small batch, with its commit", 0.34, "seconds", "measured", _COMMIT)
COMMIT_READS = Figure(
    "requests of a commit that write nothing", 19, "requests", "measured", f"{_COMMIT}: 24, of which 5 write"
)
EVENT_SECONDS = Figure(
    "more for each event of a batch", 0.0001, "seconds", "measured", f"{BENCH}: 10 records 0.1 s, 10,000 records 1.1 s"
)
BUILD_EVENTS = Figure("events that `build` types", 147_600, "a second", "measured", f"{BENCH}, make bench-build")
COMPACT_FILES = Figure(
    "small files that `compact` joins", 460, "a second", "measured", f"{BENCH}, make bench-compact: 40,000 in 87 s"
)
STORED = {
    "delta": Figure("bytes stored of a byte of event, delta", 0.274, "of it", "measured", f"{_FORMATS}: 88.0 of 321"),
    "parquet": Figure(
        "bytes stored of a byte of event, parquet", 0.274, "of it", "measured", f"{_FORMATS}: 88.0 of 321"
    ),
    "json": Figure("bytes stored of a byte of event, json", 0.268, "of it", "measured", f"{_FORMATS}: 86.0 of 321"),
}
TYPED = Figure("bytes of typed tables of a byte of event", 0.171, "of it", "measured", f"{_FORMATS}: 54.8 of 321")
RECORD_OVERHEAD = Figure(
    "what Lambda's JSON adds to a record in base64", 222, "bytes", "measured", f"{BENCH}: 10,000 records are 6.5 MB"
)

# What AWS allows.
SHARD_BYTES = Figure("bytes a shard takes", 1_000_000, "a second", "limit", _SHARD)
SHARD_RECORDS = Figure("records a shard takes", 1_000, "a second", "limit", _SHARD)
ON_DEMAND_SHARDS = Figure("shards that a stream on demand begins with", 4, "shards", "limit", _SHARD)
STREAM_RECORD = Figure("a record of a stream", MIB, "bytes", "limit", _SHARD)
FIREHOSE_RECORD = Figure("a record of Firehose", 1000 * 1024, "bytes", "limit", _FIREHOSE)
RETENTION_LEAST = Figure("least retention of a stream", 86_400, "seconds", "limit", _RETENTION)
RETENTION_MOST = Figure("longest retention of a stream", 8_760 * 3_600, "seconds", "limit", _RETENTION)
BATCH_RECORDS = Figure("records of a function's batch", 10_000, "records", "limit", _MAPPING)
BATCH_PAYLOAD = Figure("bytes handed to a function", 6_000_000, "bytes", "limit", _LAMBDA)
MAPPING_WINDOW = Figure("window of an event source mapping", 300, "seconds", "limit", _MAPPING)
CONCURRENCY = Figure(
    "functions at once, unless AWS raises it",
    1_000,
    "invocations",
    "limit",
    _LAMBDA,
)
FIREHOSE_LEAST = Figure(
    "least interval with dynamic partitioning",
    60,
    "seconds",
    "limit",
    _PARTITIONING,
)
FIREHOSE_MOST = Figure("longest interval of Firehose", 900, "seconds", "limit", _FIREHOSE)
FIREHOSE_PARTITIONS = Figure(
    "partitions open at once, unless AWS raises it",
    500,
    "partitions",
    "limit",
    _FIREHOSE,
)
DYNAMODB_WRITES = Figure(
    "writes of a table, unless AWS raises it",
    40_000,
    "a second",
    "limit",
    _TABLES,
)
DYNAMODB_FRESH = Figure(
    "writes that a new table takes at once",
    4_000,
    "a second",
    "limit",
    "https://repost.aws/knowledge-center/on-demand-table-throttling-dynamodb",
)
S3_WRITES = Figure(
    "writes that S3 takes before it splits a prefix",
    3_500,
    "a second",
    "limit",
    _PREFIXES,
)
S3_FOLDERS = Figure(
    "folders over which claims on S3 are spread", 256, "folders", "measured", "src/headgate/claims/s3.py"
)
FARGATE_DISK = Figure(
    "disk of a Fargate task",
    200 * GIB,
    "bytes",
    "limit",
    _DISK,
)
FARGATE_FREE_DISK = Figure(
    "of it in the price of the task",
    20 * GIB,
    "bytes",
    "limit",
    _DISK,
)
FREE_RETENTION_S = 86_400  # seconds that a stream keeps records for without a further price
SHORT_RETENTION_S = 7 * 86_400  # seconds of extended retention, free time included; what is older has another price

# What is assumed, because nobody measured it.
REDIS_USABLE = Figure(
    "memory of a node that keys may use", 0.75, "of it", "assumed", "ElastiCache reserves a quarter by default"
)
FUNCTION_GB = Figure(
    "memory of a function, which is as fast as the measured machine",
    2,
    "GB",
    "assumed",
    "a little more than brings one whole core",
)
TRANSFORM_SECONDS = Figure(
    "seconds for which Firehose collects records for its function",
    61,
    "seconds",
    "assumed",
    "as the module `ingest-firehose` sets it",
)
FIREHOSE_BUFFER = Figure(
    "bytes that Firehose hands to its function", 1_000_000, "bytes", "assumed", "its default buffering hint for Lambda"
)
DUPLICATES = Figure("events that are copies", 0.05, "of all", "assumed", "as the generator makes them")
OTHER_FILES = Figure("files of a commit in each other table", 1, "files", "assumed", "a batch has copies and rejects")
DATES = Figure(
    "dates of a type that are open at once",
    4,
    "dates",
    "assumed",
    "today and three days of late events: `headgate generate --rate 278` opens 402 partitions within 900 s",
)
LOG_BYTES = Figure("log of a batch", 1_500, "bytes", "assumed", "one line, and Lambda's own three")
ALARMS = Figure("alarms", 12, "alarms", "assumed", "about those of the module `observability`")
TASK_CPU = Figure(
    "cores of a container or of the nightly job",
    2,
    "vCPU",
    "assumed",
    _MODULES,
)
TASK_GB = Figure(
    "memory of a container or of the nightly job",
    8,
    "GB",
    "assumed",
    "as the modules `ingest-service` and `nightly-job` set it",
)
FILING_EVENTS = Figure(
    "events that filing takes", 80_090, "a second", "assumed", "as the consumer, of which it does the same work"
)
TASK_LEAST_SECONDS = 60.0  # seconds that Fargate bills of a task at least; its pricing page
NIGHT_HOURS = 24.0  # a nightly job must end before the next one begins
PUBLISH_SECONDS = 10.0  # seconds; default of [function] publish_seconds
BATCH_EVENTS = 250_000  # default of [batch] max_events
BATCH_BYTES = 128 * MIB  # default of [batch] max_bytes
TARGET_FILE_BYTES = 128 * MIB  # default of [compaction] target_file_bytes
FILING_BYTES = 128 * MIB  # bytes of lines; src/headgate/jobs/filing.py
