"""Data on a screen: escapes, dumps, words of a shell, and what differs between a copy and its original."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.report.dashboard.differ import MAX_BYTES, MAX_FIELDS, MAX_PATH, compare
from headgate.report.dashboard.shown import decoded, dump, is_binary, pieces, plain, shell_word
from headgate.report.dashboard.words import rate, seconds, share, step

HOSTILE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\u202eb", "a\\u202eb"),
        ("a\u200bb\ufeff", "a\\u200bb\\ufeff"),
        ("line\nend\t", "line\\nend\\t"),
        ("\u2066x\u2069", "\\u2066x\\u2069"),
        ("é日本", "é日本"),
        ("<script>", "<script>"),
        ("e" + "\u0301" * 40, "e" + "\u0301" * 4 + "\\u0301" * 36),
    ],
)
def test_what_moves_hides_or_turns_text_is_spelled_out(text: str, shown: str) -> None:
    assert plain(text) == shown


@given(st.binary(max_size=60))
def test_any_bytes_become_text_without_anything_hostile(raw: bytes) -> None:
    shown = "".join(piece.text for piece in pieces(decoded(raw)))
    assert not {unicodedata.category(c) for c in shown} & HOSTILE


def test_bytes_that_are_no_text_are_told_as_bytes() -> None:
    assert plain(decoded(b"a\xffb")) == "a\\xffb"
    assert is_binary(b"v\0i\0s\0\xff\xfe")
    assert not is_binary('{"a":"é"}'.encode())
    assert dump(b"A\x00" + b"x" * 15)[0] == ("00000000", "41 00 " + " ".join(["78"] * 14), "A." + "x" * 14)


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=40))
def test_a_word_of_the_shell_is_one_printable_word(text: str) -> None:
    word = shell_word(text)
    assert not {unicodedata.category(c) for c in word} & HOSTILE
    # One call of bash a word would take most of the time of this file.
    if word.startswith("$'"):
        assert re.fullmatch(r"\$'(?:[^'\\]|\\.)*'", word)
        assert word[2:-1].encode("ascii", "backslashreplace").decode("unicode_escape") == text
    else:
        assert shlex.split(word) == [text]


@pytest.mark.parametrize(
    "text", ["", "a b", "it's", "$(reboot)", "`id`", "\x1b[0m", "a\nb; rm -rf x", "-n", "\u202e", "\\", "'\x07'", "é"]
)
def test_bash_reads_a_word_as_it_was_meant(text: str) -> None:
    said = subprocess.run(
        ["bash", "-c", f"LC_ALL=C.UTF-8; printf %s {shell_word(text)}"], capture_output=True, check=True
    )
    assert said.stdout == text.encode()


def test_fields_that_differ_are_named() -> None:
    found = compare('{"a":1,"b":{"c":"x","d":2}}', '{"a":1,"b":{"c":"y"},"e":null}')
    assert found.fields is not None
    assert {f.path: f.change for f in found.fields} == {
        "a": "same", "b.c": "changed", "b.d": "only original", "e": "only copy",
    }  # fmt: skip
    assert any('"y"' in mark.text and not mark.is_same for mark in found.copy)


def test_the_same_fields_written_otherwise_are_the_same_json() -> None:
    found = compare('{"a": 1, "b": [2]}', '{"b":[2],"a":1}')
    assert (found.is_same_text, found.is_same_json) == (False, True)


@settings(max_examples=40)
@given(st.text(max_size=30), st.text(max_size=30))
def test_marks_join_to_the_texts(left: str, right: str) -> None:
    found = compare(left, right)
    assert ("".join(m.text for m in found.original), "".join(m.text for m in found.copy)) == (left, right)
    same = ["".join(m.text for m in side if m.is_same) for side in (found.original, found.copy)]
    assert same[0] == same[1]


def test_long_texts_are_compared_by_their_ends() -> None:
    left = '{"a":[' + ",".join("1" * 2_000) + "]}"
    found = compare(left, left.replace("]}", ',"x"]}'))
    assert [m.text for m in found.copy if not m.is_same] == [',"x"']


def test_numbers_by_the_hundred_are_compared_by_their_ends() -> None:
    texts = [json.dumps({"a": list(range(start, start + 740))}) for start in (0, 5_000)]
    found = compare(*texts)
    assert [len(side) for side in (found.original, found.copy)] == [3, 3]
    assert found.num_changed == 1


def test_what_repeats_is_still_compared_where_little_differs() -> None:
    left = json.dumps({f"field {i}": i for i in range(1_000)})
    found = compare(left, left.replace('"field 500": 500', '"field 500": "x"'))
    assert [m.text for m in found.copy if not m.is_same] == ['"x"']


@pytest.mark.parametrize("text", ['"' + '\\"' * 30_000, "\\" * 60_001, '"' * 60_001], ids=["open", "slashes", "quotes"])
def test_text_that_is_no_json_is_compared_too(text: str) -> None:
    found = compare(text, "x" + text)
    assert "".join(m.text for m in found.original) == text


def test_fields_beyond_those_that_are_listed_are_judged() -> None:
    left = {f"f{i}": i for i in range(MAX_FIELDS + 50)}
    found = compare(json.dumps(left), json.dumps({**left, f"f{MAX_FIELDS + 20}": "other"}))
    assert (found.is_same_json, found.num_changed, found.num_fields) == (False, 1, MAX_FIELDS + 50)
    assert found.fields is not None
    assert len(found.fields) == MAX_FIELDS
    assert (found.fields[0].path, found.fields[0].change) == (f"f{MAX_FIELDS + 20}", "changed")


def test_a_name_with_a_dot_is_no_path() -> None:
    found = compare('{"a.b":1,"a":{"b":5}}', '{"a.b":2,"a":{"b":5}}')
    assert found.fields is not None
    assert {f.path: f.change for f in found.fields} == {'"a.b"': "changed", "a.b": "same"}
    assert not found.is_same_json


def test_a_name_of_any_length_is_shown_by_its_end() -> None:
    found = compare(json.dumps({"x" * 5_000: {"end": 1}}), "{}")
    assert found.fields is not None
    assert len(found.fields[0].path) == MAX_PATH
    assert found.fields[0].path.endswith("x.end")


@pytest.mark.parametrize("letter", ["x", "é", "日"])
def test_of_large_events_the_beginnings_are_compared(letter: str) -> None:
    left = json.dumps({"a": letter * 100_000}, ensure_ascii=False)
    found = compare(left, left.replace("}", ',"b":1}'))
    assert (found.is_clipped, found.is_same_text, found.is_same_json, found.fields) == (True, False, False, None)
    for side in (found.original, found.copy):
        shown = "".join(m.text for m in side)
        assert left.startswith(shown)
        assert MAX_BYTES - 3 <= len(shown.encode()) <= MAX_BYTES
    assert compare(left, left).is_same_text


def test_deep_and_broken_events_are_compared_as_text() -> None:
    assert compare("[" * 5_000, "{").fields is None
    assert compare("null", '{"a":1}').fields is None
    for depth in range(900, 1_000):  # somewhere here a text can be read, and not be written any more
        deep = '{"a":' + "[" * depth + "]" * depth + "}"
        assert not compare(deep, "{}").is_same_json


def test_numbers_for_people() -> None:
    assert [rate(x) for x in (1_000.4, 2.55, 0.5)] == ["1,000/s", "2.5/s", "30/min"]
    assert [share(*x) for x in ((1, 3), (0, 5), (1, 1_000_000), (1, 0))] == ["33.3%", "0.0%", "<0.01%", "–"]
    assert [seconds(x) for x in (0.025, 3.2, 200, 7_500)] == ["25 ms", "3.2 s", "3 min 20 s", "2 h 5 min"]
    assert [step(x) for x in (60, 300, 3_600, 259_200)] == ["minute", "5 minutes", "hour", "3 days"]
