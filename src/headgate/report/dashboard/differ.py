"""What differs between an event and its copy: by field where both are JSON objects, and in the bytes. Pure.

Law: whatever the two are, the work is bounded, and what is said of them holds for all of them: where only a part was
looked at, or is listed, that is said.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any, Literal, NamedTuple

import msgspec

MAX_BYTES = 65_536  # of a text; of a longer one only its beginning is compared, and not by field
MAX_FIELDS = 500  # that are listed, of those that were compared
MAX_PATH = 200  # characters of a path; of a longer one its end is shown
MAX_STEPS = 20_000_000  # that the comparison of tokens may take, half a second; others by their common ends
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"?|[\w.+-]+|\s+|.', re.DOTALL)  # of JSON, and of anything else
Change = Literal["same", "changed", "only original", "only copy"]
Path = tuple[str, ...]


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
    """Of two texts.

    Attributes:
        original: its text with marks, at most MAX_BYTES.
        copy: the same of the copy.
        fields: at most MAX_FIELDS, those that differ first; None where not both are objects, or one is too long.
        num_fields: of both, listed or not.
        num_changed: of them, those that differ.
        is_same_text: judged by all bytes.
        is_same_json: judged by all fields; False where `fields` is None.
        is_clipped: a text is longer than MAX_BYTES.
    """

    original: list[Mark]
    copy: list[Mark]
    fields: list[Field] | None
    num_fields: int
    num_changed: int
    is_same_text: bool
    is_same_json: bool
    is_clipped: bool


def compare(original: str, copy: str) -> Difference:
    """Compare two events."""
    clipped = _clipped(original), _clipped(copy)
    is_clipped = clipped != (original, copy)
    fields = None if is_clipped else _fields(original, copy)
    num_changed = sum(field.change != "same" for field in fields or ())
    marks = _by_ends(*clipped) if is_clipped else _marks(original, copy)
    return Difference(
        original=marks[0],
        copy=marks[1],
        fields=None if fields is None else sorted(fields, key=lambda field: field.change == "same")[:MAX_FIELDS],
        num_fields=len(fields or ()),
        num_changed=num_changed,
        is_same_text=original == copy,
        is_same_json=fields is not None and not num_changed,
        is_clipped=is_clipped,
    )


def _clipped(text: str) -> str:
    """As many whole characters from the beginning as fit into MAX_BYTES."""
    head = text[:MAX_BYTES].encode("utf-8", "surrogatepass")
    return text if len(text) <= MAX_BYTES >= len(head) else head[:MAX_BYTES].decode("utf-8", "ignore")


def _fields(original: str, copy: str) -> list[Field] | None:
    try:
        left, right = _object(original), _object(copy)
        if left is None or right is None:
            return None
        ours, theirs = _flat(left), _flat(right)
    except RecursionError:
        return None
    return [
        Field(_shown(path), _change(ours.get(path), theirs.get(path)), ours.get(path), theirs.get(path))
        for path in dict.fromkeys([*ours, *theirs])
    ]


def _object(text: str) -> dict[str, Any] | None:
    try:
        found = msgspec.json.decode(text.encode("utf-8", "surrogatepass"))
    except (msgspec.DecodeError, UnicodeError):
        return None
    return found if isinstance(found, dict) else None


def _change(left: str | None, right: str | None) -> Change:
    if left is None:
        return "only copy"
    if right is None:
        return "only original"
    return "same" if left == right else "changed"


def _flat(found: dict[str, Any]) -> dict[Path, str]:
    """Fields of objects within objects by their paths; arrays are values."""
    flat: dict[Path, str] = {}
    waiting: deque[tuple[Path, dict[str, Any]]] = deque([((), found)])
    while waiting:
        base, level = waiting.popleft()
        for name, value in level.items():
            path = (*base, name)
            if isinstance(value, dict) and value:
                waiting.append((path, value))
            else:
                flat[path] = msgspec.json.encode(value, order="sorted").decode()
    return flat


def _shown(path: Path) -> str:
    """The path with dots; a name that could be taken for a path, or for nothing, is quoted."""
    is_plain = [bool(name) and not set(name) & {".", '"'} for name in path]
    parts = [name if plain else msgspec.json.encode(name).decode() for name, plain in zip(path, is_plain, strict=True)]
    text = ".".join(parts)
    return text if len(text) <= MAX_PATH else f"…{text[1 - MAX_PATH :]}"


def _marks(left: str, right: str) -> tuple[list[Mark], list[Mark]]:
    if left == right:
        return [Mark(left, True)], [Mark(right, True)]
    ours, theirs = _TOKEN.findall(left), _TOKEN.findall(right)
    head = _alike(ours, theirs)
    tail = _alike(ours[head:][::-1], theirs[head:][::-1])
    middles = ours[head : len(ours) - tail], theirs[head : len(theirs) - tail]
    if _steps(*middles) > MAX_STEPS:
        return _by_ends(left, right)
    ends = "".join(ours[:head]), "".join(ours[len(ours) - tail :])
    marks: tuple[list[Mark], list[Mark]] = [Mark(ends[0], True)], [Mark(ends[0], True)]
    for kind, i, j, k, m in SequenceMatcher(None, *middles, autojunk=False).get_opcodes():
        for found, tokens in ((marks[0], middles[0][i:j]), (marks[1], middles[1][k:m])):
            found.append(Mark("".join(tokens), kind == "equal"))
    for side in marks:
        side.append(Mark(ends[1], True))
    return [mark for mark in marks[0] if mark.text], [mark for mark in marks[1] if mark.text]


def _alike(ours: Sequence[str], theirs: Sequence[str]) -> int:
    """How many of the first ones are the same."""
    shortest = min(len(ours), len(theirs))
    return next((i for i in range(shortest) if ours[i] != theirs[i]), shortest)


def _steps(ours: list[str], theirs: list[str]) -> int:
    """What SequenceMatcher takes at most: all pairs of equal tokens, once for each run that both sides share."""
    counts = Counter(theirs)
    pairs = sum(count * counts[token] for token, count in Counter(ours).items())
    return pairs * min(len(ours), len(theirs))


def _by_ends(left: str, right: str) -> tuple[list[Mark], list[Mark]]:
    """What both begin and end with is the same; what lies between is not compared further."""
    head = _alike(left, right)
    tail = _alike(left[head:][::-1], right[head:][::-1])

    def cut(text: str) -> list[Mark]:
        end = len(text) - tail
        parts = [Mark(text[:head], True), Mark(text[head:end], False), Mark(text[end:], True)]
        return [mark for mark in parts if mark.text]

    return cut(left), cut(right)
