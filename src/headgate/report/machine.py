"""The report as plain data: the figures of the page for machines, in the same words. Pure."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import msgspec

from headgate.core.figures import Figures
from headgate.core.histogram import quantile
from headgate.report.collect import Report
from headgate.report.findings import verdict
from headgate.report.lags import told_lags
from headgate.report.people import machine_time
from headgate.report.tables import QUANTILES

COUNTS = ("received", "accepted", "duplicates", "conflicts", "rejected")
_MAPS = ("missing", "looked", "reasons", "warnings", "units", "rule_passes", "rule_failures")


def for_machines(report: Report) -> dict[str, Any]:
    """What `headgate report --json` prints: times as ISO 8601, durations in seconds; null is no type."""
    return {
        "lake": report.lake,
        "made_at": machine_time(report.now_us),
        "since": machine_time(report.since_us),
        "until": machine_time(report.until_us),
        "first_commit": machine_time(report.history.first_us),
        "last_commit": machine_time(report.history.last_us),
        "entry": report.number,
        "verdict": verdict(report.findings),
        "conserved": report.is_conserved,
        "findings": [asdict(finding) for finding in report.findings],
        "totals": _figures(report.total),
        "types": [
            {"event_type": name, **_figures(figures)}
            for name, figures in sorted(report.types.items(), key=lambda pair: (-pair[1].received, pair[0] or ""))
        ],
        "series": _series(report),
        "drift": _drift(report),
        "shard_lag": {
            name: {"seconds": lag.seconds, "at": machine_time(lag.staged_us)}
            for name, lag in told_lags(
                report.history.lags, (shard.shard for shard in report.facts.status.shards)
            ).items()
        },
        "tables": {table.table: asdict(table) | {"mean_bytes": table.mean_bytes} for table in report.facts.tables},
        "typed": {
            "built": report.facts.built,
            "drift": [
                {"table": table.name, "field": field, "expected": expected, "found": found, "values": count}
                for table in report.facts.typed
                for (field, expected, found), count in table.drift.items()
            ],
        },
        "status": msgspec.to_builtins(report.facts.status),
        "samples": {"rejects": _samples(report.rejects), "duplicates": _samples(report.duplicates)},
    }


def _figures(figures: Figures) -> dict[str, Any]:
    found: dict[str, Any] = {name: getattr(figures, name) for name in (*COUNTS, "payload_bytes")}
    found |= {name: dict(getattr(figures, name)) for name in _MAPS}
    found["newest_arrival"] = machine_time(figures.arrived_us)
    ways = (
        ("created_to_arrived", figures.latency, figures.latency_max),
        ("arrived_to_staged", figures.staging, figures.staging_max),
    )
    for name, buckets, longest in ways:
        known = {said.replace(" %", "%"): quantile(buckets, q, longest) for said, q in QUANTILES}
        found[name] = {
            **{said: None if one is None else one.seconds for said, one in known.items()},
            "max": longest,
            "buckets": {"inf" if math.isinf(bound) else str(bound): count for bound, count in sorted(buckets.items())},
        }
    return found


def _series(report: Report) -> dict[str, Any]:
    series = report.history.series(report.span)
    return {
        "start": machine_time(report.span.start_us),
        "step_seconds": report.span.step_us / 1e6,
        **{name: getattr(series, name).tolist() for name in COUNTS},
    }


def _drift(report: Report) -> dict[str, Any]:
    found = {
        name: [asdict(one) for one in getattr(report.drift, name)] for name in ("switches", "stopped", "begun", "late")
    }
    for one in (row for rows in found.values() for row in rows):
        for name in [name for name in one if name.endswith("_us")]:
            one[name.removesuffix("_us")] = machine_time(one.pop(name))
    return found


def _samples(samples: Any) -> list[dict[str, Any]]:
    rows = [asdict(sample) for sample in samples]
    return [row | {"arrived": machine_time(row.pop("arrived_us"))} for row in rows]
