"""Where an event keeps its three common fields, and the decoder made for it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any

import msgspec

Uuid = str | int | None
Name = str | None
CreatedAt = float | int | str | None

FIELD_TYPES: dict[str, Any] = {"id": Uuid, "name": Name, "created_at": CreatedAt}


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Paths of the common fields in the event; dots lead into nested objects.

    Attributes:
        id: path of the event's id, by default `event_uuid`.
        name: path of the event's name, by default `event_name`.
        created_at: path of the time of creation, by default `created_at`.
    """

    id: str = "event_uuid"
    name: str = "event_name"
    created_at: str = "created_at"

    @property
    def paths(self) -> dict[str, tuple[str, ...]]:
        """Each field's path, split at the dots."""
        return {f: tuple(getattr(self, f).split(".")) for f in FIELD_TYPES}


@dataclass(frozen=True, slots=True)
class EnvelopeDecoder:
    """The strict decoder of one envelope and the columns that it gives.

    `decode` takes one JSON document and gives a struct; it raises msgspec.DecodeError for malformed JSON,
    msgspec.ValidationError for a field of another type or a document that is no object, RecursionError for
    very deep nesting. It does not check UTF-8 or depth in the values that it skips.
    """

    decode: Callable[[Any], Any]
    columns: Callable[[Sequence[Any]], dict[str, list[Any]]]
    empty: Any


@lru_cache(maxsize=8)
def decoder_of(envelope: Envelope) -> EnvelopeDecoder:
    """Make the decoder of an envelope: a msgspec struct, nested where paths have dots.

    Raises:
        ValueError: one path runs through another (`a` and `a.b`), or is empty.
    """
    tree: dict[str, Any] = {}
    for field, path in envelope.paths.items():
        node = tree
        for part in path[:-1]:
            node = node.setdefault(part, {})
            if isinstance(node, str):
                raise ValueError(f"envelope path {'.'.join(path)!r} runs through another field's path")
        if not all(path) or path[-1] in node:
            raise ValueError(f"envelope path {'.'.join(path)!r} is empty or given twice")
        node[path[-1]] = field
    attributes: dict[str, tuple[str, ...]] = {}
    struct = _struct("Event", tree, (), attributes)

    def columns(rows: Sequence[Any]) -> dict[str, list[Any]]:
        return {field: _column(rows, attributes[field]) for field in FIELD_TYPES}

    return EnvelopeDecoder(msgspec.json.Decoder(struct).decode, columns, struct())


def _struct(name: str, tree: dict[str, Any], above: tuple[str, ...], attributes: dict[str, tuple[str, ...]]) -> Any:
    fields, names = [], {}
    for i, (key, child) in enumerate(tree.items()):
        attribute = f"f{i}"
        names[attribute] = key
        if isinstance(child, str):
            fields.append((attribute, FIELD_TYPES[child], None))
            attributes[child] = (*above, attribute)
        else:
            nested = _struct(f"{name}_{i}", child, (*above, attribute), attributes)
            fields.append((attribute, nested | None, None))
    return msgspec.defstruct(name, fields, rename=names, gc=False, frozen=True)


def _column(rows: Sequence[Any], attributes: tuple[str, ...]) -> list[Any]:
    values = list(map(attrgetter(attributes[0]), rows))
    for attribute in attributes[1:]:
        values = [None if value is None else getattr(value, attribute) for value in values]
    return values
