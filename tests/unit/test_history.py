"""`History`: sums over any range, type and step are those of the rows, in whatever order and blocks they come."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headgate.core.figures import figures_of, total
from headgate.core.histogram import BUCKETS, quantile
from headgate.core.quality import quality_table
from headgate.core.schema import COUNTS, HISTOGRAM, QUALITY, TIMESTAMP
from headgate.report.history import COLUMNS, DAY_US, HOUR_US, MINUTE_US, History, Lag, Span
from headgate.report.lags import told_lags

START_US = 1_795_000_000_000_000 // DAY_US * DAY_US
TYPES = ("a", "b", "c", None)


def rows(count: int, seed: int = 0, length_us: int = 3 * HOUR_US, start_us: int = START_US) -> pa.Table:
    """Rows of random figures, some of them taken back; staged anywhere within a time."""
    random = np.random.default_rng(seed)
    sign = np.where(random.random(count) < 0.1, -1, 1)
    parts = [random.integers(0, 50, count) * sign for _ in range(3)]
    staged = start_us + random.integers(0, length_us, count)

    def maps(names, kind):
        return pa.array(
            [[(name, int(random.integers(1, 9))) for name in names if random.random() < 0.5] for _ in range(count)],
            kind,
        )

    known = {
        "entry_id": pa.array([f"e{i}" for i in range(count)]),
        "staged_at": pa.array(staged).cast(TIMESTAMP),
        "event_type": pa.array([TYPES[i] for i in random.integers(0, len(TYPES), count)]),
        **dict(zip(("accepted", "duplicates", "rejected"), map(pa.array, parts), strict=True)),
        "received": pa.array(sum(parts)),
        "conflicts": pa.array(parts[1] // 2),
        "payload_bytes": pa.array(parts[0] * 300),
        "reasons": maps(["malformed_json", "rule:x"], COUNTS),
        "missing": maps(["event_uuid", "user.id"], COUNTS),
        "units": maps(["seconds", "milliseconds"], COUNTS),
        "created_to_arrived": maps(BUCKETS, HISTOGRAM),
        "arrived_max": pa.array(staged - 1).cast(TIMESTAMP),
        "created_min": pa.array(staged - 9).cast(TIMESTAMP),
        "shard_lag": pa.array([[(f"s{i % 3}", float(i))] for i in range(count)], QUALITY.field("shard_lag").type),
    }
    return quality_table(known, count).select(COLUMNS)


def history_of(*blocks: pa.Table, **options: int) -> History:
    found = History(**options)
    for block in blocks:
        found.add(block)
    return found


def staged_of(table: pa.Table) -> np.ndarray:
    return np.asarray(table["staged_at"].cast(pa.int64()))


def test_sums_are_those_of_the_rows_in_any_order_and_blocks():
    table = rows(600)
    shuffled = table.take(pa.array(np.random.default_rng(1).permutation(600)))
    one = history_of(table)
    many = history_of(*(shuffled.slice(i, 7) for i in range(0, 600, 7)))
    assert one.figures() == many.figures() == figures_of([table])
    assert (one.rows, one.cells) == (many.rows, many.cells)
    assert (one.first_us, one.last_us) == (staged_of(table).min(), staged_of(table).max())


def test_a_range_of_minutes_holds_its_rows_only():
    table = rows(600)
    start, end = START_US + 20 * MINUTE_US, START_US + 90 * MINUTE_US
    within = table.filter(pa.array((staged_of(table) >= start) & (staged_of(table) < end)))
    assert history_of(table).figures(start, end) == figures_of([within])
    assert history_of(table).figures(0, START_US) == {}
    only = history_of(table, since_us=start + 1, until_us=end - 1)
    kept = table.filter(pa.array((staged_of(table) >= start + 1) & (staged_of(table) < end - 1)))
    assert only.figures() == figures_of([kept])


def test_series_grids_and_names_add_up_to_the_figures():
    history = history_of(rows(600))
    figures, span = history.figures(), history.span(12)
    assert (span.step_us, span.steps) == (15 * MINUTE_US, 12)
    series = history.series(span)
    for name in ("received", "accepted", "duplicates", "conflicts", "rejected"):
        assert getattr(series, name).sum() == getattr(total(figures), name)
    assert {name: counts.sum() for name, counts in history.grid("accepted", span).items()} == {
        name: one.accepted for name, one in figures.items()
    }
    units = history.named("units", span)
    assert {pair: counts.sum() for pair, counts in units.items()} == {
        (name, unit): count for name, one in figures.items() for unit, count in one.units.items()
    }
    assert history.series(span, ["a"]).accepted.sum() == figures["a"].accepted
    quiet = Span(START_US - HOUR_US, MINUTE_US, 30)
    assert history.series(quiet).received.tolist() == [0] * 30


def test_each_step_has_the_figures_of_its_time():
    history = history_of(rows(600))
    span = Span(START_US + HOUR_US, HOUR_US, 2)
    (p95,) = history.quantiles("created_to_arrived", span, [0.95], ["a"])
    for i, start in enumerate(span.times):
        figures = history.figures(start, start + HOUR_US)
        assert history.series(span).rejected[i] == total(figures).rejected
        assert history.extremes("created_min", span)["b"][i] == figures["b"].created_min_us
        assert p95[i] == quantile(figures["a"].latency, 0.95).seconds
    assert np.isnan(history.quantiles("arrived_to_staged", span, [0.5])[0]).all()


@pytest.mark.parametrize("days", [1, 3, 90])
def test_joining_old_times_changes_no_sum(days: int):
    blocks = [rows(2_000, seed, days * DAY_US) for seed in range(3)]
    small, large = history_of(*blocks, most=500), history_of(*blocks)
    assert small.figures() == large.figures() == figures_of(blocks)
    assert small.cells < large.cells
    later = Span(START_US + (days - 1) * DAY_US, DAY_US, 1)
    assert np.array_equal(small.series(later).received, large.series(later).received)
    minutes = Span(small.last_us - small.last_us % HOUR_US, MINUTE_US, 60)
    assert np.array_equal(small.series(minutes).received, large.series(minutes).received)


@given(
    begun=st.integers(0, 1_439),
    hours=st.sampled_from([2, 30, 46, 100, 24 * 45]),
    most=st.sampled_from([50, 120, 250_000]),
    hours_before=st.integers(-100, 3_000),
    asked=st.integers(0, 2_000),
    most_steps=st.sampled_from([12, 96]),
)
@example(begun=15, hours=46, most=120, hours_before=-100, asked=100, most_steps=96)
@settings(max_examples=25, deadline=None)
def test_a_span_loses_no_row_wherever_it_begins_and_whatever_was_joined(
    begun: int, hours: int, most: int, hours_before: int, asked: int, most_steps: int
):
    start = START_US + begun * MINUTE_US
    table = rows(200, begun, hours * HOUR_US, start)
    blocks = [table.slice(i, 40) for i in range(0, 200, 40)]
    history = history_of(*blocks, most=most, hours_before_us=start + hours_before * MINUTE_US)
    staged, received = staged_of(table), np.asarray(table["received"])
    figures = history.figures()
    for span in (history.span(most_steps), history.span(3_000, is_even=False)):
        assert history.series(span).received.sum() == total(figures).received == received.sum()
        assert {name: counts.sum() for name, counts in history.grid("accepted", span).items()} == {
            name: one.accepted for name, one in figures.items()
        }
    later = start + asked * MINUTE_US
    chart = history.span(most_steps, later, start + hours * HOUR_US)
    assert chart.start_us <= later
    for time, shown in zip(chart.times, history.series(chart).received, strict=True):
        assert shown == received[(staged >= time) & (staged < time + chart.step_us)].sum()
    held = (later - later % step for step in (MINUTE_US, HOUR_US, DAY_US))
    assert history.figures(later) in [figures_of([table.filter(pa.array(staged >= us))]) for us in held]


def test_the_steps_of_a_chart_are_not_shorter_than_the_hours_that_were_joined():
    history = history_of(rows(2_000, 0, 46 * HOUR_US), most=500)
    assert history.span(96).step_us == HOUR_US
    assert history.span(96, history.last_us - HOUR_US).step_us == MINUTE_US
    assert history.span(3_000, is_even=False).step_us == MINUTE_US


def test_the_lag_of_a_shard_is_the_one_that_was_staged_last():
    table = rows(300)
    order = staged_of(table).argsort().tolist()
    history = history_of(table.slice(0, 150), table.slice(150))
    for shard in range(3):
        newest = next(i for i in reversed(order) if i % 3 == shard)
        assert history.lags[f"s{shard}"] == (float(newest), staged_of(table)[newest])


def test_a_lag_is_told_only_where_one_shard_alone_has_the_name():
    lags = {"shardId-000000000000": Lag(9.0, START_US), "x": Lag(1.0, START_US)}
    assert told_lags(lags, ["shardId-000000000000", "x"]) == lags
    assert told_lags(lags, ["shardId-000000000000", "shardId-000000000000", "x"]) == {"x": lags["x"]}


def test_counts_above_a_bound_are_those_of_its_buckets_together():
    history = history_of(rows(600))
    span = history.span(12)
    above = history.above("created_to_arrived", 60.0, span)
    assert above.keys() == set(TYPES)
    for name, counts in above.items():
        buckets = history.named("created_to_arrived", span)
        slow = [bucket for (of, bound), bucket in buckets.items() if of == name and bound > 60.0]
        assert counts.tolist() == sum(slow).tolist()


def test_nothing_is_nothing():
    history = history_of(rows(3).slice(0, 0))
    assert (history.figures(), history.rows, history.first_us, history.cells) == ({}, 0, None, 0)
    span = history.span(10)
    assert history.series(span).received.tolist() == [0]
    assert history.grid("accepted", span) == history.named("units", span) == {}
