"""Where documents end, whatever they hold and however they are broken."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.core.documents import Outcome, Scanner, documents_in, is_whole, split

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
BRACKETED = st.dictionaries(st.text(), JSON) | st.lists(JSON)
NOISE = st.lists(st.sampled_from([*'{}[]",:\\ \n\t01-e.x', "true", '"a"', "\\u00e4"]), max_size=60)


def parts(record: bytes) -> list[bytes]:
    return [record[start:end] for start, end in documents_in(record)]


@settings(max_examples=40)
@given(st.lists(BRACKETED, max_size=4), st.sampled_from(["", " ", "\n", "\r\n\t"]), st.sampled_from([None, 1]))
def test_documents_are_found_whole_with_or_without_space_between(
    values: list[object], space: str, indent: int | None
) -> None:
    texts = [json.dumps(value, indent=indent).encode() for value in values]
    assert parts(space.encode().join(texts)) == texts


@settings(max_examples=40)
@given(st.lists(JSON, max_size=5))
def test_elements_of_an_array_are_found(values: list[object]) -> None:
    text = json.dumps(values, indent=1).encode()
    found = split(text, 1, in_array=True).parts
    assert [json.loads(text[start:end]) for start, end in found] == values


def test_scalars_are_documents() -> None:
    assert parts(b'1 "two" true null -3.5e-7') == [b"1", b'"two"', b"true", b"null", b"-3.5e-7"]


def test_white_space_holds_no_document() -> None:
    assert documents_in(b"") == []
    assert documents_in(b" \r\n\t") == []


def test_what_cannot_be_read_goes_to_the_end_of_its_line_and_no_further() -> None:
    assert parts(b'{"a":1} nonsense {"b":2}\n{"c":3}') == [b'{"a":1}', b'nonsense {"b":2}', b'{"c":3}']


def test_a_line_cut_short_does_not_cost_the_next_ones() -> None:
    for cut in (
        b'{"a":1',
        b'{"a":',
        b'{"a":[1,',
        b'{"a":"text',
        b'{"a"',
        b"{",
        b'{"a":"\\',
        b'{"a":tru',
        b"[[[",
    ):
        assert parts(cut + b'\n{"b":2}\n{"c":3}') == [cut, b'{"b":2}', b'{"c":3}'], cut


def test_what_looks_like_json_but_is_not_is_no_document() -> None:
    for text in (
        b"NaN",
        b"01",
        b"[1,]",
        b'{"a":1,}',
        b"{'a':1}",
        b'{"a" 1}',
        b"[1}",
        b'"\x01"',
        b'"\\x"',
        b"-",
        b"}",
    ):
        assert parts(text + b' {"b":2}') == [text + b' {"b":2}'], text


def test_brackets_in_strings_do_not_count() -> None:
    record = rb'{"a":"}{][\"\\","b":"\u005d"}'
    assert parts(record + record) == [record, record]


def test_100000_levels_are_one_document_without_recursion() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    assert parts(deep + b"\n" + b'{"a":1}') == [deep, b'{"a":1}']


def test_lines_of_opening_brackets_are_one_part_each() -> None:
    assert parts(b"[\n" * 50_000) == [b"["] * 50_000


def test_what_breaks_far_away_is_not_read_again() -> None:
    record = b'[\n{"a":1},\n{"b":2},\nx\n{"c":3}'
    found = split(record, limit_bytes=10)
    assert [record[start:end] for start, end in found.parts] == [b'[\n{"a":1},\n{"b":2},\nx', b'{"c":3}']


def test_a_document_that_is_not_whole_waits_for_more() -> None:
    assert split(b'{"a":1} {"b":', is_last=False) == ([(0, 7)], 8)
    assert split(b"12", is_last=False) == ([], 0)
    assert split(b"12", is_last=True) == ([(0, 2)], 2)


def test_whole_means_bracketed_and_nothing_else() -> None:
    assert is_whole(b' {"a":1}[2]\n')
    for text in (b"", b" ", b"1", b'{"a":1', b'{"a":1} x', b'"a"'):
        assert not is_whole(text), text


@settings(max_examples=300)
@given(NOISE, st.integers(1, 7))
def test_parts_do_not_depend_on_how_the_bytes_are_cut(noise: list[str], size: int) -> None:
    text = "".join(noise).encode()
    found, at, seen = [], 0, b""
    for i in range(0, len(text), size):
        seen = text[: i + size]
        some, at = split(seen, at, is_last=False)
        found += some
    found += split(text, at).parts
    assert found == documents_in(text)


@settings(max_examples=300)
@given(NOISE)
def test_nothing_but_white_space_lies_between_parts(noise: list[str]) -> None:
    text = "".join(noise).encode()
    at = 0
    for start, end in [*documents_in(text), (len(text), len(text))]:
        assert at <= start
        assert not text[at:start].strip(b" \t\r\n")
        at = end


@settings(max_examples=60)
@given(BRACKETED, st.integers(1, 5))
def test_a_scan_over_blocks_ends_where_the_document_does(value: object, size: int) -> None:
    text = json.dumps(value, ensure_ascii=False).encode() + b" 1"
    scanner, waiting, passed = Scanner(), b"", 0
    for i in range(0, len(text), size):
        waiting += text[i : i + size]
        step = scanner.feed(waiting, 0, is_last=False)
        passed, waiting = passed + step.at, waiting[step.at :]
        if step.outcome is Outcome.DONE:
            break
    assert passed == len(text) - 2
