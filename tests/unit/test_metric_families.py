"""Sums over `quality` as metric families: exact, bounded, monotonic, and harmless whatever names the data has."""

from __future__ import annotations

import math
from collections import Counter

import pyarrow as pa
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from headgate.core.figures import figures_of
from headgate.core.histogram import BOUNDS
from headgate.core.schema import QUALITY
from headgate.telemetry.catalogue import QUALITY_METRICS
from headgate.telemetry.families import quality_families
from headgate.telemetry.sums import NONE, OTHER, QualitySums

HOSTILE = ['a"b', "back\\slash", "new\nline", "<script>", "{{7*7}}", "\x1b[31mred", "=1+1", "ümläut", 'x"} 1e9\n# EOF']


class Collected:
    """A registry of families that are made already."""

    def __init__(self, families):
        self._families = list(families)

    def collect(self):
        return self._families


def rows(*found):
    columns = {
        "event_type": None, "received": 1, "accepted": 1, "duplicates": 0, "conflicts": 0, "rejected": 0,
        "payload_bytes": 10, "arrived_max": 5_000_000,
    }  # fmt: skip
    return pa.Table.from_pylist([{**columns, **row} for row in found], schema=QUALITY)


def scraped(sums):
    text = generate_latest(Collected(quality_families(sums))).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for one in text_string_to_metric_families(text)
        for sample in one.samples
    }


def summed(*tables, limit=20):
    sums = QualitySums(limit)
    for table in tables:
        sums.add(table)
    return sums


def of(found, name):
    return {labels: value for (sample, labels), value in found.items() if sample == name}


def by_type(found, name):
    return {dict(labels)["event_type"]: value for labels, value in of(found, name).items()}


def test_every_column_of_quality_is_told_as_it_was_counted():
    one = {
        "event_type": "a", "received": 7, "accepted": 3, "duplicates": 2, "conflicts": 1, "rejected": 2,
        "reasons": [("created_at_missing", 1), ("malformed_json", 1)], "warnings": [("created_at_text", 2)],
        "missing": [("created_at", 1), ("user.id", 0)], "rule_passes": [("r", 4)], "rule_failures": [("r", 1)],
        "units": [("seconds", 5)], "created_to_arrived": [(0.0, 1), (0.05, 2), (math.inf, 2)],
        "created_to_arrived_sum": 12.5, "arrived_to_staged": [(1.0, 5)], "arrived_to_staged_sum": 2.5,
        "dedup_seconds": 0.25, "shard_lag": [("s1", 1.5), ("s2", 0.5)],
    }  # fmt: skip
    found = scraped(summed(rows(one), rows(one)))

    def value(name, **labels):
        return found[name, tuple(sorted(labels.items()))]

    assert value("headgate_received_events_total", event_type="a") == 14
    assert value("headgate_accepted_events_total", event_type="a") == 6
    assert value("headgate_duplicate_events_total", event_type="a", kind="natural") == 2
    assert value("headgate_duplicate_events_total", event_type="a", kind="conflicting") == 2
    assert value("headgate_rejected_events_total", event_type="a", reason="created_at_missing") == 2
    assert value("headgate_event_warnings_total", event_type="a", warning="created_at_text") == 4
    assert value("headgate_missing_fields_total", event_type="a", field="user.id") == 0
    assert value("headgate_checked_fields_total", event_type="a", field="user.id") == 10
    assert value("headgate_checked_fields_total", event_type="a", field="created_at") == 12
    assert value("headgate_rule_checks_total", event_type="a", rule="r", outcome="fail") == 2
    assert value("headgate_time_units_total", event_type="a", unit="seconds") == 10
    assert value("headgate_payload_bytes_total", event_type="a") == 20
    assert value("headgate_ahead_events_total", event_type="a") == 2
    assert value("headgate_created_to_arrived_seconds_bucket", event_type="a", le="0.01") == 2
    assert value("headgate_created_to_arrived_seconds_bucket", event_type="a", le="604800.0") == 6
    assert value("headgate_created_to_arrived_seconds_count", event_type="a") == 10
    assert value("headgate_created_to_arrived_seconds_sum", event_type="a") == 25
    assert value("headgate_arrived_to_staged_seconds_sum", event_type="a") == 5
    assert value("headgate_dedup_seconds_total") == 0.5
    assert value("headgate_newest_arrival_timestamp_seconds", event_type="a") == 5
    assert value("headgate_shard_lag_seconds", shard="s1") == 1.5
    assert value("headgate_max_shard_lag_seconds") == 1.5


def test_all_metrics_of_the_catalogue_are_made_and_no_others():
    made = {family.name: family.type for family in quality_families(QualitySums(1))}
    assert made == {m.name.removesuffix("_total"): m.kind for m in QUALITY_METRICS}


def test_the_sums_are_those_of_the_other_reader_of_the_table():
    table = rows(
        {"event_type": "a", "missing": [("event_uuid", 1), ("x", 0)], "created_to_arrived": [(1.0, 4)]},
        {"event_type": "a", "received": 3, "rejected": 2, "reasons": [("event_uuid_missing", 2)], "missing": []},
        {"event_type": None, "accepted": 0, "rejected": 1, "reasons": [("malformed_json", 1)], "missing": []},
    )
    sums = summed(table).by_label
    for name, figures in figures_of([table]).items():
        one = sums[NONE if name is None else name]
        assert (one.received, one.accepted, one.rejected) == (figures.received, figures.accepted, figures.rejected)
        assert (one.missing, one.looked, one.latency) == (figures.missing, figures.looked, figures.latency)


def test_the_buckets_are_exactly_those_of_the_table():
    found = scraped(summed(rows({"event_type": "a"})))
    bounds = [float(dict(labels)["le"]) for labels in of(found, "headgate_created_to_arrived_seconds_bucket")]
    assert bounds == [*BOUNDS, math.inf]


def test_types_beyond_the_bound_share_a_label_and_the_largest_of_a_commit_come_first():
    table = rows(*({"event_type": f"t{n}", "received": n, "accepted": n} for n in range(1, 6)))
    assert by_type(scraped(summed(table, limit=2)), "headgate_received_events_total") == {"t5": 5, "t4": 4, OTHER: 6}


def test_a_type_that_has_a_label_keeps_it_and_no_series_ever_falls():
    sums = QualitySums(1)
    before = Counter()
    for name in ("a", "b", "a", "c", "b", None):
        sums.add(rows({"event_type": name, "received": 100 if name == "b" else 1}))
        now = Counter(by_type(scraped(sums), "headgate_received_events_total"))
        assert all(now[label] >= count for label, count in before.items())
        before = now
    assert before == {"a": 2, OTHER: 201, NONE: 1}


def test_types_of_which_nothing_was_ever_an_event_take_no_label():
    rubbish = rows(*({"event_type": f"x{n}", "accepted": 0, "rejected": 1} for n in range(50)))
    good = rows({"event_type": "good"})
    assert by_type(scraped(summed(rubbish, good, limit=1)), "headgate_received_events_total") == {OTHER: 50, "good": 1}


def test_a_type_that_is_called_like_one_of_our_labels_is_told_apart():
    names = [OTHER, NONE, f"{OTHER}_", "others"]
    table = rows(*({"event_type": name} for name in names), {"event_type": None})
    found = by_type(scraped(summed(table)), "headgate_received_events_total")
    assert found == {"other_": 1, "none_": 1, "other__": 1, "others": 1, NONE: 1}


def test_hostile_names_come_back_as_they_were_sent():
    lag = rows({"event_type": "a", "shard_lag": [(name, 1.0) for name in HOSTILE]})
    found = scraped(summed(rows(*({"event_type": name} for name in HOSTILE)), lag))
    assert set(HOSTILE) < set(by_type(found, "headgate_received_events_total"))
    assert {dict(labels)["shard"] for labels in of(found, "headgate_shard_lag_seconds")} == set(HOSTILE)


def test_of_very_many_shards_only_the_greatest_lag_is_told():
    found = scraped(summed(rows({"event_type": "a", "shard_lag": [(f"s{n}", float(n)) for n in range(100)]})))
    assert not of(found, "headgate_shard_lag_seconds")
    assert found["headgate_max_shard_lag_seconds", ()] == 99


def test_what_a_replay_takes_back_is_taken_off_the_sums():
    taken = {"event_type": None, "received": -1, "accepted": 0, "rejected": -1, "reasons": [("malformed_json", -1)]}
    rejected = {"event_type": None, "accepted": 0, "rejected": 1, "reasons": [("malformed_json", 1)]}
    found = scraped(summed(rows(rejected, taken, {"event_type": "a"})))
    assert by_type(found, "headgate_received_events_total") == {NONE: 0, "a": 1}
