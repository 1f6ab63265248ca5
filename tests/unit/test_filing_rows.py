"""What becomes of delivered rows, judged beside a naive model: one row after the other."""

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.core.filing import NONE, judge, known_of, once
from headgate.core.schema import DUPLICATES, EVENTS, REJECTED

WINDOW = 10
SETTLED = 25

IDS = st.sampled_from(["a", "b", "01234567-89ab-cdef-0123-456789abcdef", "0123456789ABCDEF0123456789ABCDEF"])
ROWS = st.lists(st.tuples(IDS, st.integers(0, 40)), max_size=8)


def table(schema, rows):
    columns = []
    for field in schema:
        values = [row.get(field.name) for row in rows]
        is_time = pa.types.is_timestamp(field.type)
        columns.append(pa.array(values, pa.int64()).cast(field.type) if is_time else pa.array(values, field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def rows(some, start):
    return [
        {"event_uuid": i, "arrived_at": us, "source": "s", "shard": "0", "sequence": str(start + n)}
        for n, (i, us) in enumerate(some)
    ]


def apart(some):
    """A lake holds no two events of an id within the window."""
    kept = []
    for i, us in some:
        if all(key(i) != key(j) or abs(us - other) > WINDOW for j, other in kept):
            kept.append((i, us))
    return kept


def key(text):
    return text.lower().replace("-", "")


@settings(max_examples=300)
@given(known=ROWS.map(apart), events=ROWS, copies=st.lists(st.tuples(IDS, st.integers(0, 40), st.integers(0, 20))))
def test_each_id_is_accepted_once_within_the_window(known, events, copies):
    lake = rows(known, 0)
    batch = rows(events, 100)
    duplicates = [
        {**row, "original_shard": "0", "original_sequence": str(100 + at if at < 10 else at - 10)}
        for row, (_, _, at) in zip(rows([c[:2] for c in copies], 200), copies, strict=True)
    ]
    found = judge(known_of(table(EVENTS, lake)), table(EVENTS, batch), table(DUPLICATES, duplicates), WINDOW, SETTLED)
    owners = [*lake, *batch]
    accepted = [*lake, *(row for row, is_new in zip(batch, found.accepted, strict=True) if is_new)]
    assert len(apart([(row["event_uuid"], row["arrived_at"]) for row in accepted])) == len(accepted)
    for row, is_new, original in zip(batch, found.accepted, found.original.tolist(), strict=True):
        near = [o for o in accepted if o is not row and is_near(o, row)]
        assert is_new == (not near)
        assert (original == NONE) if is_new else any(owners[original] is o for o in near)
    for row, is_filed, mended in zip(duplicates, found.is_filed, found.mended.tolist(), strict=True):
        own = [o for o in accepted if o["sequence"] == row["original_sequence"] and same(o, row)]
        near = [o for o in accepted if is_near(o, row)]
        assert is_filed == bool(own or near or row["arrived_at"] < SETTLED)
        assert (mended == NONE) if own or not near else any(owners[mended] is o for o in near)


def same(one, other):
    return key(one["event_uuid"]) == key(other["event_uuid"])


def is_near(one, other):
    return same(one, other) and abs(one["arrived_at"] - other["arrived_at"]) <= WINDOW


@given(st.lists(st.tuples(st.sampled_from(["events", "duplicates", "rejected"]), st.integers(0, 5), st.integers(0, 1))))
def test_of_a_position_the_first_row_of_the_first_table_counts(some):
    schemas = {"events": EVENTS, "duplicates": DUPLICATES, "rejected": REJECTED}
    given_ = {
        name: [
            {"source": "s", "shard": str(shard), "sequence": str(at), "event_type": str(n)}
            for n, (of, at, shard) in enumerate(some)
            if of == name
        ]
        for name in schemas
    }
    found = once({name: table(schema, given_[name]) for name, schema in schemas.items()})
    seen = set()
    for name in schemas:
        expected = []
        for row in given_[name]:
            if (row["shard"], row["sequence"]) not in seen:
                seen.add((row["shard"], row["sequence"]))
                expected.append(row["event_type"])
        assert found[name]["event_type"].to_pylist() == expected
