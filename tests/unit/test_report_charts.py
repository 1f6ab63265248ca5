"""Charts: well-formed whatever the figures and names, gaps are gaps, and no text of others becomes markup."""

import math
import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.histogram import BUCKETS
from headgate.report.charts import HEIGHT, WIDTH, Layer, bar, columns, histogram, lines, spark
from headgate.report.history import DAY_US, MINUTE_US, STEPS, Span

HOSTILE = "<script>alert(1)</script>\"><img onerror=x>{{7*7}}\x1b[31m\u202e\x00\ud800&'"
START_US = 1_795_000_000_000_000

finite = st.floats(0, 1e12)
gaps = st.lists(st.one_of(finite, st.just(math.nan)), min_size=1, max_size=30)


def span_of(count, step=MINUTE_US):
    return Span(START_US // step * step, step, count)


def numbers(svg):
    return [float(n) for path in re.findall(r' d="([^"]*)"', svg) for n in re.findall(r"-?\d+\.?\d*", path)]


@given(values=st.lists(st.integers(0, 10**9), min_size=1, max_size=30), step=st.sampled_from(STEPS))
def test_columns_are_well_formed_and_stay_within_the_picture(values, step):
    svg = columns(
        span_of(len(values), step), [Layer("a", "accepted", values), Layer("b", "rejected", values)], "t", "d"
    )
    ET.fromstring(svg)
    assert "nan" not in svg
    assert all(-max(WIDTH, HEIGHT) <= n <= max(WIDTH, HEIGHT) for n in numbers(svg))


@given(values=gaps, seconds=st.lists(finite, max_size=3))
def test_lines_and_histograms_are_well_formed(values, seconds):
    svg = lines(span_of(len(values)), [Layer("p", "accepted", values)], "t", "d")
    ET.fromstring(svg)
    assert "nan" not in svg
    found = histogram({1.0: 3, 60.0: 2, math.inf: 1, 0.0: 1}, [("p", value) for value in seconds], "t", "d")
    ET.fromstring(found)


def test_a_gap_breaks_a_line_and_a_single_point_is_a_dot():
    svg = lines(span_of(6), [Layer("p", "accepted", [1.0, 2.0, math.nan, 3.0, math.nan, math.nan])], "t", "d")
    assert svg.count('class="line accepted"') == 1
    assert svg.count("<circle") == 1


def test_a_column_is_as_high_as_its_share_of_the_scale():
    svg = columns(span_of(2), [Layer("a", "accepted", [100, 50])], "t", "d")
    (path,) = re.findall(r'class="fill accepted" d="([^"]*)"', svg)
    heights = [float(n) for n in re.findall(r"v(-?[\d.]+)", path)]
    assert heights[0] == pytest.approx(2 * heights[1], abs=0.02)


def test_names_of_others_never_become_markup():
    drawn = [
        columns(span_of(2), [Layer(HOSTILE, "accepted", [1, 2])], HOSTILE, HOSTILE),
        lines(span_of(2), [Layer(HOSTILE, "accepted", [1.0, 2.0])], HOSTILE, HOSTILE),
        histogram({1.0: 1}, [(HOSTILE, 0.5)], HOSTILE, HOSTILE),
        spark([1, 2], HOSTILE),
        bar(0.5, HOSTILE),
    ]
    for svg in drawn:
        ET.fromstring(svg.encode())
        assert "<script" not in svg
        assert "<img" not in svg
        assert not set("\x1b\u202e\x00\ud800") & set(svg)


def test_nothing_is_drawn_of_nothing():
    assert histogram({}, [], "t", "d") == histogram(dict.fromkeys(BUCKETS, 0), [], "t", "d") == spark([], "d") == ""
    ET.fromstring(columns(span_of(3), [Layer("a", "accepted", [0, 0, 0])], "t", "d"))


def test_an_axis_of_days_names_days():
    svg = columns(span_of(30, DAY_US), [Layer("a", "accepted", [1] * 30)], "t", "d")
    assert re.search(r">\d\d [A-Z][a-z]{2}<", svg)
