"""Payloads to typed columns: every value is in its column or in `_rescued`, as it was sent, and never cast."""

import json
from collections import Counter

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.analytics import fit as fit_module
from headgate.core.analytics.align import align, arrow_schema
from headgate.core.analytics.fit import Drift, fit
from headgate.core.analytics.kinds import ListOf, Struct, delta_schema, label, members_of
from headgate.core.analytics.policy import Contract, FieldPolicy
from headgate.core.analytics.shape import begin

ENVELOPE = {"event_uuid", "event_name", "created_at"}
EVOLVE = Contract()


def fitted(documents, shape=None, contract=EVOLVE, table="t", **options):
    texts = [d if isinstance(d, str) else json.dumps(d) for d in documents]
    return fit(pa.array(texts, pa.string()), shape or begin(table, (), contract), contract, ENVELOPE, **options)


def rows_of(result):
    names = [m.column for m in result.shape.members] + ["_rescued"]
    return pa.Table.from_arrays(result.columns, names=names).to_pylist()


def kinds(result):
    return {m.column: label(m.kind) for m in result.shape.members}


def test_a_key_that_is_a_string_an_object_and_null_in_turn():
    result = fitted([{"k": "a"}, '{"k": {"x" : 1}}', {"k": None}, {}])
    assert rows_of(result) == [
        {"k": "a", "_rescued": None},
        {"k": None, "_rescued": '{"k":{"x" : 1}}'},
        {"k": None, "_rescued": None},
        {"k": None, "_rescued": None},
    ]
    assert result.drift == Counter({Drift("k", "string", "object"): 1})


def test_int_then_float_then_text_each_in_a_run_of_its_own():
    first = fitted([{"n": 1}])
    second = fitted([{"n": 1.5}, {"n": 2}, {"n": 2**53 + 1}], first.shape)
    third = fitted([{"n": "text"}, '{"n": 0.10}'], second.shape)
    assert [kinds(r)["n"] for r in (first, second, third)] == ["bigint", "double", "double"]
    assert rows_of(second) == [
        {"n": 1.5, "_rescued": None},
        {"n": 2.0, "_rescued": None},
        {"n": None, "_rescued": '{"n":9007199254740993}'},
    ]
    assert rows_of(third) == [{"n": None, "_rescued": '{"n":"text"}'}, {"n": 0.1, "_rescued": None}]


def test_keys_that_a_table_cannot_hold_get_columns_of_their_own():
    document = {"a": 1, "A": 2, "e-mail": "x", "a.b": [1], "": True, "event_type": "q", "_rescued": 0, "a b\n": 3}
    result = fitted([document])
    columns = {m.field: m.column for m in result.shape.members}
    assert columns["a"] == "a"
    assert columns["e-mail"] == "e-mail"
    assert columns["a.b"] == "a_b"
    assert len({c.casefold() for c in columns.values()} | {"event_type", "_rescued"}) == len(columns) + 2
    (row,) = rows_of(result)
    assert {field: row[column] for field, column in columns.items()} == document


@pytest.mark.parametrize("number", ["9223372036854775808", "-9223372036854775809", "1e400", "-1E999", "1" * 60])
def test_a_number_that_no_column_holds_is_kept_as_text(number):
    alone = fitted([f'{{"n":{number}}}'])
    assert rows_of(alone) == [{"_rescued": f'{{"n":{number}}}'}]
    beside = fitted([f'{{"n":{number},"m":1}}', '{"n":7}'])
    assert rows_of(beside) == [
        {"m": 1, "n": None, "_rescued": f'{{"n":{number}}}'},
        {"m": None, "n": 7, "_rescued": None},
    ]


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 0])
def test_integers_of_64_bits_are_exact(number):
    assert rows_of(fitted([{"n": number}]))[0]["n"] == number


def test_an_empty_object_first_seen_is_json_text():
    result = fitted([{"o": {}}])
    assert kinds(result) == {"o": "json"}
    assert [r["o"] for r in rows_of(fitted(['{"o":{ "a" : [] }}', '{"o":1}'], result.shape))] == ['{ "a" : [] }', "1"]


def test_an_empty_array_waits_for_its_type_where_nothing_is_lost():
    first = fitted([{"l": []}, {"l": None}])
    assert rows_of(first) == [{"_rescued": '{"l":[]}'}, {"_rescued": None}]
    assert not first.drift
    second = fitted([{"l": [1]}, {"l": []}, {"l": [None]}], first.shape)
    assert [r["l"] for r in rows_of(second)] == [[1], [], [None]]


def test_arrays_are_lists_where_they_are_uniform_else_text():
    result = fitted([{"a": [1, 2], "b": [1, "x"], "c": [[1], [2.5]], "d": [{"x": 1}, {"y": "z"}]}])
    assert kinds(result) == {
        "a": "list<bigint>",
        "b": "json",
        "c": "list<list<double>>",
        "d": "list<struct<x: bigint, y: string>>",
    }
    assert rows_of(result)[0]["d"] == [{"x": 1, "y": None}, {"x": None, "y": "z"}]


def test_structs_grow_and_nulls_in_them_are_no_members():
    first = fitted([{"s": {"a": 1, "z": None}}])
    assert kinds(first) == {"s": "struct<a: bigint>"}
    second = fitted([{"s": {"a": 1.5, "b": {"c": True}, "z": None}}, {"s": 5}, {"s": {}}], first.shape)
    assert kinds(second) == {"s": "struct<a: double, b: struct<c: bool>>"}
    assert [r["s"] for r in rows_of(second)] == [{"a": 1.5, "b": {"c": True}}, None, {"a": None, "b": None}]
    assert rows_of(second)[1]["_rescued"] == '{"s":5}'


def test_of_a_repeated_key_the_last_value_counts():
    documents = ['{"a":1,"a":2}', '{"a":"x","a":3}', '{"a":4,"a":"y"}', '{"a":{"b":1},"a":null}']
    result = fitted(documents)
    assert [(r["a"], r["_rescued"]) for r in rows_of(result)] == [
        (2, None),
        (3, None),
        (None, '{"a":"y"}'),
        (None, None),
    ]


def test_ten_thousand_different_keys_are_capped_and_none_is_lost():
    documents = [{f"k{i}": i, "same": "x"} for i in range(10_000)]
    result = fitted(documents, contract=Contract(max_columns=100))
    assert len(result.shape.members) == 100
    for document, row in zip(documents, rows_of(result), strict=True):
        kept = {name: value for name, value in row.items() if value is not None and name != "_rescued"}
        assert {**kept, **json.loads(row["_rescued"] or "{}")} == document
    assert result.drift.total() == 9_901


def test_a_wide_object_counts_with_all_its_fields():
    result = fitted([{"s": {f"k{i}": i for i in range(50)}, "a": 1}], contract=Contract(max_columns=10))
    assert kinds(result) == {"s": "json", "a": "bigint"}


def contract(policy, **where):
    return Contract(lines=[FieldPolicy(where.get("table"), where.get("field"), policy)])


def test_freeze_keeps_new_fields_and_types_out():
    known = fitted([{"a": 1}])
    result = fitted([{"a": 1.5, "b": 2}, {"a": 3}], known.shape, contract("freeze"))
    assert kinds(result) == {"a": "bigint"}
    assert rows_of(result) == [{"a": None, "_rescued": '{"a":1.5,"b":2}'}, {"a": 3, "_rescued": None}]
    assert result.drift.total() == 2


def test_text_makes_a_column_of_json_text():
    result = fitted(['{"a": 1.50, "b": 2}', '{"a":{"x" :1},"b":3}', '{"a":null}'], contract=contract("text", field="a"))
    assert kinds(result) == {"a": "json", "b": "bigint"}
    assert [r["a"] for r in rows_of(result)] == ["1.50", '{"x" :1}', None]


def test_drop_stores_nothing_and_counts():
    known = fitted([{"a": 1, "b": 1}])
    result = fitted([{"a": 2, "b": 3, "c": 4}, {"a": None}], known.shape, Contract(default="drop"))
    again = fitted(
        [{"a": 2, "b": 3}], begin("t", known.shape.members, Contract(default="drop")), Contract(default="drop")
    )
    assert rows_of(again) == [{"a": None, "b": None, "_rescued": None}]
    assert [r["_rescued"] for r in rows_of(result)] == [None, None]
    assert result.drift[Drift("c", "no column: dropped", "number")] == 1


def test_the_more_exact_policy_wins():
    lines = [
        FieldPolicy("t", None, "freeze"),
        FieldPolicy(None, "a", "text"),
        FieldPolicy("t", "b", "drop"),
        FieldPolicy("other", None, "drop"),
    ]
    found = Contract(lines=lines)
    assert [found.policy("t", f) for f in "abc"] == ["text", "drop", "freeze"]
    assert found.policy("x", "c") == "evolve"


def test_an_integer_that_is_no_double_leaves_a_widened_column():
    before, after = fitted([{"n": 1, "s": {"a": 1}}]).shape.members, fitted([{"n": 1.5, "s": {"a": 1.5}}]).shape.members
    common = {f.name: pa.nulls(3, f.type) for f in arrow_schema(before) if f.name not in ("n", "s")}
    rows = pa.table(
        {
            **common,
            "n": pa.array([1, 2**53 + 1, None], pa.int64()),
            "s": pa.array([None, {"a": 1}, {"a": -(2**60) - 1}], pa.struct([("a", pa.int64())])),
            "_rescued": pa.array([None, '{"x":[1]}', None], pa.string()),
        }
    )
    wide = align(rows.select(arrow_schema(before).names), after).select(["n", "s", "_rescued"])
    assert wide.to_pylist() == [
        {"n": 1.0, "s": None, "_rescued": None},
        {"n": None, "s": {"a": 1.0}, "_rescued": '{"x":[1],"n":9007199254740993}'},
        {"n": None, "s": None, "_rescued": '{"s":{"a":-1152921504606846977}}'},
    ]


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.integers(-(2**65), 2**65)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4)
)
keys = st.sampled_from(["a", "A", "b", "", "x.y", "event_type"])
values = st.recursive(scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(keys, v, max_size=3), max_leaves=6)
events = st.dictionaries(keys | st.just("event_uuid"), values, max_size=4)
written = st.builds(
    lambda event, separators: json.dumps(event, separators=separators, ensure_ascii=False),
    events,
    st.sampled_from([(",", ":"), (", ", ": "), (" ,", " : ")]),
)
contracts = st.builds(
    lambda default, lines, most: Contract(default=default, lines=lines, max_columns=most),
    st.sampled_from(["evolve", "evolve", "evolve", "text", "freeze"]),
    st.lists(st.builds(FieldPolicy, st.sampled_from([None, "t"]), keys, st.sampled_from(["evolve", "freeze", "text"]))),
    st.sampled_from([500, 4]),
)


def is_same(found, sent, kind, raw=None):
    """True where a column's value is what was sent, nulls and absent members being one."""
    if kind == "json":
        return found == raw if raw is not None else json.loads(found) == sent
    if isinstance(kind, Struct):
        members = {m.field: m for m in kind.members}
        for field, value in sent.items():
            if value is not None and (
                field not in members or not is_same(found[members[field].column], value, members[field].kind)
            ):
                return False
        return all(found[m.column] is None for m in kind.members if sent.get(m.field) is None)
    if isinstance(kind, ListOf):
        return len(found) == len(sent) and all(
            f is None if s is None else f is not None and is_same(f, s, kind.element)
            for f, s in zip(found, sent, strict=True)
        )
    if isinstance(sent, bool) or kind == "bool":
        return found is sent
    return type(found) in (int, float, str) and (type(sent) is str) == (type(found) is str) and found == sent


def check_nothing_is_lost(document, row, members):
    sent = {
        name: bytes(raw).decode() for name, raw in msgspec.json.decode(document, type=dict[str, msgspec.Raw]).items()
    }
    rescued = msgspec.json.decode(row["_rescued"] or "{}", type=dict[str, msgspec.Raw])
    kept = {m.field: (row[m.column], m.kind) for m in members if row[m.column] is not None}
    expected = {name for name, raw in sent.items() if raw != "null" and name not in ENVELOPE}
    assert expected == kept.keys() | rescued.keys()
    assert not kept.keys() & rescued.keys()
    for name, raw in rescued.items():
        assert bytes(raw).decode() == sent[name]
    for name, (value, kind) in kept.items():
        assert is_same(value, json.loads(sent[name]), kind, sent[name]), (name, value, sent[name], kind)


@given(st.lists(st.lists(written, min_size=1, max_size=6), min_size=1, max_size=4), contracts)
def test_every_value_is_in_its_column_or_rescued_whatever_came_before(runs, contract):
    members = ()
    for documents in runs:
        result = fitted(documents, begin("t", members, contract), contract)
        for document, row in zip(documents, rows_of(result), strict=True):
            check_nothing_is_lost(document, row, result.shape.members)
        kept = {m.field: m for m in result.shape.members}
        assert all(kept[m.field].column == m.column for m in members)
        members = members_of(json.loads(json.dumps(delta_schema(arrow_schema(()), result.shape.members, []))))
        plain = [(m.field, m.column, label(m.kind)) for m in result.shape.members]
        assert [(m.field, m.column, label(m.kind)) for m in members] == plain


number_texts = st.sampled_from(
    [
        "0",
        "-0",
        "-0.0",
        "0.0",
        "1",
        "1.0",
        "1e3",
        "-5E-3",
        "0.1",
        "9007199254740992",
        "9007199254740993",
        "1e17",
        "null",
    ]
)
string_texts = st.sampled_from(
    ['""', '"x"', '"\\u00e9\\u0000"', '"2026-01-01T00:00:00Z"', '"\\\\n"', '"é\U0001f600"', "null"]
)
alike = st.builds(
    lambda first, n, s, b, inner, some, tail: (
        f'{{"event_uuid": {first}, "created_at": 1, "n": {n}, "s": {s}, "b": {b}, "o": {inner}, "l": {some}{tail}}}'
    ),
    string_texts,
    number_texts,
    string_texts,
    st.sampled_from(["true", "false", "null"]),
    st.builds(lambda n, s: f'{{"N": {n}, "s": {s}, "z": null}}', number_texts, string_texts) | st.just("null"),
    st.lists(number_texts, max_size=3).map(lambda texts: f"[{', '.join(texts)}]"),
    st.sampled_from(
        [
            "",
            "",
            "",
            ', "e": []',
            ', "e": []',
            ', "e": [], "é\\"": []',
            ', "e": [ ]',
            ', "e": null',
            ', "s": "again"',
            '\n, "z": null',
            ', "new": 1',
        ]
    ),
)


@given(st.lists(alike, min_size=1, max_size=6), st.lists(alike, min_size=1, max_size=6), contracts)
def test_what_became_columns_at_once_is_what_the_decoder_gives(first, then, contract):
    shape = fitted(first, contract=contract).shape
    at_once, decoded = fitted(then, shape, contract), fitted(then, shape, contract, tries_at_once=False)
    assert not decoded.is_at_once
    assert at_once.shape == decoded.shape
    assert at_once.drift == decoded.drift
    assert [loads(row) for row in rows_of(at_once)] == [loads(row) for row in rows_of(decoded)]
    if at_once.is_at_once:
        for result in (at_once, decoded):  # the order in `_rescued` is not told
            result.columns[-1] = result.columns[-1].is_null()
    for one, other in zip(at_once.columns, decoded.columns, strict=True):
        assert one.equals(other)
        one.validate(full=True)
    assert repr(rows_of(at_once)) == repr(rows_of(decoded))  # tells 0.0 from -0.0


def test_payloads_that_all_fit_become_columns_at_once():
    documents = [
        {
            "event_uuid": str(i),
            "created_at": 1.5,
            "n": i,
            "x": i / 2,
            "s": "é",
            "o": {"a": [i], "b": None},
            "e": None,
            "f": [],
        }
        for i in range(50)
    ]
    shape = fitted(documents).shape
    assert fitted(documents, shape).is_at_once
    for odd in ({"n": 1.5}, {"new": 1}, {"x": 2**53 + 1}, {"o": {"c": 1}}, {"e": [1]}, {"s": 1}):
        assert not fitted([*documents, odd], shape).is_at_once
    assert not fitted([*documents, '{"n": 1, "n": 2}'], shape).is_at_once


@given(st.lists(written, min_size=1, max_size=8), contracts)
def test_the_fast_way_and_the_slow_way_give_the_same(documents, contract):
    usual = fitted(documents, contract=contract)
    fast = fitted(documents, usual.shape, contract)

    def all_odd(texts, decoder):
        return [decoder.empty for _ in texts], list(range(len(texts)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit_module, "_loop", all_odd)
        slow = fitted(documents, fast.shape, contract, tries_at_once=False)
    if slow.shape != fast.shape:  # the slow way learnt from what fits already: only order of nulls may differ
        assert kinds(slow) == kinds(fast)
    assert [loads(row) for row in rows_of(slow)] == [loads(row) for row in rows_of(fast)]
    assert slow.drift == fast.drift


def loads(row):
    """The row, with `_rescued` as an object: its order is not told."""
    return {
        **row,
        "_rescued": row["_rescued"]
        and msgspec.json.decode(row["_rescued"], type=dict[str, msgspec.Raw])
        and {
            name: bytes(raw) for name, raw in msgspec.json.decode(row["_rescued"], type=dict[str, msgspec.Raw]).items()
        },
    }
