"""Payloads to typed columns: what fits stands in its column, anything else in `_rescued`, exactly as it was sent. Pure.

Payloads that all fit become columns at once (columnar.py). Else each is decoded by the one decoder of the table's
shape, in C. Those that it refuses are first learnt from (the shape grows), until nothing new is found, then taken apart
field by field. Law: which way a payload went cannot be seen in what comes out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa

from headgate.core.analytics.columnar import columns_of
from headgate.core.analytics.kinds import Member, label
from headgate.core.analytics.policy import Contract
from headgate.core.analytics.seen import FIELDS, is_plain, observe
from headgate.core.analytics.shape import Aside, Shape, grow
from headgate.core.analytics.typed import ShapeDecoder, column, decoder_of, value_decoder

SAMPLE = 200  # payloads from which the first shape is inferred; the others are learnt from where they differ
_NULL = b"null"
_UNTYPED = (_NULL, b"[]")
_FOUND = {b"{": "object", b"[": "array", b'"': "string", b"t": "boolean", b"f": "boolean"}
_EXPECTED: dict[Aside | None, str] = {
    "untyped": "an array with elements",
    "frozen": "no column: frozen",
    "full": "no column: max_columns",
    "dropped": "no column: dropped",
    None: "no column",
}


class Drift(NamedTuple):
    """A kind of value that did not go into its column: field, what was expected, what was found."""

    field: str
    expected: str
    found: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """Payloads as columns.

    Attributes:
        shape: as it stood when all were fitted; at least what it was before.
        columns: those of `shape.members`, then `_rescued`.
        drift: values that are in no column, by kind; those of `untyped` fields are no drift.
        is_at_once: True where all became columns at once.
    """

    shape: Shape
    columns: list[pa.Array]
    drift: Counter[Drift]
    is_at_once: bool = False


@dataclass(slots=True)
class _Rows:
    """Decoded payloads; `rescued` holds fields and raw values by row, `odd` values of oddly named fields by field."""

    values: list[Any]
    rescued: dict[int, list[tuple[str, bytes]]] = field(default_factory=dict)
    odd: dict[str, dict[int, Any]] = field(default_factory=dict)
    drift: Counter[Drift] = field(default_factory=Counter)


def fit(
    payloads: pa.Array, shape: Shape, contract: Contract, envelope: Collection[str], *, tries_at_once: bool = True
) -> Fitted:
    """Fit some payloads.

    Args:
        payloads: string or binary without nulls; each is a JSON object that was admitted.
        shape: of the table.
        contract: what may become of new fields.
        envelope: top fields that are not columns, because the common columns hold them.
        tries_at_once: False where it would most likely be in vain; it costs a third of what it saves.
    """
    payloads = payloads.cast(pa.binary())
    if not shape.members and not shape.aside:
        sample = payloads.take(pa.array(range(0, len(payloads), len(payloads) // SAMPLE + 1)))
        shape = _learnt(sample.to_pylist(), shape, contract, envelope)
    if tries_at_once and (columns := columns_of(payloads, shape, envelope)) is not None:
        return Fitted(shape=shape, columns=columns, drift=Counter(), is_at_once=True)
    documents: list[bytes] = payloads.to_pylist()
    while True:
        decoder = decoder_of(shape, envelope)
        values, odd = _loop(documents, decoder)
        odd += _odd_asides(values, shape, decoder)
        grown = _learnt([documents[i] for i in sorted(odd)], shape, contract, envelope)
        if grown == shape:
            break
        shape = grown
    rows = _Rows(values)
    for i in odd:
        values[i] = decoder.empty
    _set_aside(rows, shape, decoder)
    for i in odd:
        values[i] = _taken_apart(rows, i, documents[i], shape, decoder, envelope)
    return Fitted(shape=shape, columns=_columns(rows, shape, decoder), drift=rows.drift)


def _learnt(documents: Sequence[bytes], shape: Shape, contract: Contract, envelope: Collection[str]) -> Shape:
    seen = observe(documents)
    for name in envelope:
        seen.pop(name, None)
    return grow(shape, seen, contract)


def _loop(documents: Sequence[bytes], decoder: ShapeDecoder) -> tuple[list[Any], list[int]]:
    """Decode all, in C but for those that do not fit; these are named in the second answer."""
    values: list[Any] = []
    odd: list[int] = []
    rest = iter(documents)
    while True:
        try:
            values.extend(map(decoder.decode, rest))
            return values, odd
        except (msgspec.DecodeError, RecursionError):
            # `extend` keeps what came before; the one that failed is taken from `rest`.
            odd.append(len(values))
            values.append(decoder.empty)


def _odd_asides(values: Sequence[Any], shape: Shape, decoder: ShapeDecoder) -> list[int]:
    """Rows where a field without a type has got a value that tells it."""
    odd: set[int] = set()
    for name, why in shape.aside:
        if why == "untyped" and name in decoder.asides:
            found = map(decoder.asides[name], values)
            odd.update(i for i, raw in enumerate(found) if raw is not None and bytes(raw) not in _UNTYPED)
    return [i for i in odd if values[i] is not decoder.empty]


def _set_aside(rows: _Rows, shape: Shape, decoder: ShapeDecoder) -> None:
    """Take what has no column out of rows that were decoded whole, in the order in which it was sent."""
    found = [
        (i, name, why, text)
        for name, why in shape.aside
        if name in decoder.asides
        for i, raw in enumerate(map(decoder.asides[name], rows.values))
        if raw is not None and (text := bytes(raw)) != _NULL
    ]
    for i, name, why, text in found:
        _rescue(rows, i, name, text, why)


def _rescue(rows: _Rows, i: int, name: str, text: bytes, why: Aside | None, member: Member | None = None) -> None:
    if why != "dropped":
        rows.rescued.setdefault(i, []).append((name, text))
    if why != "untyped" or text[:1] != b"[":
        expected = _EXPECTED[why] if member is None else label(member.kind)
        rows.drift[Drift(name, expected, _FOUND.get(text[:1], "number"))] += 1


def _taken_apart(
    rows: _Rows, i: int, document: bytes, shape: Shape, decoder: ShapeDecoder, envelope: Collection[str]
) -> Any:
    """One row field by field; what fits is given back decoded."""
    members, aside = {member.field: member for member in shape.members}, dict(shape.aside)
    fitting: dict[str, msgspec.Raw] = {}
    for name, raw in FIELDS.decode(document).items():
        text = bytes(raw)
        if name in envelope or text == _NULL:
            continue
        member = members.get(name)
        if name in aside or member is None:
            _rescue(rows, i, name, text, aside.get(name))
        elif not _is_fitting(text, member):
            _rescue(rows, i, name, text, None, member)
        elif is_plain(name):
            fitting[name] = raw
        else:
            rows.odd.setdefault(name, {})[i] = value_decoder(member.kind).decode(text)
    return decoder.decode(msgspec.json.encode(fitting))


def _is_fitting(text: bytes, member: Member) -> bool:
    try:
        value_decoder(member.kind).decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _columns(rows: _Rows, shape: Shape, decoder: ShapeDecoder) -> list[pa.Array]:
    made = []
    for member, get in zip(shape.members, decoder.members, strict=True):
        if get is not None:
            values = list(map(get, rows.values))
        else:
            values = list(map(rows.odd.get(member.field, {}).get, range(len(rows.values))))
        made.append(column(values, member.kind))
    return [*made, _rescued_column(rows)]


def _rescued_column(rows: _Rows) -> pa.Array:
    """`_rescued`: one JSON object of fields and values as sent; null where all fitted."""
    if not rows.rescued:
        return pa.nulls(len(rows.values), pa.string())
    texts: list[bytes | None] = [None] * len(rows.values)
    for i, fields in rows.rescued.items():
        texts[i] = msgspec.json.encode({name: msgspec.Raw(text) for name, text in fields})
    return pa.array(texts, pa.binary()).cast(pa.string())
