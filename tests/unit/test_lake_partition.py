"""Partition folders hold any name, and tables are cut without losing the order of rows."""

import datetime

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.partition import Part, escape, fits, folder, split, unescape

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(TEXT)
def test_a_value_is_given_back_exactly(value):
    assert unescape(escape(value)) == value


@given(TEXT)
def test_an_escaped_value_is_a_plain_folder_name(value):
    name = escape(value)
    assert name.isascii()
    assert not set(name) & set('/\\=:*?"<>| \0\n')
    assert name[0] not in "._"
    assert name[-1] != "."


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("payment", "payment"),
        ("a/b=c%2F", "a%2Fb%3Dc%252F"),
        ("__HIVE_DEFAULT_PARTITION__", "%5F_HIVE_DEFAULT_PARTITION__"),
        ("..", "%2E%2E"),
        ("é", "%C3%A9"),
        ("v1.", "v1%2E"),
    ],
)
def test_names_look_like_this(value, name):
    assert escape(value) == name


def test_the_escaped_name_decides_what_fits():
    assert fits("x" * 240)
    assert not fits("x" * 241)
    assert not fits("é" * 41)
    assert not fits("")


def test_a_folder_names_its_columns():
    assert folder(("event_type", "created_date"), ("a b", "2026-11-20")) == "event_type=a%20b/created_date=2026-11-20"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2)), max_size=50))
def test_every_row_is_in_its_partition_in_its_order(rows):
    table = pa.table(
        {
            "event_type": pa.array([t for t, _ in rows], pa.string()),
            "created_date": pa.array([d for _, d in rows], pa.int32()).cast(pa.date32()),
            "row": pa.array(range(len(rows)), pa.int64()),
        }
    )
    ordered, parts = split(table, ("event_type", "created_date"))
    found = {part.values: ordered["row"].slice(part.start, part.length).to_pylist() for part in parts}
    expected: dict[tuple[str, str], list[int]] = {}
    for i, (event_type, day) in enumerate(rows):
        date = datetime.date(1970, 1, 1) + datetime.timedelta(days=day)
        expected.setdefault((event_type, date.isoformat()), []).append(i)
    assert found == expected
    assert ordered.column_names == ["row"]


def test_a_table_without_partition_columns_is_one_part():
    assert split(pa.table({"n": [1, 2]}), ())[1] == [Part((), 0, 2)]


def test_a_null_partition_is_refused():
    with pytest.raises(ValueError, match="event_type"):
        split(pa.table({"event_type": pa.array(["a", None])}), ("event_type",))
