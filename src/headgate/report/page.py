"""The report as one HTML file: no script, nothing from the network, every text of others escaped."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from shlex import quote
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from headgate import __version__
from headgate.core.histogram import quantile
from headgate.core.shown import safe
from headgate.report.charts import Layer, columns, histogram, lines
from headgate.report.collect import Report
from headgate.report.findings import verdict
from headgate.report.lake_tables import LAKE_TABLES
from headgate.report.people import moment, number, plural, seconds, share, short, size
from headgate.report.samples import Sample
from headgate.report.tables import QUANTILES, TABLES

WORDS = {"bad": "act", "warn": "look", "note": "know"}
_VERDICTS = {"good": "In good order", "warn": "Worth a look", "bad": "Needs attention"}
_CONTENTS = (
    ("totals", "Totals"), ("next", "What to do"), ("time", "Over time"), ("latency", "Latency"), ("types", "Types"),
    ("rejects", "Rejects"), ("duplicates", "Duplicates"), ("accuracy", "Fields and rules"), ("drift", "Changes"),
    ("lake", "Lake"), ("files", "Files"),
)  # fmt: skip
_WITH_UNIT = re.compile(r"(?<![\d,.])\d[\d,.]* (?:%|s|min|h|d|B|KiB|MiB|GiB|TiB|UTC)(?![\w-])")
_WITHIN = (("late", "Late hours"),)  # of what changed; findings lead there
_ALWAYS = ("totals", "next", "lake", "files")


def render(report: Report) -> str:
    """The whole page."""
    environment = Environment(
        loader=PackageLoader("headgate.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"moment": moment, "prose": _prose}
    css = environment.get_template("report.css").render()
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    return environment.get_template("report.html").render(
        css=Markup(css),  # noqa: S704  our own file
        policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
        version=__version__,
        words=WORDS,
        **_said(report),
        **{name: table(report) for name, table in {**TABLES, **LAKE_TABLES}.items()},
    )


def _shown(value: Any) -> Any:
    """Nothing that hides or turns text; what is to be read or typed as it is has no other character changed."""
    return safe(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _prose(text: str) -> Markup:
    """A text in which numbers stay on one line with their units; copied from the page it is the same text."""
    escaped = str(escape(safe(text)))
    return Markup(_WITH_UNIT.sub(r'<span class="unit">\g<0></span>', escaped))  # noqa: S704  escaped above


def _said(report: Report) -> Mapping[str, object]:
    level = verdict(report.findings)
    has_data = report.history.rows > 0
    is_all = report.since_us is None and report.until_us is None
    contents = [pair for pair in _CONTENTS if has_data or pair[0] in _ALWAYS]
    return {
        "lake": report.lake,
        "period": _period(report),
        "made": moment(report.now_us),
        "level": level,
        "word": _VERDICTS[level] if has_data else "Nothing came in yet" if is_all else "Nothing in this time",
        "headline": _headline(report),
        "contents": contents,
        "parts": dict([*contents, *(_WITHIN if has_data else ())]),
        "has_data": has_data,
        "has_duplicates": report.total.duplicates > 0,
        "tiles": _tiles(report),
        "conserved": report.is_conserved,
        "equation": _equation(report),
        "findings": report.findings,
        "check_command": f"headgate check {quote(report.lake)}",
        "step": seconds(report.span.step_us / 1e6),
        "charts": _charts(report) if has_data else {},
        "freshness": f"The newest accepted event arrived at {moment(report.total.arrived_us, is_exact=True)}, "
        f"{_ago(report, report.total.arrived_us)} before this report was made.",
        "reject_samples": _grouped(report.rejects),
        "duplicate_samples": _grouped(report.duplicates),
        "entry": number(report.number),
    }


def _period(report: Report) -> str:
    history = report.history
    if history.first_us is None:
        return "No event was committed."
    return f"Committed from {moment(history.first_us)} to {moment(history.last_us)}."


def _headline(report: Report) -> str:
    total = report.total
    if not report.history.rows:
        return "Events come in by `headgate run`; a report of all that ever came needs no --since and no --window."
    kept = "nothing was lost: every one is accounted for" if report.is_conserved else "the counts do NOT add up"
    acts = sum(finding.level == "bad" for finding in report.findings)
    looks = sum(finding.level == "warn" for finding in report.findings)
    things = [f"{plural(acts, 'thing')} to act on"] if acts else []
    things += [f"{plural(looks, 'thing')} to look at"] if looks else []
    return (
        f"{number(total.received)} events were received, and {kept}. {share(total.accepted, total.received)} were "
        f"accepted, {share(total.duplicates, total.received)} were duplicates, "
        f"{share(total.rejected, total.received)} were rejected. The newest arrived "
        f"{_ago(report, total.arrived_us)} ago. {' and '.join(things) or 'Nothing'} "
        f"{'stand' if acts + looks > 1 else 'stands'} out."
    )


def _ago(report: Report, us: int | None) -> str:
    return "–" if us is None else seconds(max(0.0, (report.now_us - us) / 1e6))


def _equation(report: Report) -> str:
    total = report.total
    sign = "=" if total.received == total.accepted + total.duplicates + total.rejected else "≠"
    return (
        f"{number(total.received)} received {sign} {number(total.accepted)} accepted + "
        f"{number(total.duplicates)} duplicates + {number(total.rejected)} rejected"
    )


def _tiles(report: Report) -> list[dict[str, str]]:
    total = report.total
    known = quantile(total.latency, 0.95, total.latency_max)
    natural = total.duplicates - total.conflicts
    rows = [
        ("Received", "", number(total.received), size(total.payload_bytes)),
        ("Accepted", "accepted", number(total.accepted), share(total.accepted, total.received)),
        (
            "Duplicates",
            "duplicates",
            number(total.duplicates),
            f"{short(natural)} natural, {short(total.conflicts)} conflicting",
        ),
        ("Rejected", "rejected", number(total.rejected), share(total.rejected, total.received)),
        ("Newest arrival", "", _ago(report, total.arrived_us), "ago"),
        ("95 % arrive within", "", "–" if known is None else seconds(known.seconds), "of their creation"),
    ]
    return [dict(zip(("name", "tone", "value", "under"), row, strict=True)) for row in rows]


def _charts(report: Report) -> dict[str, Markup]:
    history, span = report.history, report.span
    series = history.series(span)
    natural = (series.duplicates - series.conflicts).tolist()
    steps = f"{span.steps} steps of {seconds(span.step_us / 1e6)} from {moment(span.start_us)} on"
    refused = [
        Layer("natural duplicates", "duplicates", natural),
        Layer("conflicting duplicates", "second", series.conflicts.tolist()),
        Layer("rejected", "rejected", series.rejected.tolist()),
    ]
    total = report.total
    marks = [(name, known.seconds) for name, q in QUANTILES if (known := quantile(total.latency, q, total.latency_max))]
    greatest = f"at most {number(int(series.accepted.max(initial=0)))} in one"
    return {
        "accepted": columns(
            span,
            [Layer("accepted", "accepted", series.accepted.tolist())],
            "Accepted events over time",
            f"{steps}; {greatest}",
        ),
        "refused": columns(span, refused, "Duplicates and rejects over time", steps),
        "arriving": _quantile_chart(report, "created_to_arrived", "Time from creation to arrival", steps),
        "staging": _quantile_chart(report, "arrived_to_staged", "Time from arrival to commit", steps),
        "created": histogram(
            total.latency,
            marks,
            "Events by the time from creation to arrival",
            ", ".join(f"{name} within {seconds(value)}" for name, value in marks),
        ),
    }


def _quantile_chart(report: Report, kind: Any, title: str, steps: str) -> Markup:
    tones = ("accepted", "duplicates", "rejected")
    found = report.history.quantiles(kind, report.span, [q for _, q in QUANTILES])
    layers = [
        Layer(name, tone, values.tolist()) for (name, _), tone, values in zip(QUANTILES, tones, found, strict=True)
    ]
    return lines(report.span, layers, title, f"Quantiles of {steps}")


def _grouped(samples: Sequence[Sample]) -> list[tuple[str, list[Sample]]]:
    return [(name, list(some)) for name, some in groupby(samples, lambda one: one.group)]
