"""What the live view and the metrics make of a ledger's newest entries and of figures of the history."""

from __future__ import annotations

import numpy as np
import pytest

from headgate.core.figures import ByType, Figures, total
from headgate.lake.entry import Head
from headgate.records import Counts
from headgate.report.dashboard.metrics import LakeMetrics
from headgate.report.dashboard.panels import NO_TYPE, add_window
from headgate.report.dashboard.past import MINUTE_US, Window
from headgate.report.dashboard.view import View
from headgate.report.dashboard.watch import Freshness, Seen
from headgate.report.history import Series, Span

NOW_US = 1_795_000_000_000_000


def window(figures: dict[str | None, Figures]) -> Window:
    span = Span(NOW_US - 15 * MINUTE_US, MINUTE_US, 15)
    zeros = np.zeros(span.steps, dtype=np.int64)
    series = Series(span, *[zeros] * 6)
    return Window(
        key="15m", figures=figures, total=total(figures), series=series, sparks={}, lags={}, start_us=span.start_us
    )


def test_a_type_leads_to_its_rejects_and_none_to_those_without_a_type() -> None:
    view = View()
    figures = {
        "a&b": Figures(received=9, rejected=4),
        None: Figures(received=5, rejected=5),
        "clean": Figures(received=2, accepted=2),
    }
    add_window(view, window(figures), NOW_US, is_every_type=False)
    links = {row[0].text: row[4].href for row in view.lists["types"]}
    assert links == {"a&b": "/rejects?type=a%26b", NO_TYPE: "/rejects?untyped=yes", "clean": ""}


def heads(count: int, *, every_us: int, last_us: int = NOW_US, first: int = 1_001, **of: str) -> list[Head]:
    """Entries of 100 events each; `of` tells the kind of one by its place."""
    return [
        Head(
            number=first + i,
            entry_id=f"e{i}",
            kind=of.get(f"at_{i}", "batch"),
            committed_us=last_us - (count - 1 - i) * every_us,
            committed_at="",
            counts=Counts(100, 90, 5, 5),
        )
        for i in range(count)
    ]


def test_rates_of_a_busy_lake_are_those_of_the_time_that_is_known() -> None:
    assert Seen(heads=heads(120, every_us=100_000)).rates(NOW_US) == pytest.approx((1_000, 900, 50, 50))


@pytest.mark.parametrize("kind", ["note", "replay"])
@pytest.mark.parametrize("at", [0, 60, 119])
def test_a_note_or_a_replay_among_the_commits_changes_the_rate_by_itself_alone(kind: str, at: int) -> None:
    seen = Seen(heads=heads(120, every_us=100_000, **{f"at_{at}": kind}))
    assert seen.rates(NOW_US)[0] == pytest.approx(1_000, rel=0.01)


def test_rates_of_a_quiet_or_young_lake_are_those_of_the_whole_minute() -> None:
    assert Seen(heads=heads(12, every_us=10_000_000)).rates(NOW_US)[0] == 6 * 100 / 60
    assert Seen(heads=heads(3, every_us=1_000_000, first=1)).rates(NOW_US)[0] == 3 * 100 / 60
    assert Seen().rates(NOW_US) == (0, 0, 0, 0)


def test_a_writer_whose_clock_is_ahead_makes_no_rate_of_millions() -> None:
    seen = Seen(heads=heads(120, every_us=100_000, last_us=NOW_US + 30_000_000))
    assert seen.rates(NOW_US)[0] == pytest.approx(1_000)


class Told:
    """What a watch tells the metrics."""

    def __init__(self) -> None:
        self.totals: tuple[str, ByType] | None = None
        self.seen, self.freshness = Seen(), Freshness(as_of_us=0, problem=None)

    def any_window(self) -> None:
        return None


def scraped(metrics: LakeMetrics) -> dict[tuple[str, str], float]:
    """Counters, and their like of histograms, by name and labels."""
    return {
        (sample.name, str(sorted(sample.labels.items()))): sample.value
        for family in metrics.collect()
        if family.type in ("counter", "histogram")
        for sample in family.samples
    }


def of(found: dict[tuple[str, str], float], name: str, **labels: str) -> float | None:
    return found.get((name, str(sorted(labels.items()))))


REJECTED = Figures(received=5, rejected=5, reasons={"schema": 5}, payload_bytes=50)
ACCEPTED = Figures(received=2, accepted=2, payload_bytes=20, latency={1.0: 2}, latency_sum_us=1_500_000, dedup_us=7)
REPLAYED = Figures(  # three of the rejects are accepted now, and a duplicate turned out to be a conflict
    received=5, accepted=3, duplicates=0, conflicts=0, rejected=2, reasons={"schema": 2, "new": 1}, payload_bytes=50,
    latency={1.0: 3}, latency_sum_us=2_500_000,
)  # fmt: skip


def test_no_counter_falls_or_goes_from_one_scrape_to_the_next() -> None:
    told = Told()
    metrics = LakeMetrics(told, 2)
    history: list[ByType] = [
        {"a": REJECTED},
        {"a": REJECTED + ACCEPTED},  # gets a label of its own
        {"a": REPLAYED + ACCEPTED, "b": Figures(received=4, accepted=1, duplicates=3)},
        {"a": REPLAYED + ACCEPTED, "b": Figures(received=4, accepted=1, duplicates=3, conflicts=2)},
        {"a": REPLAYED + REJECTED, "b": ACCEPTED, "c": ACCEPTED, None: REJECTED},
        {"a": REPLAYED + REJECTED, "b": ACCEPTED + ACCEPTED, "c": ACCEPTED + ACCEPTED, None: Figures()},
    ]
    before: dict[tuple[str, str], float] = {}
    for totals in history:
        told.totals = ("lake", totals)
        found = scraped(metrics)
        assert not [key for key, value in before.items() if found.get(key, -1.0) < value]
        before = found
    received = "headgate_received_events_total"
    assert of(before, received, event_type="other") == 5 + 4  # of a before its label, and of c beyond the bound
    assert of(before, received, event_type="a") == 2 + 3
    assert of(before, received, event_type="none") == 5
    # 5 under the label of then, 5 that came after three were taken back
    assert of(before, "headgate_rejected_events_total", event_type="other", reason="schema") == 5
    assert of(before, "headgate_rejected_events_total", event_type="a", reason="schema") == 5


def test_a_scrape_without_news_and_one_before_the_history_change_nothing() -> None:
    told = Told()
    metrics = LakeMetrics(told, 2)
    assert scraped(metrics) == {}
    told.totals = ("lake", {"a": REJECTED + ACCEPTED})
    first = scraped(metrics)
    assert of(first, "headgate_received_events_total", event_type="a") == 7
    assert scraped(metrics) == first


def test_another_lake_in_its_place_is_counted_from_its_beginning() -> None:
    told = Told()
    metrics = LakeMetrics(told, 2)
    told.totals = ("lake", {"a": REJECTED + ACCEPTED})
    scraped(metrics)
    told.totals = ("another", {"a": ACCEPTED})
    assert of(scraped(metrics), "headgate_received_events_total", event_type="a") == 2
