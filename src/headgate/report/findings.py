"""What stands out in a lake, as sentences, each with what to do about it. Pure: figures and facts in, findings out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Literal

from headgate.core.figures import ByType, Figures
from headgate.core.histogram import quantile
from headgate.core.shown import safe
from headgate.core.slo import DEFAULT_RATES
from headgate.report.drift import LATE_SECONDS, Drift
from headgate.report.facts import LakeFacts
from headgate.report.people import moment, number, percent, plural, seconds, share

Level = Literal["bad", "warn", "note"]
LEVELS: tuple[Level, ...] = ("bad", "warn", "note")

_NAMED = 5  # things of a kind that are told one by one
MISSING_RATE = 0.01  # of a field, from which on it is told
_ACCURACY = 0.99  # of a rule, below which it is told
ENOUGH = 100  # events from which on a rate says something
_QUIET_SECONDS = 3_600.0  # without a commit
_JOINABLE = 100  # files that compaction would save


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that stands out.

    Attributes:
        level: `bad` is to be acted on, `warn` to be looked at, `note` to be known.
        topic: the part of the page that tells more; its anchor, to which the finding is linked where the part is there.
        sentence: what, where, how much.
        advice: what to do, a sentence; empty where there is nothing to do.
        command: to type; empty where there is none.
    """

    level: Level
    topic: str
    sentence: str
    advice: str = ""
    command: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is judged.

    Attributes:
        lake: its path, as it was given.
        total: of everything in the report.
        types: by type.
        drift: what changed.
        facts: of the lake.
        is_conserved: whether the counts add up, see `report.collect`.
        now_us: when the report is made, microseconds since 1970.
    """

    lake: str
    total: Figures
    types: ByType
    drift: Drift
    facts: LakeFacts
    is_conserved: bool
    now_us: int


def findings_of(seen: Seen) -> list[Finding]:
    """Everything that stands out, the weightiest first."""
    found = [
        *_conservation(seen),
        *_rates(seen),
        *_missing(seen),
        *_rules(seen),
        *_time(seen),
        *_types(seen),
        *_freshness(seen),
        *_lake(seen),
        *_files(seen),
    ]
    return sorted(found, key=lambda one: LEVELS.index(one.level))


def _command(seen: Seen, name: str, *more: str) -> str:
    return safe(" ".join(["headgate", name, quote(seen.lake), *more]))


def _conservation(seen: Seen) -> Iterator[Finding]:
    if not seen.is_conserved:
        yield Finding(
            level="bad",
            topic="totals",
            sentence="The counts do not add up: what was received is not what was accepted, copied or rejected.",
            advice="Prove it against the source, and keep the lake as it is until then.",
            command=f"headgate verify SOURCE {safe(quote(seen.lake))}",
        )


def _rates(seen: Seen) -> Iterator[Finding]:
    total = seen.total
    if total.received < ENOUGH:
        return
    rejects, copies, conflicts = (
        count / total.received for count in (total.rejected, total.duplicates, total.conflicts)
    )
    if total.rejected > 0:
        reason, count = max(total.reasons.items(), key=lambda pair: pair[1], default=("", 0))
        yield Finding(
            level="bad" if rejects > DEFAULT_RATES["max_reject_rate"] else "note",
            topic="rejects",
            sentence=f"{percent(rejects)} of what was received was rejected ({number(total.rejected)}), "
            f"most of it as {safe(reason)} ({number(count)}).",
            advice="Look at the samples; once the rule or the producer is mended, judge the rejects anew.",
            command=_command(seen, "replay", "--reason", safe(quote(reason)), "--dry-run"),
        )
    if copies > DEFAULT_RATES["max_duplicate_rate"]:
        yield Finding(
            level="bad", topic="duplicates", sentence=f"{percent(copies)} of what was received were duplicates."
        )
    if total.conflicts > 0:
        yield Finding(
            level="bad" if conflicts > DEFAULT_RATES["max_conflict_rate"] else "warn",
            topic="duplicates",
            sentence=f"{plural(total.conflicts, 'duplicate')} had other bytes than the event with the same id: two "
            "events share an id, or one was changed and sent again.",
            advice="Compare a few with their originals and tell the producer.",
            command=_command(seen, "query", '"SELECT * FROM duplicates WHERE conflict LIMIT 20"'),
        )


def _missing(seen: Seen) -> Iterator[Finding]:
    rates = [
        (figures.missing[field] / of, name, field, figures.missing[field], of)
        for name, figures in seen.types.items()
        for field, of in figures.looked.items()
        if of >= ENOUGH and figures.missing.get(field, 0) > MISSING_RATE * of
    ]
    for rate, name, field, count, of in sorted(rates, key=lambda one: -one[0])[:_NAMED]:
        yield Finding(
            level="warn",
            topic="accuracy",
            sentence=f"{percent(rate)} of {safe(name or 'what has no type')} lack {safe(field)} "
            f"({number(count)} of {number(of)}).",
            advice="Be told when it grows.",
            command=_command(seen, "check", "--max-missing-rate", safe(quote(f"{field}=0.01"))),
        )


def _rules(seen: Seen) -> Iterator[Finding]:
    total = seen.total
    for rule in sorted({*total.rule_passes, *total.rule_failures}):
        passes, failures = total.rule_passes.get(rule, 0), total.rule_failures.get(rule, 0)
        if failures > 0 and passes + failures >= ENOUGH and passes < _ACCURACY * (passes + failures):
            yield Finding(
                level="warn",
                topic="accuracy",
                sentence=f"The rule {safe(rule)} holds for {share(passes, passes + failures)} of its events; "
                f"{number(failures)} break it.",
                advice="See what a changed rule would accept.",
                command=_command(seen, "replay", "--reason", safe(quote(f"rule:{rule}")), "--dry-run"),
            )


def _time(seen: Seen) -> Iterator[Finding]:
    for switch in seen.drift.switches[:_NAMED]:
        yield Finding(
            level="warn",
            topic="time",
            sentence=f"{safe(switch.event_type)} sends created_at as {switch.unit.replace('_', ' ')} since "
            f"{moment(switch.began_us)}, before that as {switch.before.replace('_', ' ')}: {number(switch.events)} "
            f"events, {percent(switch.share)} of those since then.",
            advice="The stored times are right; ask the producer whether the change was meant.",
        )
    late: dict[str, int] = {}
    for hour in seen.drift.late:
        late[hour.event_type] = late.get(hour.event_type, 0) + hour.late
    for name, count in sorted(late.items(), key=lambda pair: -pair[1])[:_NAMED]:
        hours = [hour for hour in seen.drift.late if hour.event_type == name]
        times = [hour.created_min_us for hour in hours if hour.created_min_us is not None]
        yield Finding(
            level="warn",
            topic="late",
            sentence=f"{number(count)} events of {safe(name)} arrived more than an hour after they "
            f"were created{f', the oldest of {moment(min(times))}' if times else ''}.",
            advice="They are in the partitions of their own dates; run again what was computed from those.",
        )


def _types(seen: Seen) -> Iterator[Finding]:
    for turn in seen.drift.stopped[:_NAMED]:
        yield Finding(
            level="bad",
            topic="types",
            sentence=f"{safe(turn.event_type)} stopped arriving at {moment(turn.at_us)}; by its share before, about "
            f"{number(turn.expected)} events would have come since.",
            advice="Ask its producer; be told next time.",
            command=_command(seen, "check", "--type", safe(quote(turn.event_type)), "--max-freshness", "1h"),
        )
    for turn in seen.drift.begun[:_NAMED]:
        yield Finding(
            level="note",
            topic="types",
            sentence=f"{safe(turn.event_type)} is new: the first came at {moment(turn.at_us)}, {number(turn.events)} "
            "since.",
        )


def _freshness(seen: Seen) -> Iterator[Finding]:
    status = seen.facts.status
    if status.number and (quiet := (seen.now_us - status.committed_us) / 1e6) > _QUIET_SECONDS:
        yield Finding(
            level="note",
            topic="time",
            sentence=f"Nothing was committed for {seconds(quiet)}.",
            advice="If events should flow, look whether the consumer runs.",
            command=_command(seen, "status"),
        )
    found = quantile(seen.total.staging, 0.95, seen.total.staging_max)
    if found is not None and found.seconds > LATE_SECONDS:
        yield Finding(
            level="note",
            topic="time",
            sentence=f"95 % of events were committed within {seconds(found.seconds)} of their arrival: a backlog was "
            "worked off, or the consumer is behind.",
        )


def _lake(seen: Seen) -> Iterator[Finding]:
    status = seen.facts.status
    if len(status.unpublished) > 1:  # one is what a consumer is at
        yield Finding(
            level="warn",
            topic="lake",
            sentence=f"{plural(len(status.unpublished), 'entry', 'entries')} of the ledger from "
            f"{number(status.unpublished[0])} on cannot be read yet, and are not in this report.",
            advice="Start the consumer: whoever writes next shows them, nothing is lost.",
            command=f"headgate run SOURCE {safe(quote(seen.lake))}",
        )
    if status.is_lease_stale:
        yield Finding(
            level="warn",
            topic="lake",
            sentence="The last consumer was killed: it left its lease, and its process is gone.",
            advice="Start it again; it goes on where the ledger ends.",
            command=f"headgate run SOURCE {safe(quote(seen.lake))}",
        )
    built = seen.facts.built
    if built is not None and built < status.number:
        yield Finding(
            level="note",
            topic="drift",
            sentence=f"The typed tables are built up to entry {number(built)} of {number(status.number)}.",
            advice="Build them, best every night.",
            command=_command(seen, "build"),
        )
    for table in seen.facts.typed:
        for (field, expected, found), count in sorted(table.drift.items(), key=lambda pair: -pair[1])[:1]:
            yield Finding(
                level="warn",
                topic="drift",
                sentence=f"In {safe(table.name)}, {number(count)} values of {safe(field)} are {safe(found)} instead of "
                f"{safe(expected)}, and in no column.",
                advice="They are kept in the row's rest; name a type for the field, or tell the producer.",
                command=_command(seen, "build", "--preview"),
            )


def _files(seen: Seen) -> Iterator[Finding]:
    joinable = sum(table.joinable for table in seen.facts.tables)
    files = sum(table.files for table in seen.facts.tables)
    if joinable >= _JOINABLE:
        yield Finding(
            level="warn" if joinable * 2 > files else "note",
            topic="files",
            sentence=f"{number(joinable)} of {number(files)} files are needless: small ones of one partition that can "
            "be joined.",
            advice="Join them beside the running consumer; queries get quicker.",
            command=_command(seen, "compact"),
        )


def verdict(findings: Sequence[Finding]) -> Level | Literal["good"]:
    """The weightiest level; notes are good."""
    levels = {finding.level for finding in findings}
    return "bad" if "bad" in levels else "warn" if "warn" in levels else "good"
