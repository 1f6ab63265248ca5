"""Sums over `quality` to metric families as the Prometheus client exposes them. Pure.

sums = QualitySums(limit=20)
for rows in blocks_of_quality:
    sums.add(rows)
yield from quality_families(sums)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.metrics_core import Metric as Family

from headgate.core.histogram import AHEAD, BOUNDS, REST
from headgate.telemetry import catalogue as c
from headgate.telemetry.sums import MAX_SHARDS, QualitySums, Sums

Sample = tuple[Sequence[str], float]
_BOUND_TEXTS = (*(repr(bound) for bound in BOUNDS), "+Inf")


def family(metric: c.Metric, samples: Iterable[Sample]) -> Family:
    """A counter or gauge with its samples.

    Args:
        metric: of the catalogue.
        samples: label values in the order of the metric's labels, and the value.
    """
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    made = kind(metric.name, metric.help, labels=metric.labels)
    for labels, value in samples:
        made.add_metric(list(labels), value)
    return made


def info(metric: c.Metric, values: Mapping[str, str]) -> Family:
    """A metric that is always 1 and says something by its labels."""
    made = InfoMetricFamily(metric.name.removesuffix("_info"), metric.help, labels=())
    made.add_metric([], dict(values))
    return made


def histogram(metric: c.Metric, samples: Iterable[tuple[Sequence[str], Mapping[float, int], float]]) -> Family:
    """A histogram with the bounds of core.histogram; what is below 0 stands in its first bucket.

    Args:
        metric: of the catalogue.
        samples: label values, buckets as in core.histogram, and the sum.
    """
    made = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, buckets, total in samples:
        counts = [max(0, buckets.get(bound, 0)) for bound in (*BOUNDS, REST)]
        counts[0] += max(0, buckets.get(AHEAD, 0))
        made.add_metric(list(labels), list(zip(_BOUND_TEXTS, accumulate(counts), strict=True)), total)
    return made


def quality_families(sums: QualitySums) -> Iterator[Family]:
    """All of `catalogue.QUALITY_METRICS`.

    A sum that a replay made negative is told as 0.

    Args:
        sums: nobody may add to them before the last family is made.
    """
    by_label = dict(sorted(sums.by_label.items()))
    yield from _counters(by_label)
    yield histogram(c.CREATED_TO_ARRIVED, [((label,), one.latency, one.latency_sum) for label, one in by_label.items()])
    yield histogram(c.ARRIVED_TO_STAGED, [((label,), one.staging, one.staging_sum) for label, one in by_label.items()])
    yield family(c.DEDUP_SECONDS, [((), sums.dedup_seconds)])
    arrived = [((label,), one.arrived) for label, one in by_label.items() if one.arrived is not None]
    yield family(c.NEWEST_ARRIVAL, arrived)
    lag = sums.shard_lag
    yield family(c.SHARD_LAG, [((shard,), seconds) for shard, seconds in lag.items()] if len(lag) < MAX_SHARDS else [])
    yield family(c.MAX_SHARD_LAG, [((), max(lag.values()))] if lag else [])


def _counters(by_label: Mapping[str, Sums]) -> Iterator[Family]:
    for metric, name in ((c.RECEIVED, "received"), (c.ACCEPTED, "accepted"), (c.BYTES, "payload_bytes"),
                         (c.AHEAD_EVENTS, "ahead")):  # fmt: skip
        yield family(metric, [((label,), max(0, getattr(one, name))) for label, one in by_label.items()])
    yield family(
        c.DUPLICATES,
        [
            ((label, kind), max(0, count))
            for label, one in by_label.items()
            for kind, count in (("natural", one.duplicates - one.conflicts), ("conflicting", one.conflicts))
        ],
    )
    for metric, name in ((c.REJECTED, "reasons"), (c.WARNINGS, "warnings"), (c.MISSING, "missing"),
                         (c.LOOKED, "looked"), (c.UNITS, "units")):  # fmt: skip
        yield family(
            metric,
            [
                ((label, key), max(0, count))
                for label, one in by_label.items()
                for key, count in sorted(getattr(one, name).items())
            ],
        )
    yield family(
        c.RULES,
        [
            ((label, rule, outcome), max(0, count))
            for label, one in by_label.items()
            for outcome, counts in (("pass", one.rule_passes), ("fail", one.rule_failures))
            for rule, count in sorted(counts.items())
        ],
    )
