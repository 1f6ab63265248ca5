"""`headgate check`: the quality of a lake within some time, compared with what is allowed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headgate.core.figures import COLUMNS, Figures, arrivals_of, figures_of, total
from headgate.core.slo import DAY_US, Allowed, Finding, Observed, judge_quality
from headgate.errors import ConfigError
from headgate.jobs.existing import ExistingLake
from headgate.jobs.quality_rows import quality_between

_OF_ARRIVALS = ("event_type", "accepted", "arrived_max")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What was looked at, and what of it is not as it should be.

    Attributes:
        start_us: of the window, microseconds since 1970 UTC.
        end_us: of the window; it is not part of it.
        figures: of all types that were looked at together.
        findings: everything that was compared.
        unjudged: thresholds for which there was too little to compare.
        is_default: nobody said what is allowed.
    """

    start_us: int
    end_us: int
    figures: Figures
    findings: Sequence[Finding]
    unjudged: Sequence[str]
    is_default: bool

    @property
    def breaches(self) -> list[Finding]:
        """What is not kept."""
        return [finding for finding in self.findings if finding.is_breach]


def check(
    lake: ExistingLake,
    allowed: Allowed,
    *,
    start_us: int,
    end_us: int,
    types: Sequence[str] = (),
    is_default: bool = False,
) -> Checked:
    """Compare what was staged in a window with what is allowed.

    Reads that window; where volume is compared the one before; where freshness is, types and arrivals of a day.

    Args:
        lake: whose quality.
        allowed: thresholds.
        start_us: of the window, microseconds since 1970 UTC.
        end_us: of the window, the moment at which it is judged.
        types: these event types alone; empty for all.
        is_default: nobody said what is allowed.

    Raises:
        ConfigError: the lake has no such event type.
        TransientError: the storage did not answer.
        PermanentError: `quality` cannot be read.
    """
    known = lake.state().event_types if types else ()
    if unknown := sorted(set(types) - set(known)):
        raise ConfigError(f"{lake.path} has no event type {unknown[0]!r}; `headgate query` shows which there are")
    now = figures_of(quality_between(lake, start_us, end_us, COLUMNS))
    length = end_us - start_us
    back = DAY_US if allowed.is_day_before else length
    before = (
        {}
        if allowed.volume_ratio is None
        else figures_of(quality_between(lake, start_us - back, end_us - back, COLUMNS))
    )
    arrivals = {}
    if allowed.freshness_seconds is not None:
        lately = max(length, DAY_US, 2 * round(allowed.freshness_seconds * 1e6))
        arrivals = arrivals_of(quality_between(lake, end_us - lately, end_us, _OF_ARRIVALS))
    findings = judge_quality(Observed(now=now, before=before, arrivals=arrivals, end_us=end_us, types=types), allowed)
    chosen = {name: figures for name, figures in now.items() if not types or name in types}
    return Checked(
        start_us=start_us,
        end_us=end_us,
        figures=total(chosen),
        findings=findings,
        unjudged=[name for name in allowed.checks if name not in {finding.check for finding in findings}],
        is_default=is_default,
    )
