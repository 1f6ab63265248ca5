"""Where one JSON document ends and the next begins. Pure, without recursion, in linear time.

Its law: the parts found depend on the bytes from the first part's start on, never on how they were cut into
blocks.

- A document is any JSON value; documents stand side by side, with or without white space between them.
- What cannot be read as JSON goes to the end of the line *it starts in* as one part, so that a line cut short
  costs that line and not the ones after it. Where it broke more than `limit_bytes` (or MAX_STACK levels)
  further on, it goes to the end of the line *it broke in*: nobody should read that much twice.
- UTF-8 and surrogates are not looked at: they never change where a document ends.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple

import msgspec

from headgate.core.grammar import BODY, ESCAPE_SO_FAR, SCALAR, SCALAR_SO_FAR, SPACE, end_of, followers, matcher, values

LIMIT_BYTES = 10 << 20  # bytes; the contract's default of max_event_bytes
MAX_STACK = 1 << 20  # levels; bounds the memory of one scan, far above what decode takes (128)
MAX_SCALAR_BYTES = 1 << 20  # bytes of one number; a longer one is not held in memory to see its end
MAX_LINE_BYTES = 1 << 16  # bytes within which a line's end is looked for


class Outcome(Enum):
    """How far a scan came."""

    DONE = "the document ends here"
    BROKEN = "no JSON from here on"
    TOO_DEEP = "more levels than a scan keeps"
    MORE = "the bytes end here, the document does not"


class Step(NamedTuple):
    """Where a scan stands, and why."""

    outcome: Outcome
    at: int


class Split(NamedTuple):
    """Parts as (start, end), and the offset from which to go on once more bytes are there."""

    parts: list[tuple[int, int]]
    rest: int


class _Expect(Enum):
    VALUE = 0
    FIRST_VALUE = 1
    KEY = 2
    FIRST_KEY = 3
    COLON = 4
    NEXT = 5


_OPEN = {0x7B: _Expect.FIRST_KEY, 0x5B: _Expect.FIRST_VALUE}
_CLOSE = {0x7D: 0x7B, 0x5D: 0x5B}
_VALUES = (_Expect.VALUE, _Expect.FIRST_VALUE)
_KEYS = (_Expect.KEY, _Expect.FIRST_KEY)
_document = msgspec.json.Decoder(msgspec.Raw).decode
_COMMA, _COLON, _QUOTE, _BACKSLASH = 0x2C, 0x3A, 0x22, 0x5C


class Scanner:
    """Follows one document over any number of blocks; memory grows with its depth alone.

    `openers` holds the offsets of the brackets that are open, in the block fed last where there was only one.
    """

    def __init__(self) -> None:
        """Stand before the first byte of a document."""
        self.openers: list[int] = []
        self._kinds = bytearray()
        self._expect = _Expect.VALUE
        self._in_string = False

    def feed(self, buffer: bytes, at: int, *, is_last: bool) -> Step:
        """Go on in `buffer` from `at`.

        Args:
            buffer: bytes; after MORE the next ones, beginning at the offset that MORE named.
            at: offset to go on from.
            is_last: True where no bytes follow: what is open then is broken.

        Returns:
            DONE and the document's end, BROKEN or TOO_DEEP and where, or MORE and the offset from which bytes
            are needed again.
        """
        while True:
            if self._expect is _Expect.NEXT and self._kinds and not self._in_string:
                at = end_of(followers(self._kinds[-1]), buffer, at)
            at = end_of(BODY if self._in_string else SPACE, buffer, at)
            if at == len(buffer):
                return Step(Outcome.BROKEN if is_last else Outcome.MORE, at)
            step = self._string_stop(buffer, at, is_last) if self._in_string else self._token(buffer, at, is_last)
            if isinstance(step, Step):
                return step
            at = step
            if self._expect is _Expect.NEXT and not self._kinds and not self._in_string:
                return Step(Outcome.DONE, at)

    def _string_stop(self, buffer: bytes, at: int, is_last: bool) -> Step | int:
        if buffer[at] == _QUOTE:
            self._in_string = False
            return at + 1
        end = end_of(ESCAPE_SO_FAR, buffer, at)
        return Step(Outcome.MORE, at) if end == len(buffer) and not is_last else Step(Outcome.BROKEN, end)

    def _token(self, buffer: bytes, at: int, is_last: bool) -> Step | int:
        char, expect = buffer[at], self._expect
        if char == _QUOTE and expect in (*_VALUES, *_KEYS):
            self._in_string = True
            self._expect = _Expect.COLON if expect in _KEYS else _Expect.NEXT
            return at + 1
        if char in _OPEN and expect in _VALUES:
            if len(self._kinds) >= MAX_STACK:
                return Step(Outcome.TOO_DEEP, at)
            self._kinds.append(char)
            self.openers.append(at)
            self._expect = _OPEN[char]
            return at + 1
        if char in _CLOSE:
            return self._close(char, at)
        if char == _COMMA and expect is _Expect.NEXT:
            self._expect = _Expect.KEY if self._kinds[-1] == 0x7B else _Expect.VALUE
            return at + 1
        if char == _COLON and expect is _Expect.COLON:
            self._expect = _Expect.VALUE
            return at + 1
        return self._scalar(buffer, at, is_last) if expect in _VALUES else Step(Outcome.BROKEN, at)

    def _close(self, char: int, at: int) -> Step | int:
        empty = _OPEN[_CLOSE[char]]
        if not self._kinds or self._kinds[-1] != _CLOSE[char] or self._expect not in (_Expect.NEXT, empty):
            return Step(Outcome.BROKEN, at)
        self._kinds.pop()
        self.openers.pop()
        self._expect = _Expect.NEXT
        return at + 1

    def _scalar(self, buffer: bytes, at: int, is_last: bool) -> Step | int:
        # It breaks at the first byte that no scalar goes on with, however the bytes were cut into blocks.
        end = end_of(SCALAR_SO_FAR, buffer, at)
        if end - at > MAX_SCALAR_BYTES:
            return Step(Outcome.BROKEN, at + MAX_SCALAR_BYTES)
        if end == len(buffer) and not is_last:
            return Step(Outcome.MORE, at)
        if end_of(rb"[-+.0-9A-Za-z]", buffer, end) > end or not re.fullmatch(SCALAR, buffer[at:end]):
            return Step(Outcome.BROKEN, end)
        self._expect = _Expect.NEXT
        return end


def split(
    buffer: bytes,
    at: int = 0,
    *,
    in_array: bool = False,
    is_last: bool = True,
    limit_bytes: int = LIMIT_BYTES,
) -> Split:
    """Find the documents from `at` on.

    Args:
        buffer: bytes.
        at: where to begin; not inside a document.
        in_array: True where the documents are the elements of an array whose opening bracket was passed:
            commas and closing brackets between them are passed over, unchecked.
        is_last: True where no bytes follow.
        limit_bytes: how far a document may go before it breaks and still be read again line by line.

    Returns:
        The parts, in order, and the offset of what is not whole yet (the buffer's end where nothing is left).
    """
    parts: list[tuple[int, int]] = []
    hopeless: dict[int, int] = {}
    between = rb"[ \t\r\n,\]]*+" if in_array else SPACE
    while True:
        at = end_of(between, buffer, at)
        if at == len(buffer):
            return Split(parts, at)
        end = _end_of_part(buffer, at, is_last, limit_bytes, hopeless)
        if end < 0:
            return Split(parts, at)
        parts.append((at, end))
        at = end


def part_at(buffer: bytes, at: int) -> int:
    """Where the part ends that begins at `at`, of a buffer that is whole and where no earlier part reaches so far."""
    return _end_of_part(buffer, at, True, LIMIT_BYTES, {})


def _end_of_part(buffer: bytes, at: int, is_last: bool, limit_bytes: int, hopeless: dict[int, int]) -> int:
    """End of a document, or of what cannot be read; -1 where more bytes are needed to know."""
    step = _one(buffer, at, is_last, hopeless)
    if step.outcome is Outcome.MORE:
        return -1
    if step.outcome is Outcome.DONE:
        return step.at
    is_far = step.at - at > limit_bytes or step.outcome is Outcome.TOO_DEEP
    end = buffer.find(b"\n", step.at if is_far else at)
    return len(buffer) if end < 0 and is_last else end


def _one(buffer: bytes, at: int, is_last: bool, hopeless: dict[int, int]) -> Step:
    """Read one document. `hopeless` remembers, by opening bracket, where what it opened is known to break."""
    if at in hopeless:
        return Step(Outcome.BROKEN, hopeless[at])
    if buffer[at] in _OPEN:
        if end := _line_end(buffer, at):
            return Step(Outcome.DONE, end)
        if found := matcher(values()[0])(buffer, at):
            return Step(Outcome.DONE, found.end())
    scanner = Scanner()
    step = scanner.feed(buffer, at, is_last=is_last)
    if step.outcome is Outcome.BROKEN:
        # Everything open at the break breaks there too: without this memory, lines of `[` would cost n*n.
        hopeless.update(dict.fromkeys(scanner.openers, step.at))
    return step


def _line_end(buffer: bytes, at: int) -> int:
    """End of an object or array that is what is left of its line, the usual case; 0 for any other.

    The decoder takes a tenth of the time of a regular expression. What it takes for whole is whole: where it is
    lenient (UTF-8, surrogates) the document ends at the same bracket.
    """
    end = buffer.find(b"\n", at, at + MAX_LINE_BYTES)
    line = buffer[at : end if end >= 0 else at + MAX_LINE_BYTES].rstrip(b" \t\r\n")
    if line[-1:] not in (b"}", b"]"):
        return 0
    try:
        _document(line)
    except (msgspec.DecodeError, RecursionError):
        return 0
    return at + len(line)


def documents_in(record: bytes) -> list[tuple[int, int]]:
    """Find the documents of one whole record.

    Args:
        record: the record's bytes.

    Returns:
        (start, end) of each document, and of each part that cannot be read, in order; empty for white space.
    """
    return split(record).parts


def is_whole(text: bytes) -> bool:
    """Say whether `text` is one or more whole documents that start with a bracket, and nothing else."""
    at = end_of(SPACE, text, 0)
    while at < len(text):
        if text[at] not in _OPEN or (step := _one(text, at, True, {})).outcome is not Outcome.DONE:
            return False
        at = end_of(SPACE, text, step.at)
    return bool(text.strip(b" \t\r\n"))
