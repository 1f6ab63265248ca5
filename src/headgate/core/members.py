"""Members of a JSON text found by path and replaced or removed where they stand; all other bytes stay. Pure.

The walk takes a text that is known to be JSON and never decodes what it passes: a regular expression passes over the
members that no path names, in C, so that the cost follows the members that are named. Every member of a repeated name
is found, arrays on the way are walked through element by element, and a name in an escaped spelling is the same name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache

Path = tuple[str, ...]
Replace = Callable[[bytes], bytes]
Tree = dict[str, "Tree | Replace | None"]  # None removes the member
Edit = tuple[int, int, bytes]  # from, to, what stands there afterwards
Walk = Callable[[bytes, int, "list[Edit]"], int]  # text, where a value begins, edits; gives where it ends

_ALWAYS_ESCAPED = re.compile(r'["\\\x00-\x1f]')  # RFC 8259, section 7
FAST_LEVELS = 8  # levels that one regular expression passes over; deeper values are counted through

_SPACE = rb"[ \t\r\n]*+"
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_SCALAR = rb'[^"{}\[\],: \t\r\n]++'
_SPACES = b" \t\r\n"
_BACKSLASH = b"\\"
_OPENING, _CLOSING = b"{[", b"}]"
_OBJECT, _ARRAY, _ARRAY_END, _COMMA = 0x7B, 0x5B, 0x5D, 0x2C

_space = re.compile(_SPACE).match
_plain = re.compile(_STRING + b"|" + _SCALAR, re.DOTALL).match
_separator = re.compile(_SPACE + rb"(,?+)" + _SPACE).match
_tokens = re.compile(_STRING + rb"|[\[\]{}]", re.DOTALL).finditer


@cache
def _value() -> bytes:
    """Pattern of a value of at most FAST_LEVELS levels, in a text that is known to be JSON."""
    level = rb"[\[{](?:[^\"{}\[\]]++|" + _STRING + rb")*+[\]}]"
    for _ in range(FAST_LEVELS - 1):
        level = rb"[\[{](?:[^\"{}\[\]]++|" + _STRING + b"|" + level + rb")*+[\]}]"
    return b"(?>" + _STRING + b"|" + _SCALAR + b"|" + level + b")"


class Rewriter:
    """Rewrites the members at some paths.

    A path leads through objects by member names, and through every array on the way to each of its elements.

    Attributes:
        pattern: a regular expression that every text matches in which one of the paths may occur.
    """

    def __init__(self, replacements: Mapping[Path, Replace | None]) -> None:
        """Prepare the walk.

        Args:
            replacements: by path what to do with the JSON text of the value: its replacement is JSON text, too, and
                the text itself where it is to stay. An array is handed over as a whole. None removes the member.
                No path may begin with another one.
        """
        tree: Tree = {}
        for path, replace in replacements.items():
            node = tree
            for name in path[:-1]:
                below = node.setdefault(name, {})
                assert isinstance(below, dict)  # noqa: S101 - no path begins with another one
                node = below
            node[path[-1]] = replace
        names = sorted({path[-1] for path in replacements})
        self.pattern, needles = _hints(names)
        self._object = _object_walk(tree, needles)
        self._other = _through_arrays(_object_walk(tree))

    def __call__(self, text: bytes) -> bytes:
        """The text after all replacements; the very same object where nothing is to be done.

        Args:
            text: JSON documents with nothing but white space around them.
        """
        edits: list[Edit] = []
        at, end = _after_space(text, 0), len(text)
        while at < end:
            walk = self._object if text[at] == _OBJECT else self._other
            at = _after_space(text, walk(text, at, edits))
        return _edited(text, edits) if edits else text


def _edited(text: bytes, edits: list[Edit]) -> bytes:
    if len(edits) == 1:  # the usual case, in half the time
        start, end, replacement = edits[0]
        return text[:start] + replacement + text[end:]
    pieces, at = [], 0
    for start, end, replacement in edits:
        pieces += [text[at:start], replacement]
        at = end
    return b"".join([*pieces, text[at:]])


def _after_space(text: bytes, at: int) -> int:
    if at == len(text) or text[at] not in _SPACES:
        return at
    found = _space(text, at)
    return found.end() if found else at


def each_element(replace: Replace) -> Replace:
    """Replace each element of an array, of whatever depth, by itself; any other value as it is."""
    walk = _through_arrays(_replacing(replace))

    def replaced(text: bytes) -> bytes:
        if text[0] != _ARRAY:
            return replace(text)
        edits: list[Edit] = []
        walk(text, 0, edits)
        return _edited(text, edits) if edits else text

    return replaced


def text_of(string: bytes) -> bytes:
    """What a JSON string says, as UTF-8; the same for every spelling of it."""
    if _BACKSLASH not in string:
        return string[1:-1]
    said: str = json.loads(string.decode("utf-8", "surrogateescape"), strict=False)
    return said.encode("utf-8", "surrogatepass")


def _value_end(text: bytes, at: int) -> int:
    """Where the value ends that begins at `at`."""
    if found := (_plain(text, at) or _any_value()(text, at)):
        return found.end()
    depth = 0
    for token in _tokens(text, at):
        if (mark := token[0]) in _OPENING:
            depth += 1
        elif mark in _CLOSING:
            depth -= 1
            if not depth:
                return token.end()
    return len(text)


@cache
def _any_value() -> Callable[[bytes, int], re.Match[bytes] | None]:
    return re.compile(_value(), re.DOTALL).match


def _replacing(replace: Replace) -> Walk:
    def walk(text: bytes, at: int, edits: list[Edit]) -> int:
        end = _value_end(text, at)
        before = text[at:end]
        if (after := replace(before)) != before:
            edits.append((at, end, after))
        return end

    return walk


def _removed(text: bytes, name: int, value_end: int, edits: list[Edit]) -> None:
    """Remove a member with its comma: the one behind it with the white space up to the next name, else the one before.

    Members that were removed right before a last one have left their comma to the one that is kept before them.
    """
    separator = _separator(text, value_end)
    if separator and separator[1]:
        edits.append((name, separator.end(), b""))
        return
    start = name
    while edits and edits[-1][1] == start and not edits[-1][2]:
        start = edits.pop()[0]
    comma = _before_space(text, start) - 1
    if text[comma] == _COMMA:
        start = _before_space(text, comma)
    edits.append((start, value_end, b""))


def _before_space(text: bytes, at: int) -> int:
    while text[at - 1] in _SPACES:
        at -= 1
    return at


def _object_walk(tree: Tree, needles: Sequence[bytes] = ()) -> Walk:
    """The walk over one object whose members are named in `tree`; a value that is none is passed over.

    Args:
        tree: what to do by name.
        needles: the walk ends at the text's end where none of them follows a named member; none: it always goes on.
    """
    walks: dict[bytes, Walk] = {}
    for name, below in tree.items():
        if isinstance(below, dict):
            walks[name.encode()] = _through_arrays(_object_walk(below))
        else:
            walks[name.encode()] = _value_end_walk if below is None else _replacing(below)
    removed = {name.encode() for name, below in tree.items() if below is None}
    next_name = _name_finder(list(walks))

    def walk(text: bytes, at: int, edits: list[Edit]) -> int:
        if text[at] != _OBJECT:
            return _value_end(text, at)
        at += 1
        while (found := next_name(text, at)) and (spelled := found[1]) is not None:
            at = found.end()
            name = spelled[1:-1] if _BACKSLASH not in spelled else text_of(spelled)
            at = walks.get(name, _value_end_walk)(text, at, edits)
            if name in removed:
                _removed(text, found.start(1), at, edits)
            if needles and not _any_follows(text, at, needles):
                return len(text)
        return found.end() if found else len(text)

    return walk


def _any_follows(text: bytes, at: int, needles: Sequence[bytes]) -> bool:
    for needle in needles:  # noqa: SIM110 - half the time of `any`
        if text.find(needle, at) >= 0:
            return True
    return False


def _hints(names: Sequence[str]) -> tuple[bytes, list[bytes]]:
    r"""What a text must hold in which a member has one of the names: as a pattern, and as texts, one of which occurs.

    A name is spelled otherwise only with `\u` escapes, but for characters that may or must be escaped shortly.
    """
    spelled = [f'"{name}"'.encode() for name in names if not _ALWAYS_ESCAPED.search(name)]
    if len(spelled) < len(names) or any("/" in name for name in names):
        pattern, disguise = rb"\\", _BACKSLASH
    elif all(name.isascii() for name in names):
        pattern, disguise = rb"\\u00[2-7]", rb"\u00"
    else:
        pattern, disguise = rb"\\u", rb"\u"
    return b"|".join([*map(re.escape, spelled), pattern]), [*spelled, disguise]


def _value_end_walk(text: bytes, at: int, _: list[Edit]) -> int:
    return _value_end(text, at)


def _name_finder(names: list[bytes]) -> Callable[[bytes, int], re.Match[bytes] | None]:
    """Passes over members up to one of the given names, a name with an escape, or one with a very deep value.

    It begins behind the bracket of an object or behind a value in it. Group 1 is the name as it stands there, and the
    match ends where its value begins; or there is no group 1, and the match ends behind the object.
    """
    wanted = b"|".join(map(re.escape, sorted(names)))
    other = b'"(?!(?:' + wanted + rb')")[^"\\]*+"'
    colon = _SPACE + b":" + _SPACE
    member = other + colon + _value() + _SPACE + rb"(?:," + _SPACE + rb"|(?=\}))"
    pattern = _SPACE + b",?+" + _SPACE + b"(?:" + member + rb")*+(?:\}|(" + _STRING + b")" + colon + b")"
    return re.compile(pattern, re.DOTALL).match


def _through_arrays(walk: Walk) -> Walk:
    """The same walk over each element where the value is an array, however deep; without recursion."""

    def through(text: bytes, at: int, edits: list[Edit]) -> int:
        if text[at] != _ARRAY:
            return walk(text, at, edits)
        depth = 0
        while True:
            if text[at] == _ARRAY:
                depth += 1
                at = _after_space(text, at + 1)
                if text[at] != _ARRAY_END:
                    continue
            else:
                at = _after_space(text, walk(text, at, edits))
            while text[at] == _ARRAY_END:
                depth -= 1
                at += 1
                if not depth:
                    return at
                at = _after_space(text, at)
            at = _after_space(text, at + 1)  # behind the comma

    return through
