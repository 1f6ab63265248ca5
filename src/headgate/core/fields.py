"""The common fields of one object in which one of them may have a type that no event has. Pure."""

from __future__ import annotations

import re

import msgspec

from headgate.core.envelope import CreatedAt, Envelope, Name, Uuid
from headgate.core.limits import MAX_ID_BYTES
from headgate.core.reasons import Reason
from headgate.errors import RecordError

JSON_SPACE = b" \t\r\n"
MAX_NUMBER_DIGITS = 64  # characters; no instant needs more
INTEGER = re.compile(rb"-?(0|[1-9]\d*)")

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_text = msgspec.json.Decoder(str).decode


def values_of(document: bytes, envelope: Envelope) -> dict[str, Uuid | CreatedAt]:
    """Read the common fields.

    Args:
        document: a JSON object, known to be one.
        envelope: where the fields are.

    Raises:
        RecordError: a field is neither missing nor of a type that it may have.
    """
    raw = {field: _raw_at(document, path) for field, path in envelope.paths.items()}
    return {
        "id": _uuid(raw["id"], ".".join(envelope.paths["id"])),
        "name": _name(raw["name"], ".".join(envelope.paths["name"])),
        "created_at": _created_at(raw["created_at"], ".".join(envelope.paths["created_at"])),
    }


def _raw_at(document: bytes, path: tuple[str, ...]) -> bytes | None:
    """A field's JSON text; None where it is missing, null, or below something that is no object."""
    raw = document
    for part in path:
        if not raw.startswith(b"{"):
            return None
        members = _members(raw)
        if part not in members:
            return None
        raw = bytes(memoryview(members[part])).strip(JSON_SPACE)
    return None if raw == b"null" else raw


def _uuid(raw: bytes | None, field: str) -> Uuid:
    if raw is None:
        return None
    if raw.startswith(b'"'):
        return _text(raw)
    if not INTEGER.fullmatch(raw):
        raise RecordError(Reason.EVENT_UUID_INVALID, f"{field} is {_kind(raw)}, not a string or an integer")
    if len(raw) > MAX_ID_BYTES:
        raise RecordError(Reason.EVENT_UUID_INVALID, f"{field} has {len(raw):,} bytes; {MAX_ID_BYTES} are allowed")
    return "0" if raw == b"-0" else raw.decode()


def _name(raw: bytes | None, field: str) -> Name:
    if raw is None or raw.startswith(b'"'):
        return None if raw is None else _text(raw)
    raise RecordError(Reason.EVENT_NAME_INVALID, f"{field} is {_kind(raw)}, not a string")


def _created_at(raw: bytes | None, field: str) -> CreatedAt:
    if raw is None:
        return None
    if raw.startswith(b'"'):
        return _text(raw)
    if raw[:1] in b"-0123456789":
        if INTEGER.fullmatch(raw) and len(raw) <= MAX_NUMBER_DIGITS:
            return int(raw)
        return float(raw)
    raise RecordError(Reason.CREATED_AT_INVALID, f"{field} is {_kind(raw)}, not a time")


def _kind(raw: bytes) -> str:
    kinds = {b"{": "an object", b"[": "an array", b"t": "a boolean", b"f": "a boolean"}
    return kinds.get(raw[:1], "a number with a fraction or exponent")
