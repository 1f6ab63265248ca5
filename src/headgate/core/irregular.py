"""One record that is not simply one JSON object: inflated, taken apart, and each part judged. Pure.

The verdicts are those that the fast path of decode.py would give; here they come with a reason and a sentence.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import zstandard

from headgate.core.documents import documents_in
from headgate.core.envelope import CreatedAt, Envelope, Name, Uuid, decoder_of
from headgate.core.limits import MAX_DEPTH, MAX_ID_BYTES, Limits
from headgate.core.reasons import Reason, Warn
from headgate.core.repeats import gives_twice
from headgate.errors import RecordError
from headgate.records import NO_SUB

GZIP_MAGIC = b"\x1f\x8b"  # RFC 1952
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"  # RFC 8878
JSON_SPACE = b" \t\r\n"
MAX_ZSTD_WINDOW = 1 << 27  # bytes; the most that zstd's own tools inflate without being told to
ZSTD_STEP = 1 << 10  # bytes fed at once; a block of 4 bytes may inflate to 128 KiB (RFC 8878), so 32 MiB at most
MAX_NUMBER_DIGITS = 64  # characters; no instant needs more
DEPTH_DETAIL = f"nested deeper than {MAX_DEPTH}"
INTEGER = re.compile(rb"-?(0|[1-9]\d*)")

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
_any_document = msgspec.json.Decoder(msgspec.Raw).decode
_text = msgspec.json.Decoder(str).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """An event, or what was rejected in its place. `payload` is the event's text, or the reject's exact bytes."""

    payload: bytes
    sub: int = NO_SUB
    event_uuid: Uuid = None
    event_name: Name = None
    created_at: CreatedAt = None
    reason: str | None = None
    detail: str | None = None
    warnings: int = 0


def parts_of(record: bytes, fault: str | None, envelope: Envelope, limits: Limits) -> list[Part]:
    """Take a record apart.

    Args:
        record: the exact bytes, without a line end.
        fault: `reason: detail` where the source could not hand the record over whole.
        envelope: where the common fields are.
        limits: sizes and depth.

    Returns:
        The parts in order; `sub` counts them where the record is not exactly one document.
    """
    if fault is not None:
        reason, _, detail = fault.partition(": ")
        return [_reject(record, reason, detail)]
    try:
        text = _inflate(record, limits)
    except RecordError as error:
        return [_reject(record, error.reason, error.detail)]
    spans = [_trimmed(text)] if _is_one_document(text) else documents_in(text)
    if len(spans) == 1 and not _is_array(text[slice(*spans[0])]):
        part = _judge(text[slice(*spans[0])], NO_SUB, envelope, limits)
        # What is no object keeps the record's exact bytes, white space and all.
        is_whole = text is record and part.reason in (
            Reason.MALFORMED_JSON,
            Reason.NOT_AN_OBJECT,
            Reason.TOO_LARGE,
        )
        return [replace(part, payload=record) if is_whole else part]
    if not spans and text is record:
        return [_reject(record, Reason.MALFORMED_JSON, "the record is empty")]
    if len(spans) == 1 and text is record:
        pieces = list(_documents_of(text[slice(*spans[0])]))
        if pieces and isinstance(pieces[0], Part):
            return [replace(pieces[0], payload=record)]
    parts: list[Part] = []
    for start, end in spans:
        for piece in _documents_of(text[start:end]):
            sub = len(parts)
            parts.append(replace(piece, sub=sub) if isinstance(piece, Part) else _judge(piece, sub, envelope, limits))
    return parts


def _reject(raw: bytes, reason: str, detail: str) -> Part:
    return Part(payload=raw, reason=reason, detail=detail)


def _is_one_document(text: bytes) -> bool:
    """True where no splitting is needed: one whole document, or one line that is broken in its first."""
    try:
        _any_document(text)
    except msgspec.DecodeError as error:
        is_array = text.lstrip(JSON_SPACE).startswith(b"[")
        return not is_array and b"\n" not in text and "trailing characters" not in str(error)
    except RecursionError:
        return False
    return True


def _trimmed(text: bytes) -> tuple[int, int]:
    return len(text) - len(text.lstrip(JSON_SPACE)), len(text.rstrip(JSON_SPACE))


def _is_array(document: bytes) -> bool:
    return document.startswith(b"[")


def _documents_of(document: bytes) -> Iterator[bytes | Part]:
    """The document itself, or the elements of an array; an array that is not valid as a whole is one reject."""
    if not _is_array(document):
        yield document
        return
    try:
        str(document, "utf-8")
        yield from (bytes(memoryview(element)) for element in _elements(document))
    except UnicodeDecodeError as error:
        yield _reject(document, Reason.MALFORMED_JSON, _utf8_detail(error))
    except RecursionError:
        yield _reject(document, Reason.MALFORMED_JSON, DEPTH_DETAIL)
    except msgspec.DecodeError as error:
        yield _reject(document, Reason.MALFORMED_JSON, _sentence(error))


def _judge(document: bytes, sub: int, envelope: Envelope, limits: Limits) -> Part:
    """One document: an event with its common fields, or a reject."""
    try:
        _check(document, limits)
        try:
            decoder = decoder_of(envelope)
            columns = decoder.columns([decoder.decode(document)])
            values = {field: column[0] for field, column in columns.items()}
        except msgspec.ValidationError:
            values = _values(document, envelope)
    except RecordError as error:
        return Part(payload=document, sub=sub, reason=error.reason, detail=error.detail)
    return Part(
        payload=document,
        sub=sub,
        event_uuid=values["id"],
        event_name=values["name"],
        created_at=values["created_at"],
        warnings=int(Warn.DUPLICATE_KEY) if gives_twice(document, envelope) else 0,
    )


def _check(document: bytes, limits: Limits) -> None:
    """All that makes an object of strict JSON, whatever its fields."""
    if len(document) > limits.max_event_bytes:
        detail = f"{len(document):,} bytes; max_event_bytes is {limits.max_event_bytes:,}"
        raise RecordError(Reason.TOO_LARGE, detail)
    try:
        str(document, "utf-8")
        if depth(document) > MAX_DEPTH:
            raise RecordError(Reason.MALFORMED_JSON, DEPTH_DETAIL)
        _any_document(document)
        _members(document)
    except UnicodeDecodeError as error:
        raise RecordError(Reason.MALFORMED_JSON, _utf8_detail(error)) from None
    except msgspec.ValidationError as error:
        raise RecordError(Reason.NOT_AN_OBJECT, _sentence(error)) from None
    except msgspec.DecodeError as error:
        raise RecordError(Reason.MALFORMED_JSON, _sentence(error)) from None
    except RecursionError:
        raise RecordError(Reason.MALFORMED_JSON, DEPTH_DETAIL) from None


def _values(document: bytes, envelope: Envelope) -> dict[str, Uuid | CreatedAt]:
    """The common fields of an object in which one of them has a type that no event has."""
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


def depth(document: bytes) -> int:
    """How deep objects and arrays are nested, brackets inside strings left out. Linear, without recursion."""
    if document.count(b"{") + document.count(b"[") <= MAX_DEPTH:
        return 0
    # Escaped backslashes first, then escaped quotes: what quotes are left begin and end strings.
    plain = np.frombuffer(document.replace(b"\\\\", b"").replace(b'\\"', b""), dtype=np.uint8)
    folded = plain & 0xDF  # [ and { become 0x5B, ] and } become 0x5D
    marks = plain[(folded == 0x5B) | (folded == 0x5D) | (plain == 0x22)]
    outside = np.bitwise_xor.accumulate(marks == 0x22) == 0
    steps = np.where((marks & 0xDF) == 0x5B, 1, np.where(marks == 0x22, 0, -1))
    return int(np.cumsum(np.where(outside, steps, 0)).max(initial=0))


def _inflate(record: bytes, limits: Limits) -> bytes:
    """What is inside a gzip or zstd record, read in bounded steps; the record itself where it is neither."""
    if len(record) > limits.max_record_bytes:
        raise _too_large(limits)
    try:
        if record.startswith(GZIP_MAGIC):
            return _gunzip(record, limits)
        if record.startswith(ZSTD_MAGIC):
            return _unzstd(record, limits)
    except zlib.error as error:
        raise RecordError(Reason.MALFORMED_JSON, f"broken gzip: {error}") from None
    except zstandard.ZstdError as error:
        raise RecordError(Reason.MALFORMED_JSON, f"broken zstd: {error}") from None
    return record


def _gunzip(record: bytes, limits: Limits) -> bytes:
    out = bytearray()
    rest = record
    while rest:
        stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        out += stream.decompress(rest, limits.max_record_bytes + 1 - len(out))
        if len(out) > limits.max_record_bytes:
            raise _too_large(limits)
        if not stream.eof:
            raise RecordError(Reason.MALFORMED_JSON, "broken gzip: it ends early")
        rest = stream.unused_data
    return bytes(out)


def _unzstd(record: bytes, limits: Limits) -> bytes:
    out = bytearray()
    rest = record
    while rest:
        stream = zstandard.ZstdDecompressor(max_window_size=MAX_ZSTD_WINDOW).decompressobj()
        for start in range(0, len(rest), ZSTD_STEP):
            out += stream.decompress(rest[start : start + ZSTD_STEP])
            if len(out) > limits.max_record_bytes:
                raise _too_large(limits)
            if stream.eof:
                rest = stream.unused_data + rest[start + ZSTD_STEP :]
                break
        else:
            raise RecordError(Reason.MALFORMED_JSON, "broken zstd: it ends early")
    return bytes(out)


def _too_large(limits: Limits) -> RecordError:
    return RecordError(Reason.TOO_LARGE, f"the record is larger than max_record_bytes, {limits.max_record_bytes:,}")


def _utf8_detail(error: UnicodeDecodeError) -> str:
    return f"invalid UTF-8 at byte {error.start}"


def _sentence(error: Exception) -> str:
    return str(error).removeprefix("JSON is malformed: ")
