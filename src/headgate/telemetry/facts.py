"""What can be said about the flow: one frozen type a fact, emitted per batch and never per record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

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
class BatchCommitted:
    """The one canonical line a batch: its ledger entry is written."""

    level: ClassVar[Level] = "INFO"
    number: int
    counts: Counts
    warnings: Mapping[str, int] = field(default_factory=dict)
    files: int = 0
    shards: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """All entries up to this number can be read."""

    level: ClassVar[Level] = "INFO"
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTimed:
    """How long one stage worked on one batch: wall seconds, and CPU seconds of its own thread."""

    level: ClassVar[Level] = "INFO"
    stage: str
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
