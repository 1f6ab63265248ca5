"""`created_at`: units by magnitude, exact nanoseconds, rounding, text, and the ends of time."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.instants import END_US, instants, iso_us
from headgate.core.reasons import NUMERIC_TEXT, Warn

MS, US, NS = Warn.CREATED_AT_UNIT_MS, Warn.CREATED_AT_UNIT_US, Warn.CREATED_AT_UNIT_NS
TEXT = Warn.CREATED_AT_TEXT


def read(value):
    found = instants([value])
    return int(found.us[0]) if found.ok[0] else None, int(found.warnings[0])


@pytest.mark.parametrize("kind", [int, float])
@pytest.mark.parametrize(
    ("value", "us", "warning"),
    [
        (0, 0, 0),
        (1, 1_000_000, 0),
        (99_999_999_999, 99_999_999_999_000_000, 0),
        (10**11, 10**14, MS),
        (10**11 + 1, 10**14 + 1_000, MS),
        (10**14 - 1_000, 10**17 - 10**6, MS),
        (10**14, 10**14, US),
        (10**14 + 1, 10**14 + 1, US),
        (10**17, 10**14, NS),
        (1_790_000_000_123_456_768, 1_790_000_000_123_457, NS),
    ],
)
def test_the_unit_follows_the_magnitude(value, us, warning, kind):
    assert read(kind(value)) == (us, warning)


@pytest.mark.parametrize(
    ("value", "us"),
    [
        (10**17 - 1, 10**17 - 1),
        (1_790_000_000_123_456_499, 1_790_000_000_123_456),
        (1_790_000_000_123_456_500, 1_790_000_000_123_457),
        (1_790_000_000_123_456_501, 1_790_000_000_123_457),
        (2**63 - 1, (2**63 - 1 + 500) // 1000),
        (2**64, (2**64 + 500) // 1000),
    ],
)
def test_integers_are_exact_where_no_double_is(value, us):
    assert read(value)[0] == us
    assert read(str(value)) == (us, read(value)[1] | TEXT | NUMERIC_TEXT)


@pytest.mark.parametrize(
    "value",
    [-1, -0.001, float("inf"), END_US * 1000, 10**400, -(10**400), 10**25, "x", "12:00", "1e999", "-5", "NaN"],
)
def test_what_is_no_instant_is_invalid(value):
    assert instants([value]).present[0]
    assert read(value)[0] is None


@pytest.mark.parametrize("value", [None, ""])
def test_what_is_not_sent_is_missing(value):
    found = instants([value])
    assert not found.present[0]
    assert not found.ok[0]
    assert found.warnings[0] == 0


@pytest.mark.parametrize(
    ("value", "us"),
    [
        (0.0000004, 0),
        (0.0000006, 1),
        (1790000000.5, 1_790_000_000_500_000),
        (1790000000.1234567, 1_790_000_000_123_457),
    ],
)
def test_fractions_are_rounded_to_microseconds(value, us):
    assert read(value) == (us, 0)


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01 00:00Z", 0),
        ("1970-01-01t00:00:00.0000005z", 1),
        ("1970-01-01T00:00:00,25+0000", 250_000),
        ("1969-12-31T23:00:00-01", 0),
        ("9999-12-31T23:59:59.999999Z", END_US - 1),
        ("2024-02-29T12:00:00.123Z", 1_709_208_000_123_000),
    ],
)
def test_date_times_with_an_offset(text, us):
    assert read(text) == (us, TEXT)
    assert iso_us(text) == us


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-20T00:00:00",
        "2026-11-20",
        "2026-13-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-11-20T24:00:01Z",
        "9999-12-31T23:59:59.9999999Z",
        "9999-12-31T23:30:00-01:00",
        "1969-12-31T23:59:59Z",
        "10000-01-01T00:00:00Z",
        "2026-11-20T00:00:00Z ",
        "٢٠٢٦-11-20T00:00:00Z",
        "2026-11-20T00:00:00.٥Z",
        "١٧٩٠٠٠٠٠٠٠",
    ],
)
def test_date_times_that_are_none(text):
    assert read(text)[0] is None


@given(
    st.lists(
        st.one_of(
            st.none(),
            st.integers(-10, 2**70),
            st.floats(0, 1e20),
            st.sampled_from(["1790000000", "2026-11-20T00:00:00Z", "2026-13-20T00:00:00Z", "", "1.5", "x"]),
        )
    )
)
def test_what_stands_beside_a_value_does_not_matter(values):
    together = instants(values)
    for i, value in enumerate(values):
        alone = instants([value])
        for mine, theirs in zip(together, alone, strict=True):
            assert mine[i] == theirs[0] or (math.isnan(mine[i]) and math.isnan(theirs[0]))
