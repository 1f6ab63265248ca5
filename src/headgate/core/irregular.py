"""One record that is not simply one JSON object: inflated, taken apart, and what stands alone judged. Pure.

The verdicts are those that the fast path of decode.py would give; here they come with a reason and a sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec
from msgspec import structs

from headgate.core.documents import documents_in
from headgate.core.envelope import CreatedAt, Envelope, Name, Uuid, decoder_of
from headgate.core.fields import values_of
from headgate.core.inflate import GZIP_MAGIC, ZSTD_MAGIC, inflate
from headgate.core.kpl import KPL_MAGIC, HashRange, is_aggregate, user_records
from headgate.core.limits import MAX_DEPTH, Limits
from headgate.core.reasons import Reason, Warn
from headgate.core.repeats import gives_twice
from headgate.core.texts import depth
from headgate.errors import RecordError
from headgate.records import NO_SUB

JSON_SPACE = b" \t\r\n"
FRAMED = (GZIP_MAGIC, ZSTD_MAGIC, KPL_MAGIC)
DEPTH_DETAIL = f"nested deeper than {MAX_DEPTH}"

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
_any_document = msgspec.json.Decoder(msgspec.Raw).decode


class Part(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An event, or what was rejected in its place. `payload` is the event's text, or the reject's exact bytes.

    Where `is_judged` is False it is one of several documents, and nothing else is known of it yet: they are decoded
    together.
    """

    payload: bytes
    sub: int = NO_SUB
    event_uuid: Uuid = None
    event_name: Name = None
    created_at: CreatedAt = None
    reason: str | None = None
    detail: str | None = None
    warnings: int = 0
    is_judged: bool = True


def parts_of(
    record: bytes, fault: str | None, envelope: Envelope, limits: Limits, hash_range: HashRange | None = None
) -> list[Part]:
    """Take a record apart and judge each part. For arguments see `pieces_of`."""
    pieces = pieces_of(record, fault, envelope, limits, hash_range)
    return [piece if piece.is_judged else judge_piece(piece, envelope, limits) for piece in pieces]


def pieces_of(
    record: bytes, fault: str | None, envelope: Envelope, limits: Limits, hash_range: HashRange | None = None
) -> list[Part]:
    """Take a record apart; documents among others are left to be judged (`Part.is_judged`).

    Args:
        record: the exact bytes; a line end after them is not looked at.
        fault: `reason: detail` where the source could not hand the record over whole.
        envelope: where the common fields are.
        limits: sizes and depth.
        hash_range: of the record's shard, for the user records of an aggregate.

    Returns:
        The parts in order; `sub` counts them where the record is not exactly one document.
    """
    line = _without_line_end(record)
    if fault is not None:
        reason, _, detail = fault.partition(": ")
        return [_reject(line, reason, detail)]
    if line is not record and record.startswith(FRAMED):
        # The last byte of a frame may look like a line end.
        parts = _parts_of(record, envelope, limits, hash_range)
        if not (len(parts) == 1 and (parts[0].detail or "").startswith("broken ")):
            return parts
    return _parts_of(line, envelope, limits, hash_range)


def _without_line_end(record: bytes) -> bytes:
    return record.removesuffix(b"\n").removesuffix(b"\r") if record.endswith(b"\n") else record


def _parts_of(record: bytes, envelope: Envelope, limits: Limits, hash_range: HashRange | None) -> list[Part]:
    try:
        if is_aggregate(record):
            return _user_parts(record, envelope, limits, hash_range)
        return _text_parts(record, inflate(record, limits), envelope, limits)
    except RecordError as error:
        return [_reject(record, error.reason, error.detail)]


def _user_parts(record: bytes, envelope: Envelope, limits: Limits, hash_range: HashRange | None) -> list[Part]:
    """The parts of all user records of an aggregate, which together inflate to `max_record_bytes` at most."""
    parts: list[Part] = []
    room = limits.max_record_bytes
    for user in user_records(record, hash_range):
        try:
            if is_aggregate(user.data):
                raise RecordError(Reason.MALFORMED_JSON, "a KPL aggregate inside a KPL aggregate")
            text = inflate(user.data, replace(limits, max_record_bytes=room))
            room -= len(text)
            is_plain = text is user.data and text.startswith(b"{") and text.endswith(b"}")
            if is_plain and _is_one_document(text):  # the usual one
                some = [Part(payload=text, is_judged=False)]
            else:
                some = _text_parts(user.data, text, envelope, limits)
        except RecordError as error:
            some = [_reject(user.data, error.reason, error.detail)]
        outside = int(Warn.KPL_OUTSIDE_SHARD) if user.is_outside else 0
        parts += [
            structs.replace(part, sub=len(parts) + i, warnings=part.warnings | outside) for i, part in enumerate(some)
        ]
    return parts


def _text_parts(record: bytes, text: bytes, envelope: Envelope, limits: Limits) -> list[Part]:
    """The parts of a record that inflates to `text`."""
    spans = [_trimmed(text)] if _is_one_document(text) else documents_in(text)
    if len(spans) == 1 and not _is_array(text[slice(*spans[0])]):
        part = judge(text[slice(*spans[0])], NO_SUB, envelope, limits)
        # What is no object keeps the record's exact bytes, white space and all.
        is_whole = text is record and part.reason in (
            Reason.MALFORMED_JSON,
            Reason.NOT_AN_OBJECT,
            Reason.TOO_LARGE,
        )
        return [structs.replace(part, payload=record) if is_whole else part]
    if not spans and text is record:
        return [_reject(record, Reason.MALFORMED_JSON, "the record is empty")]
    if len(spans) == 1 and text is record:
        found = _documents_of(text[slice(*spans[0])])
        if found and isinstance(found[0], Part):
            return [structs.replace(found[0], payload=record)]
    pieces = [piece for start, end in spans for piece in _documents_of(text[start:end])]
    return [
        Part(payload=piece, sub=sub, is_judged=False) if isinstance(piece, bytes) else structs.replace(piece, sub=sub)
        for sub, piece in enumerate(pieces)
    ]


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


def _documents_of(document: bytes) -> Sequence[bytes | Part]:
    """The document itself, or the elements of an array; an array that is not valid as a whole is one reject."""
    if not _is_array(document):
        return [document]
    try:
        str(document, "utf-8")
        return list(map(bytes, _elements(document)))
    except UnicodeDecodeError as error:
        detail = _utf8_detail(error)
    except RecursionError:
        detail = DEPTH_DETAIL
    except msgspec.DecodeError as error:
        detail = _sentence(error)
    return [_reject(document, Reason.MALFORMED_JSON, detail)]


def judge_piece(piece: Part, envelope: Envelope, limits: Limits) -> Part:
    """Judge a document that was left to be judged; what is known of it already stays."""
    part = judge(piece.payload, piece.sub, envelope, limits)
    return structs.replace(part, warnings=part.warnings | piece.warnings)


def judge(document: bytes, sub: int, envelope: Envelope, limits: Limits) -> Part:
    """Judge one document.

    Args:
        document: its text, without white space around it.
        sub: its number within the record.
        envelope: where the common fields are.
        limits: sizes and depth.

    Returns:
        An event with its common fields, or a reject.
    """
    try:
        _check(document, limits)
        try:
            decoder = decoder_of(envelope)
            columns = decoder.columns([decoder.decode(document)])
            values = {field: column[0] for field, column in columns.items()}
        except msgspec.ValidationError:
            values = values_of(document, envelope)
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


def _utf8_detail(error: UnicodeDecodeError) -> str:
    return f"invalid UTF-8 at byte {error.start}"


def _sentence(error: Exception) -> str:
    return str(error).removeprefix("JSON is malformed: ")
