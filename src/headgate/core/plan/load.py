"""What a volume is in bytes, records, shards, invocations and commits.

Pure. All rates are of one lake, a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from headgate.core.plan import figures
from headgate.core.plan.ask import Ask, Compute

SINGLY = ("dynamodb", "s3")  # stores that take one request an id


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What the stream and its readers have to carry.

    Attributes:
        bytes_per_second: of events.
        records_per_second: of the stream.
        shards: as asked for, or as many as are needed; of a stream on demand what AWS is taken to choose.
        shards_needed: the most of the next three, at least 1, on demand 4.
        shards_for_bytes: by what a shard takes.
        shards_for_records: by the records that a shard takes.
        shards_for_function: so that the functions, one a shard at a time, keep up; 0 for a container.
        batch_events: events that an invocation or a commit of a container carries, on average.
        invocations_per_second: of the function; 0 for a container.
        invocation_seconds: how long one takes, on average; 0 for a container.
        commits_per_second: to the ledger.
    """

    bytes_per_second: float
    records_per_second: float
    shards: int
    shards_needed: int
    shards_for_bytes: int
    shards_for_records: int
    shards_for_function: int
    batch_events: float
    invocations_per_second: float
    invocation_seconds: float
    commits_per_second: float

    @property
    def invocations_at_once(self) -> float:
        """Functions at work, on average."""
        return self.invocations_per_second * self.invocation_seconds


def event_seconds(ask: Ask) -> float:
    """How long a function needs for one event more."""
    return float(figures.EVENT_SECONDS) + (1 / float(figures.SINGLE_CLAIMS) if ask.claims in SINGLY else 0.0)


def most_records(ask: Ask) -> int:
    """The most records that one invocation carries."""
    if ask.facts.compute is Compute.FIREHOSE:
        return max(1, int(float(figures.FIREHOSE_BUFFER) / ask.record_bytes))
    encoded = 4 * ceil(ask.record_bytes / 3) + float(figures.RECORD_OVERHEAD)
    return max(1, min(int(float(figures.BATCH_RECORDS)), int(float(figures.BATCH_PAYLOAD) / encoded)))


def load_of(ask: Ask) -> Load:
    """What the stream and its readers carry.

    Args:
        ask: the volume.
    """
    events, records = ask.events_per_second, ask.records_per_second
    for_bytes = ceil(events * ask.event_bytes / float(figures.SHARD_BYTES))
    for_records = ceil(records / float(figures.SHARD_RECORDS))
    is_service = ask.facts.compute is Compute.SERVICE
    batch = most_records(ask)
    seconds = records / batch * float(figures.INVOCATION_SECONDS) + events * event_seconds(ask)
    for_function = 0 if is_service else ceil(seconds)
    least = 1 if ask.has_provisioned_shards else int(float(figures.ON_DEMAND_SHARDS))
    needed = max(least, for_bytes, for_records, for_function)
    shards = (ask.shards if ask.has_provisioned_shards else None) or needed
    # A batch goes when it is full, or `flush` seconds after its first record: never more often than there are records.
    invocations = 0.0 if is_service else min(records, max(records / batch, shards / _wait(ask)))
    taking = float(figures.INVOCATION_SECONDS) * invocations + events * event_seconds(ask)
    commits = _commits(ask, invocations)
    calls = commits if is_service else invocations
    return Load(
        bytes_per_second=events * ask.event_bytes,
        records_per_second=records,
        shards=shards,
        shards_needed=needed,
        shards_for_bytes=for_bytes,
        shards_for_records=for_records,
        shards_for_function=for_function,
        batch_events=events / calls,
        invocations_per_second=invocations,
        invocation_seconds=0.0 if is_service else taking / invocations,
        commits_per_second=commits,
    )


def _wait(ask: Ask) -> float:
    """Seconds after which a batch goes to the function though it is not full."""
    return float(figures.TRANSFORM_SECONDS) if ask.facts.compute is Compute.FIREHOSE else ask.flush_s


def _commits(ask: Ask, invocations: float) -> float:
    """Ledger entries a second: of each invocation, of a container's batches, or of the filings of a night."""
    if ask.facts.compute is Compute.MAPPING:
        return invocations
    size = ask.events_per_second * ask.event_bytes
    if ask.facts.compute is Compute.FIREHOSE:
        return max(1 / 86_400, size / figures.FILING_BYTES)
    full = max(ask.events_per_second / figures.BATCH_EVENTS, size / figures.BATCH_BYTES)
    return min(ask.events_per_second, max(1 / ask.flush_s, full))
