"""What can be said about the flow: one frozen type a fact, emitted per batch and never per record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import pyarrow as pa

from headgate.records import Counts

Level = Literal["INFO", "WARNING", "ERROR"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """A consumer begins an attempt at the end of the ledger."""

    level: ClassVar[Level] = "INFO"
    source: str
    lake: str
    format: str
    claims: str
    ledger_number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsServed:
    """`/metrics`, `/healthz` and `/readyz` are answered at this address."""

    level: ClassVar[Level] = "INFO"
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCommitted:
    """The ledger entry of a batch is written: the batch has happened.

    `quality` is its rows of the table, QUALITY, so that metrics are the sums of what the table holds; None where
    whoever committed does not tell.
    """

    level: ClassVar[Level] = "INFO"
    number: int
    counts: Counts
    warnings: Mapping[str, int] = field(default_factory=dict)
    files: int = 0
    file_bytes: int = 0
    shards: int = 0
    quality: pa.Table | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordsTransformed:
    """The records of an invocation are judged and its answer can be given; Firehose may ask for it again."""

    level: ClassVar[Level] = "INFO"
    counts: Counts
    quality: pa.Table


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchFinished:
    """The one canonical line a batch: it is committed, shown to readers and acknowledged.

    Attributes:
        conflicts: duplicates with other bytes than the original.
        reasons: of the rejects.
        types: event types of the batch.
        payload_bytes: of all parts.
        file_bytes: of the files written.
        seconds: wall seconds by stage; `took_seconds` from the begin of the first to the end of the last.
        lag: what waits unread, as the source last told.
    """

    level: ClassVar[Level] = "INFO"
    number: int
    counts: Counts
    conflicts: int
    reasons: Mapping[str, int]
    warnings: Mapping[str, int]
    types: int
    payload_bytes: int
    files: int
    file_bytes: int
    shards: int
    seconds: Mapping[str, float]
    took_seconds: float
    lag: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """All entries up to this number can be read."""

    level: ClassVar[Level] = "INFO"
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTimed:
    """How long one stage worked on one batch: wall seconds, and CPU seconds of its own thread.

    Every batch passes every stage, in order: the n-th of one stage is the n-th of all stages of the attempt.
    """

    level: ClassVar[Level] = "INFO"
    stage: str
    batch: int
    wall_seconds: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """The outside world did not answer; the stage waits and tries again."""

    level: ClassVar[Level] = "WARNING"
    stage: str
    attempt: int
    wait_seconds: float
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LagMeasured:
    """The source answers; what waits unread, see `ports.Source.lag`."""

    level: ClassVar[Level] = "INFO"
    lag: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitRefused:
    """The ledger did not take a batch, because another writer was first; what was staged is thrown away."""

    level: ClassVar[Level] = "WARNING"
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoodBy:
    """Another consumer works on this lake; this one waits for it to stand still."""

    level: ClassVar[Level] = "WARNING"
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Noticed:
    """Something about the source or the store that a person may want to know."""

    level: ClassVar[Level] = "WARNING"
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimsRebuilt:
    """The claim store was filled from the lake."""

    level: ClassVar[Level] = "INFO"
    claims: int
    from_number: int
    to_number: int
    withdrawn: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicationLeft:
    """A committed batch could not be shown to readers; whoever publishes next tries again."""

    level: ClassVar[Level] = "WARNING"
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactionStarted:
    """Enough files were written: a compaction works beside the run."""

    level: ClassVar[Level] = "INFO"
    files: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactionEnded:
    """A compaction beside the run has done its work."""

    level: ClassVar[Level] = "INFO"
    joined: int
    vacuumed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactionFailed:
    """A compaction beside the run ended early; the run goes on, and the next compaction does the rest."""

    level: ClassVar[Level] = "WARNING"
    error: str
