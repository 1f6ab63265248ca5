"""The grammar of JSON as regular expressions over bytes, for whole values and for what may still become one. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

FAST_LEVELS = 5  # levels that one regular expression reads whole: 2**5 copies of a value, 0.04 s to compile

SPACE = rb"[ \t\r\n]*+"
ESCAPE = rb'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})'
BODY = rb'[^"\\\x00-\x1f]*+(?:' + ESCAPE + rb'[^"\\\x00-\x1f]*+)*+'
STRING = b'"' + BODY + b'"'
SCALAR = rb"-?+(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?+[0-9]++)?+|true|false|null"

# What may still become an escape, or a scalar, with the bytes that follow.
ESCAPE_SO_FAR = rb"\\(?:u[0-9a-fA-F]{0,3}+)?+"
EXPONENT = rb"[eE][+-]?+[0-9]*+"
SCALAR_SO_FAR = (
    rb"(?>t(?:r(?:ue?+)?+)?+|f(?:a(?:l(?:se?+)?+)?+)?+|n(?:u(?:ll?+)?+)?+"
    rb"|-?+(?:(?:0|[1-9][0-9]*+)(?:\.(?:[0-9]++(?:" + EXPONENT + rb")?+)?+|" + EXPONENT + rb")?+)?+)"
)


@cache
def matcher(pattern: bytes) -> Callable[..., re.Match[bytes] | None]:
    """The bound `match` of a pattern, compiled once."""
    return re.compile(pattern).match


@cache
def values() -> tuple[bytes, bytes]:
    """Patterns of one object or array of at most FAST_LEVELS levels, and of any value of that depth."""
    value = b"(?>" + STRING + b"|" + SCALAR + b")"
    both = b""
    for _ in range(FAST_LEVELS):
        member = STRING + SPACE + b":" + SPACE + value + SPACE
        both = rb"\{" + SPACE + b"(?:" + member + b"(?:," + SPACE + rb'(?=")|(?=\})))*+\}'
        both += rb"|\[" + SPACE + b"(?:" + value + SPACE + b"(?:," + SPACE + rb"(?!\])|(?=\])))*+\]"
        value = b"(?>" + STRING + b"|" + SCALAR + b"|" + both + b")"
    return both, value


@cache
def followers(kind: int) -> bytes:
    """Pattern of the further members of an object or elements of an array, as many as there are."""
    key, close = (STRING + SPACE + b":" + SPACE, rb"\}") if kind == 0x7B else (b"", rb"\]")
    one = SPACE + b"," + SPACE + key + values()[1]
    return b"(?:" + one + b"(?=" + SPACE + b"(?:,|" + close + b")))*+"


def end_of(pattern: bytes, buffer: bytes, at: int) -> int:
    """Offset at which a match from `at` on ends; `at` where there is none."""
    found = matcher(pattern)(buffer, at)
    return found.end() if found else at
