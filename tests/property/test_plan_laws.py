"""Laws of plans: more events never cost less, what is refused stays refused, and the items are the sum."""

from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.plan.ask import DESIGNS, Ask
from headgate.core.plan.plan import Plan, plan_of
from headgate.plan.listing import price_list

PRICES = price_list()
VOLUMES = st.floats(min_value=0.1, max_value=1e11, allow_nan=False)


@st.composite
def asks(draw: st.DrawFn) -> Ask:
    return Ask(
        design=draw(st.sampled_from(list(DESIGNS))),
        events_per_hour=draw(VOLUMES),
        claims=draw(st.sampled_from(["redis", "dynamodb", "s3", "rocksdb"])),
        format=draw(st.sampled_from(["delta", "parquet", "json"])),
        event_bytes=draw(st.integers(1, 2_000_000)),
        events_per_record=draw(st.integers(1, 1000)),
        types=draw(st.integers(1, 2000)),
        window_s=draw(st.floats(1, 1e8)),
        retention_s=draw(st.floats(3600, 3e7)),
        flush_s=draw(st.floats(1, 2000)),
        keep_s=draw(st.floats(1, 1e9)),
        shards=draw(st.none() | st.integers(1, 1000)),
        is_on_demand=draw(st.none() | st.booleans()),
        has_fan_out=draw(st.booleans()),
        architecture=draw(st.sampled_from(["arm64", "x86_64"])),
        lakes=draw(st.integers(1, 50)),
    )


def planned(ask: Ask) -> Plan:
    return plan_of(ask, PRICES, has_instead=False)


@given(asks(), st.floats(1, 1e6))
def test_more_events_never_cost_less_and_what_is_refused_stays_refused(ask: Ask, times: float) -> None:
    small, large = planned(ask), planned(ask.changed(events_per_hour=ask.events_per_hour * times))
    assert large.usd >= small.usd * (1 - 1e-9)
    assert {refusal.limit for refusal in small.refusals} <= {refusal.limit for refusal in large.refusals}
    assert large.sizes.load.shards >= small.sizes.load.shards
    assert large.sizes.files.a_day >= small.sizes.files.a_day * (1 - 1e-9)


def numbers(value: object) -> list[float]:
    if isinstance(value, dict):
        return [number for one in value.values() for number in numbers(one)]
    return [value] if isinstance(value, int | float) else []


@given(asks())
def test_nothing_is_negative_and_the_items_are_the_sum(ask: Ask) -> None:
    plan = planned(ask)
    assert all(number >= 0 for number in numbers(asdict(plan.sizes)))
    assert all(item.usd > 0 and item.quantity > 0 for item in plan.items)
    assert plan.usd == pytest.approx(sum(item.usd for item in plan.items))
    assert len({(item.service, item.what) for item in plan.items}) == len(plan.items)
    assert plan.sizes.files.a_day_after_compaction <= plan.sizes.files.a_day + plan.sizes.load.commits_per_second * (
        86_400 * ask.types
    )


@given(asks())
def test_whatever_is_refused_says_what_is_needed_and_whatever_is_suggested_works(ask: Ask) -> None:
    plan = plan_of(ask, PRICES)
    for refusal in plan.refusals:
        assert refusal.sentence
        assert refusal.needed != refusal.allowed
    assert bool(plan.instead) <= bool(plan.refusals)
    for one in plan.instead:
        works = planned(one.ask)
        assert works.refusals == ()
        assert works.usd == pytest.approx(one.usd)
        assert one.ask.events_per_hour == ask.events_per_hour
