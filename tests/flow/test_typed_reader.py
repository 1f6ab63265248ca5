"""The independent reader of typed tables finds what is wrong with them."""

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from headgate.lake.lake import LakeOptions, open_lake
from headgate.lake.local import LocalStorage
from headgate.testing.build_rows import build_all, commit
from headgate.testing.lake_rows import NOW_US
from headgate.testing.typed_reader import is_same, typed_breaches, typed_rows

PAYLOADS = [
    '{"n":1,"t":"x","o":{"a":1,"b":null}}',
    '{"n":2.5,"l":[1,2],"n2":null}',
    '{"n":"far","e":{},"o":{"b":true}}',
]


@pytest.fixture
def lake(tmp_path):
    storage = LocalStorage(tmp_path)
    opened = open_lake(storage, "delta", LakeOptions(), now_us=lambda: NOW_US)
    commit(opened, PAYLOADS)
    commit(opened, PAYLOADS, event_type="page")
    build_all(storage, opened.about, opened)
    opened.close()
    return tmp_path


def spoil(lake, change, columns=None):
    """Write a typed table anew after a change of its rows."""
    path = lake / "analytics" / "payment_order"
    rows = DeltaTable(path).to_pyarrow_dataset().to_table(columns=columns)
    metadata = {f.name: f.metadata for f in DeltaTable(path).schema().fields}
    changed = change(rows)
    schema = pa.schema([f.with_metadata(metadata.get(f.name) or {}) for f in changed.schema])
    write_deltalake(path, changed.cast(schema), mode="overwrite", schema_mode="overwrite")


def with_column(name, values):
    def change(rows):
        field = rows.schema.field(name)
        return rows.set_column(
            rows.column_names.index(name), field, pa.array(values(rows[name].to_pylist()), field.type)
        )

    return change


def test_a_lake_that_is_right_has_no_breach(lake):
    assert typed_breaches(lake) == []
    assert typed_rows(lake) == 6


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows.slice(1), "an accepted event is in no typed table"),
        (lambda rows: pa.concat_tables([rows, rows.slice(2)]), "a typed table has a row that is not in events"),
        (lambda rows: pa.concat_tables([rows, rows.slice(2)]), "an id is in the typed tables more than once"),
        (with_column("sequence", lambda values: ["77", *values[1:]]), "a typed table has a row that is not in events"),
        (with_column("event_name", lambda values: ["page:order", *values[1:]]), "a table holds two event names"),
        (with_column("event_name", lambda values: ["page:order", *values[1:]]), "an event name has two tables"),
        (with_column("n", lambda values: [7.0, *values[1:]]), "['n'] of"),
        (with_column("o", lambda values: [{"a": 1, "b": True}, *values[1:]]), "['o'] of"),
        (with_column("_rescued", lambda values: [*values[:2], None]), "['n'] of"),
        (with_column("_rescued", lambda values: [*values[:2], '{"n":"fa"}']), "['n'] of"),
        (with_column("_rescued", lambda values: ['{"z":1}', *values[1:]]), "['z'] of"),
    ],
)
def test_what_is_wrong_is_found(lake, change, said):
    spoil(lake, change)
    assert any(said in breach for breach in typed_breaches(lake))


def test_a_table_that_is_missing_is_found(lake):
    (lake / "analytics" / "payment_order").rename(lake / "elsewhere")
    assert any("is in no typed table" in breach for breach in typed_breaches(lake))


@pytest.mark.parametrize(
    ("sent", "found", "wanted"),
    [
        (1, 1.0, True),
        (2**53 + 1, float(2**53), False),
        (True, 1, False),
        (True, "true", True),
        (1, "true", False),
        ("a", '"a"', True),
        (None, None, True),
        (None, 0, False),
        ({"a": None}, {}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ([1, 2], [1], False),
        ("a", "b", False),
        (3, "high", False),
    ],
)
def test_values_are_the_same_as_json_means_them(sent, found, wanted):
    assert is_same(sent, found) is wanted
