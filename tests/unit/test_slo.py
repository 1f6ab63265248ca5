"""Thresholds: what is judged, what is not, and sentences that say what, where, found and allowed."""

import pyarrow as pa
import pytest

from headgate.core.figures import COLUMNS, Figures, arrivals_of, figures_of, total
from headgate.core.schema import QUALITY
from headgate.core.slo import Allowed, Observed, judge_quality, percent, seconds

END_US = 1_790_000_000_000_000
GOOD = Figures(received=1_000, accepted=1_000)


def judged(now, allowed, *, before=None, arrivals=None, types=()):
    seen = Observed(now=now, before=before or {}, arrivals=arrivals or {}, end_us=END_US, types=types)
    return judge_quality(seen, allowed)


def sentences(findings):
    return [finding.sentence for finding in findings if finding.is_breach]


def kept(findings):
    return [(finding.check, finding.event_type) for finding in findings if not finding.is_breach]


def row(**values):
    return {"received": 0, "accepted": 0, "duplicates": 0, "conflicts": 0, "rejected": 0, "reasons": [], **values}


def table(*given):
    columns = {name: [one.get(name) for one in given] for name in COLUMNS}
    return pa.table({name: pa.array(values, QUALITY.field(name).type) for name, values in columns.items()})


def test_rows_are_added_up_by_type_whatever_block_they_stand_in():
    first = row(event_type="a", received=5, accepted=3, duplicates=1, rejected=1, reasons=[("malformed_json", 1)])
    first |= {"missing": [("event_uuid", 1), ("x", 0)], "created_to_arrived": [(1.0, 4)], "created_to_arrived_max": 0.9}
    again = row(event_type="a", received=-1, rejected=-1, reasons=[("event_uuid_missing", -1)], arrived_max=9)
    again |= {"missing": [("event_uuid", -1)], "created_to_arrived": [(1.0, -1), (5.0, 2)]}
    other = row(event_type=None, received=2, rejected=2, reasons=[("not_an_object", 2)], missing=[])
    old = row(event_type="b", received=7, accepted=7, arrived_max=5)
    found = figures_of([table(first, old), table(other, again), table(row(event_type="b", accepted=1, arrived_max=3))])
    assert found["a"] == Figures(
        received=4,
        accepted=3,
        duplicates=1,
        rejected=0,
        missing={"event_uuid": 0, "x": 0},
        looked={"x": 4, "event_uuid": 3, "event_name": 3, "created_at": 3},
        latency={1.0: 3, 5.0: 2},
        latency_max=0.9,
        reasons={"malformed_json": 1, "event_uuid_missing": -1},
    )
    assert found[None] == Figures(received=2, rejected=2, reasons={"not_an_object": 2})
    assert (found["b"].looked, found["b"].arrived_us, found["b"].accepted) == ({}, 5, 8)
    assert total(found).received == 13


def test_arrivals_are_those_of_accepted_events():
    blocks = [
        table(row(event_type="a", accepted=2, arrived_max=7), row(event_type="a", arrived_max=99)),
        table(row(event_type="a", accepted=1, arrived_max=6), row(event_type="b", arrived_max=1)),
    ]
    assert arrivals_of(blocks) == {"a": (3, 7)}


def test_rates_are_judged_of_all_and_of_each_type():
    now = {
        "good": GOOD,
        "bad": Figures(received=200, accepted=180, duplicates=16, conflicts=10, rejected=4),
        None: Figures(received=300, rejected=300),
    }
    limits = {"max_duplicate_rate": 0.05, "max_conflict_rate": 0.05, "max_reject_rate": 0.05}
    found = judged(now, Allowed(rates=limits))
    assert sentences(found) == [
        "duplicates of bad: 8 % (16 of 200), allowed 5 %",
        "rejects of all types: 20.3 % (304 of 1,500), allowed 5 %",
    ]
    assert [(one.check, one.event_type, one.found) for one in found if one.is_breach] == [
        ("max_duplicate_rate", "bad", 0.08),
        ("max_reject_rate", None, 304 / 1_500),
    ]
    assert kept(found)[:2] == [("max_duplicate_rate", None), ("max_duplicate_rate", "good")]


def test_a_limit_that_is_reached_is_kept():
    now = {"a": Figures(received=100, accepted=95, duplicates=5)}
    assert sentences(judged(now, Allowed(rates={"max_duplicate_rate": 0.05}))) == []
    assert len(sentences(judged(now, Allowed(rates={"max_duplicate_rate": 0.0499})))) == 2


def test_too_few_events_are_not_judged():
    now = {"a": Figures(received=99, rejected=99), "b": GOOD}
    assert kept(judged(now, Allowed(rates={"max_reject_rate": 0.5}))) == [
        ("max_reject_rate", None),
        ("max_reject_rate", "b"),
    ]
    assert sentences(judged(now, Allowed(rates={"max_reject_rate": 0.5}, sample=99))) == [
        "rejects of a: 100 % (99 of 99), allowed 50 %"
    ]


def lacking(**missing):
    looked = dict.fromkeys(("event_uuid", "event_name", "created_at", "x"), 1_000)
    return Figures(received=1_000, accepted=1_000, missing=missing, looked=looked)


def test_missing_fields_have_a_limit_for_all_and_one_of_their_own():
    now = {"a": lacking(x=30, created_at=30), "b": lacking()}
    assert sentences(judged(now, Allowed(missing={None: 0.02, "x": 0.01}))) == [
        "missing created_at of a: 3 % (30 of 1,000), allowed 2 %",
        "missing x of all types: 1.5 % (30 of 2,000), allowed 1 %",
        "missing x of a: 3 % (30 of 1,000), allowed 1 %",
    ]
    assert sentences(judged(now, Allowed(missing={"x": 0.03}))) == []


def test_a_field_that_nobody_counts_is_a_breach():
    (said,) = sentences(judged({"a": lacking()}, Allowed(missing={"y": 0.5})))
    assert said.startswith("missing y: not counted in this window, allowed 50 %; name it in [quality] fields")
    assert judged({}, Allowed(missing={"y": 0.5})) == []


def test_freshness_is_the_age_of_the_newest_accepted_event():
    arrivals = {"a": (500, END_US - 10_000_000), "b": (500, END_US - 7_200_000_000), "rare": (99, 0), None: (5, END_US)}
    found = judged({}, Allowed(freshness_seconds=900.0), arrivals=arrivals)
    assert sentences(found) == ["freshness of b: newest accepted event arrived 2 h ago, allowed 15 min"]
    assert kept(found) == [("max_freshness", None), ("max_freshness", "a")]
    assert sentences(judged({}, Allowed(freshness_seconds=900.0))) == [
        "freshness of all types: nothing accepted lately, allowed 15 min"
    ]
    found = judged({}, Allowed(freshness_seconds=900.0), arrivals=arrivals, types=("rare",))
    assert [one.event_type for one in found if one.is_breach] == ["rare"]


def test_latency_is_judged_exactly_at_a_bound():
    now = {"a": Figures(received=100, accepted=100, latency={60.0: 95, 120.0: 5}, latency_max=110.0)}
    assert sentences(judged(now, Allowed(latency_seconds=60.0))) == []
    now = {"a": Figures(received=100, accepted=100, latency={60.0: 94, 120.0: 6}, latency_max=110.0)}
    assert sentences(judged(now, Allowed(latency_seconds=60.0)))[1] == (
        "latency of a: 95 % arrive within 68.3 s of their creation (between 60 s and 110 s), allowed 60 s"
    )
    assert judged({"a": Figures(latency={60.0: 99})}, Allowed(latency_seconds=1.0)) == []


def test_volume_is_compared_with_the_window_before():
    before = {"a": GOOD, "gone": GOOD, "few": Figures(received=5, accepted=5)}
    found = judged({"a": GOOD, "new": GOOD}, Allowed(volume_ratio=0.9), before=before)
    assert sentences(found) == [
        "volume of gone: 0 accepted, 0 % of the 1,000 in the same time right before, at least 90 % expected"
    ]
    assert kept(found) == [("min_volume_ratio", None), ("min_volume_ratio", "a")]
    (said,) = sentences(judged({}, Allowed(volume_ratio=0.5, is_day_before=True), before=before, types=("a",)))
    assert said == "volume of a: 0 accepted, 0 % of the 1,000 in the same time a day before, at least 50 % expected"
    assert judged({}, Allowed(volume_ratio=0.5)) == []


def test_a_least_number_of_events_is_of_all_types_that_are_looked_at():
    now = {"a": GOOD, "b": GOOD}
    assert sentences(judged(now, Allowed(events=2_000))) == []
    assert sentences(judged(now, Allowed(events=2_001))) == [
        "volume of all types: 2,000 accepted, at least 2,001 expected"
    ]
    assert sentences(judged(now, Allowed(events=1_001), types=("a",))) == [
        "volume of a: 1,000 accepted, at least 1,001 expected"
    ]
    assert sentences(judged({}, Allowed(events=1))) == ["volume of all types: 0 accepted, at least 1 expected"]


def test_an_empty_window_breaks_no_rate():
    limits = Allowed(rates={"max_reject_rate": 0.0}, missing={None: 0.0}, latency_seconds=0.0, sample=1)
    assert judged({}, limits) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (seconds(0.25), "0.25 s"),
        (seconds(90), "90 s"),
        (seconds(7_200), "2 h"),
        (seconds(172_800), "2 d"),
        (percent(0.0123), "1.23 %"),
        (percent(12.5), "1,250 %"),
    ],
)
def test_numbers_are_for_people(text, said):
    assert text == said


def test_the_names_of_the_thresholds_given():
    assert Allowed().checks == []
    every = Allowed(
        rates={"max_reject_rate": 0.1},
        missing={None: 0},
        freshness_seconds=0,
        latency_seconds=0,
        volume_ratio=0,
        events=0,
    )
    assert every.checks == [
        "max_reject_rate",
        "max_missing_rate",
        "max_freshness",
        "max_latency_p95",
        "min_volume_ratio",
        "min_events",
    ]
