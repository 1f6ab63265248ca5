"""Lines that Headgate must reject: each breaks exactly one rule and is exactly one reject.

So no line is blank, holds a complete document before its fault, starts with a digit, or is an array: those
would be none, or several, parts of a record.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Parts(NamedTuple):
    """A good event, cut where it can be broken; tokens are JSON texts with their quotes.

    Attributes:
        uuid: token of `event_uuid`.
        name: token of `event_name`.
        created_at: token of `created_at`.
        body: what follows the common fields: starts with `,`, has no closing brace.
        draw: a random number from 0 to 2**31, for faults that vary.
    """

    uuid: bytes
    name: bytes
    created_at: bytes
    body: bytes
    draw: int


class Fault(NamedTuple):
    """A reject reason of the contract and how to earn it."""

    reason: str
    make: Callable[[Parts], bytes]


DEPTH = 150  # brackets; the contract's limit is 128


def _event(parts: Parts, **replaced: bytes | None) -> bytes:
    """The event with some common fields replaced by another token, or left out (None)."""
    tokens = {"event_uuid": parts.uuid, "event_name": parts.name, "created_at": parts.created_at} | replaced
    fields = [b'"%b":%b' % (key.encode(), token) for key, token in tokens.items() if token is not None]
    return b"{" + b",".join(fields) + parts.body + b"}"


def _field(token: bytes) -> Fault:
    """The event with one more field, whose JSON is wrong."""
    return Fault("malformed_json", lambda p: _event(p)[:-1] + b',"extra":' + token + b"}")


def _cut(parts: Parts) -> bytes:
    line = _event(parts)
    return line[: 1 + parts.draw % (len(line) - 1)]


def _uuid(token: bytes) -> Fault:
    return Fault("event_uuid_invalid", lambda p: _event(p, event_uuid=token))


def _name(token: bytes) -> Fault:
    return Fault("event_name_invalid", lambda p: _event(p, event_name=token))


def _created(token: bytes) -> Fault:
    return Fault("created_at_invalid", lambda p: _event(p, created_at=token))


MALFORMED = (
    Fault("malformed_json", _cut),
    *map(
        _field,
        (
            b"NaN",
            b"-Infinity",
            b"[1,]",
            b'{"a":1,}',
            b"[1 2]",
            b'{"a" 1}',
            b"{1:2}",
            b"'single quotes'",
            b"None",
            b"tru",
            b"01",
            b"+1",
            b".5",
            b"1.",
            b"1e",
            b"0x10",
            b"/* comment */ 1",
            b'"raw\ttab"',
            b'"\x00"',
            b'"\\x41"',
            b'"\\u00zz"',
            b'"lone \\ud800 surrogate"',
            b'"\\udc00\\ud800"',
            b'"\xff"',
            b'"cut \xc3"',
            b'"overlong \xc0\xaf"',
            b'"encoded surrogate \xed\xa0\x80"',
            b"[" * DEPTH + b"]" * DEPTH,
        ),
    ),
    Fault("malformed_json", lambda p: _event(p)[:-1] + b",}"),
    Fault("malformed_json", lambda p: _event(p).replace(b'"', b"'")),
    Fault("malformed_json", lambda p: _event(p).replace(b",", b";", 1)),
    Fault("malformed_json", lambda p: b"GET /track?id=%d HTTP/1.1" % p.draw),
    Fault("malformed_json", lambda p: b"<event id=%d/>" % p.draw),
    Fault("malformed_json", lambda p: b"undefined"),
    Fault("malformed_json", lambda p: _event(p).decode().encode("utf-16-le").replace(b"\n", b"")),
)

OTHERS = (
    Fault("not_an_object", lambda p: b"null"),
    Fault("not_an_object", lambda p: b'"just text %d"' % p.draw),
    Fault("not_an_object", lambda p: b"%d" % p.draw),
    Fault("not_an_object", lambda p: b"true"),
    Fault("event_uuid_missing", lambda p: _event(p, event_uuid=None)),
    Fault("event_uuid_missing", lambda p: _event(p, event_uuid=b"null")),
    _uuid(b"1.5"),
    _uuid(b"true"),
    _uuid(b'["a"]'),
    _uuid(b'"%b"' % (b"x" * 513)),
    Fault("event_name_missing", lambda p: _event(p, event_name=None)),
    Fault("event_name_missing", lambda p: _event(p, event_name=b"null")),
    _name(b"7"),
    _name(b'{"type":"payment"}'),
    _name(b'":order:completed"'),
    _name(b'"   :order"'),
    _name(b'"%b"' % (b"n" * 300)),
    Fault("created_at_missing", lambda p: _event(p, created_at=None)),
    Fault("created_at_missing", lambda p: _event(p, created_at=b"null")),
    _created(b'"yesterday"'),
    _created(b'"2026-13-45T00:00:00Z"'),
    _created(b'"2026-01-01T00:00:00"'),
    _created(b"-1"),
    _created(b"false"),
    _created(b"[1790000000]"),
    _created(b"1e22"),
    Fault("created_at_in_future", lambda p: _event(p, created_at=b"32503680000")),
    Fault("created_at_in_future", lambda p: _event(p, created_at=b'"2999-01-01T00:00:00Z"')),
    Fault("created_at_in_future", lambda p: _event(p, created_at=b"32503680000000")),
)

#: Half of the rubbish is malformed JSON, as in life: OTHERS is drawn as often as MALFORMED.
FAULTS: tuple[Fault, ...] = MALFORMED + OTHERS
