"""`Report`: everything that the quality page says of a lake, as data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from headgate.core.figures import ByType, Figures, total
from headgate.jobs.existing import ExistingLake
from headgate.report.drift import Drift, drift_of
from headgate.report.facts import LakeFacts, lake_facts
from headgate.report.findings import Finding, Seen, findings_of
from headgate.report.gather import Gathering
from headgate.report.history import History, Span
from headgate.report.samples import Sample, duplicate_samples, reject_samples

STEPS = 96  # of a chart, at most

Told = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What is said of a lake.

    Attributes:
        lake: its path, as it was given.
        now_us: when the report was made, microseconds since 1970.
        since_us: only what was staged then or later is counted; None for all.
        until_us: only what was staged before.
        number: the ledger entry up to which everything is counted.
        history: sums over time.
        span: steps of the charts.
        types: sums by type.
        total: of all types.
        is_conserved: received = accepted + duplicates + rejected in these figures, and over the whole ledger; where
            the report holds all of the ledger, both are the same.
        drift: what changed.
        facts: of the lake as it is now.
        findings: what stands out.
        rejects: some of the newest.
        duplicates: some of the newest.
    """

    lake: str
    now_us: int
    since_us: int | None
    until_us: int | None
    number: int
    history: History
    span: Span
    types: ByType
    total: Figures
    is_conserved: bool
    drift: Drift
    facts: LakeFacts
    findings: Sequence[Finding]
    rejects: Sequence[Sample]
    duplicates: Sequence[Sample]


def collect(
    lake: ExistingLake,
    *,
    now_us: int,
    since_us: int | None = None,
    until_us: int | None = None,
    told: Told = lambda what, done, of: None,
) -> Report:
    """Read a lake.

    Args:
        lake: to read; it may be written to meanwhile.
        now_us: wall clock, microseconds since 1970 UTC.
        since_us: count only what was staged then or later.
        until_us: count only what was staged before.
        told: is called with what is read, how much is done, and of how much.

    Raises:
        TransientError: the storage did not answer.
        PermanentError: a part of the lake cannot be read.
    """
    gathering = Gathering(lake, since_us=since_us, until_us=until_us)
    gathering.advance(lambda done, of: told("quality", done, of))
    told("files", 0, 1)
    facts = lake_facts(lake)
    history = gathering.history
    types = history.figures()
    everything, drift = total(types), drift_of(history)
    is_conserved = _is_conserved(everything, facts, gathering, is_all=since_us is None and until_us is None)
    told("samples", 0, 1)
    seen = Seen(
        lake=lake.path,
        total=everything,
        types=types,
        drift=drift,
        facts=facts,
        is_conserved=is_conserved,
        now_us=now_us,
    )
    return Report(
        lake=lake.path,
        now_us=now_us,
        since_us=since_us,
        until_us=until_us,
        number=gathering.number,
        history=history,
        span=history.span(STEPS),
        types=types,
        total=everything,
        is_conserved=is_conserved,
        drift=drift,
        facts=facts,
        findings=findings_of(seen),
        rejects=reject_samples(lake) if everything.rejected else [],
        duplicates=duplicate_samples(lake) if everything.duplicates else [],
    )


def _is_conserved(found: Figures, facts: LakeFacts, gathering: Gathering, *, is_all: bool) -> bool:
    """The figures add up, the ledger's do, and where both are of the same entries they are the same."""
    sums = found.received == found.accepted + found.duplicates + found.rejected
    counts = gathering.state.counts
    is_same = (counts.received, counts.accepted, counts.duplicates, counts.rejected) == (
        found.received,
        found.accepted,
        found.duplicates,
        found.rejected,
    )
    is_whole = is_all and gathering.number == gathering.state.number
    return sums and facts.status.counts.is_conserved and (is_same or not is_whole)
