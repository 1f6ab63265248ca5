"""What differs between an event and its copy: by field where both are JSON objects, and in the bytes. Pure."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import Any, Literal, NamedTuple

import msgspec

MAX_FIELDS = 500  # that are listed
MAX_COMPARED = 1_500  # tokens that are compared one by one; longer texts by their common ends
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\w.+-]+|\s+|.', re.DOTALL)  # of JSON, and of anything else
Change = Literal["same", "changed", "only original", "only copy"]


class Mark(NamedTuple):
    """A run of text that is the same on both sides, or not."""

    text: str
    is_same: bool


class Field(NamedTuple):
    """One field, by its path: its JSON text on both sides, None where it is not there."""

    path: str
    change: Change
    original: str | None
    copy: str | None


class Difference(NamedTuple):
    """Of two texts: both with marks, and their fields where both are objects (else None)."""

    original: list[Mark]
    copy: list[Mark]
    fields: list[Field] | None
    is_same_text: bool
    is_same_json: bool


def compare(original: str, copy: str) -> Difference:
    """Compare two events."""
    left, right = _object(original), _object(copy)
    fields = None if left is None or right is None else _fields(left, right)
    marks = _marks(original, copy)
    return Difference(
        original=marks[0],
        copy=marks[1],
        fields=fields,
        is_same_text=original == copy,
        is_same_json=fields is not None and all(field.change == "same" for field in fields),
    )


def _object(text: str) -> dict[str, Any] | None:
    try:
        found = msgspec.json.decode(text.encode("utf-8", "surrogatepass"))
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None
    return found if isinstance(found, dict) else None


def _fields(left: dict[str, Any], right: dict[str, Any]) -> list[Field]:
    ours, theirs = dict(_flat("", left)), dict(_flat("", right))
    paths = list(dict.fromkeys([*ours, *theirs]))[:MAX_FIELDS]
    return [Field(path, _change(ours.get(path), theirs.get(path)), ours.get(path), theirs.get(path)) for path in paths]


def _change(left: str | None, right: str | None) -> Change:
    if left is None:
        return "only copy"
    if right is None:
        return "only original"
    return "same" if left == right else "changed"


def _flat(prefix: str, found: dict[str, Any]) -> list[tuple[str, str]]:
    """Fields of objects within objects by their dotted paths; arrays are values."""
    flat: list[tuple[str, str]] = []
    waiting = [(prefix, found)]
    while waiting:
        base, level = waiting.pop(0)
        for name, value in level.items():
            path = f"{base}.{name}" if base else name
            if isinstance(value, dict) and value:
                waiting.append((path, value))
            else:
                flat.append((path, msgspec.json.encode(value, order="sorted").decode()))
    return flat


def _marks(left: str, right: str) -> tuple[list[Mark], list[Mark]]:
    if left == right:
        return [Mark(left, True)], [Mark(right, True)]
    ours, theirs = _TOKEN.findall(left), _TOKEN.findall(right)
    if max(len(ours), len(theirs)) > MAX_COMPARED:
        return _by_ends(left, right)
    marks: tuple[list[Mark], list[Mark]] = [], []
    for kind, i, j, k, m in SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
        for found, tokens in ((marks[0], ours[i:j]), (marks[1], theirs[k:m])):
            if tokens:
                found.append(Mark("".join(tokens), kind == "equal"))
    return marks


def _by_ends(left: str, right: str) -> tuple[list[Mark], list[Mark]]:
    """What both begin and end with is the same; what lies between is not compared further."""
    shortest = min(len(left), len(right))
    head = next((i for i in range(shortest) if left[i] != right[i]), shortest)
    most = shortest - head
    tail = next((i for i in range(most) if left[-1 - i] != right[-1 - i]), most)

    def cut(text: str) -> list[Mark]:
        end = len(text) - tail
        parts = [Mark(text[:head], True), Mark(text[head:end], False), Mark(text[end:], True)]
        return [mark for mark in parts if mark.text]

    return cut(left), cut(right)
