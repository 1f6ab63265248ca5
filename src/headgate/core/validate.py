"""The rules of the contract for the three common fields, over columns. Pure.

A part that breaks several rules carries the first in the order id, name, time.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.columns import one_array
from headgate.core.limits import MAX_ID_BYTES, MAX_NAME_BYTES
from headgate.core.partition import fits
from headgate.core.reasons import Reason, Warn

NAME_SEPARATOR = ":"


def validate(parts: pa.Table, max_future_us: int) -> pa.Table:
    """Find out which parts are events, and take their names apart.

    Args:
        parts: DECODED.
        max_future_us: how far `created_at` may lie after arrival, in microseconds.

    Returns:
        DECODED with `reason`, `detail` and `warnings` completed, and the columns `event_type` (string) and
        `event_subtype` (string, null where there is none). Both are null where no name could be read.
    """
    types, subtypes, name_is_valid = _split_names(parts["event_name"])
    reasons = _Reasons(parts)
    reasons.put(_is_empty(parts["event_uuid"]), Reason.EVENT_UUID_MISSING, "the event has no id")
    reasons.put(
        _above(parts["event_uuid"], MAX_ID_BYTES),
        Reason.EVENT_UUID_INVALID,
        f"the id is longer than {MAX_ID_BYTES} bytes",
    )
    reasons.put(_is_empty(parts["event_name"]), Reason.EVENT_NAME_MISSING, "the event has no name")
    reasons.put(
        ~name_is_valid,
        Reason.EVENT_NAME_INVALID,
        f"the name is longer than {MAX_NAME_BYTES} bytes, or its first part is empty or fits no folder name",
    )
    created = np.asarray(pc.fill_null(parts["created_us"], -1))
    arrived = np.asarray(parts["arrived_at"].cast(pa.int64()))
    reasons.put(np.asarray(pc.is_null(parts["created_at"])), Reason.CREATED_AT_MISSING, "the event has no created_at")
    reasons.put(created < 0, Reason.CREATED_AT_INVALID, "created_at is no instant between 1970 and 9999")
    reasons.put(
        created > arrived + max_future_us,
        Reason.CREATED_AT_IN_FUTURE,
        "created_at is later than arrival plus max_future",
    )
    warnings = np.asarray(parts["warnings"]) | np.where(
        np.asarray(pc.is_null(subtypes)), np.uint16(Warn.EVENT_SUBTYPE_MISSING), np.uint16(0)
    )
    warnings = np.where(reasons.is_event, warnings, np.uint16(0))
    table = reasons.table().set_column(parts.schema.get_field_index("warnings"), "warnings", pa.array(warnings))
    return table.append_column("event_type", types).append_column("event_subtype", subtypes)


class _Reasons:
    """The first reason of each part, and its sentence."""

    def __init__(self, parts: pa.Table) -> None:
        self._parts = parts
        self.is_event = np.asarray(pc.is_null(parts["reason"])).copy()
        self._found: list[tuple[npt.NDArray[np.bool_], Reason, str]] = []

    def put(self, breaks: npt.NDArray[np.bool_], reason: Reason, detail: str) -> None:
        rows = breaks & self.is_event
        if rows.any():
            self.is_event &= ~rows
            self._found.append((rows, reason, detail))

    def table(self) -> pa.Table:
        parts = self._parts
        for rows, reason, detail in self._found:
            for column, text in (("reason", str(reason)), ("detail", detail)):
                filled = pc.if_else(pa.array(rows), pa.scalar(text), parts[column])
                parts = parts.set_column(parts.schema.get_field_index(column), column, filled)
        return parts


def _is_empty(texts: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    return np.asarray(pc.fill_null(pc.equal(pc.binary_length(texts), 0), True))


def _above(texts: pa.ChunkedArray, limit: int) -> npt.NDArray[np.bool_]:
    return np.asarray(pc.fill_null(pc.greater(pc.binary_length(texts), limit), False))


def _split_names(names: pa.ChunkedArray) -> tuple[pa.Array, pa.Array, npt.NDArray[np.bool_]]:
    """Type, subtype and validity of each name; worked out once a distinct name."""
    encoded = one_array(names).dictionary_encode()
    types: list[str | None] = []
    subtypes: list[str | None] = []
    valid: list[bool] = []
    for name in encoded.dictionary.to_pylist():
        first, _, rest = name.partition(NAME_SEPARATOR)
        first, second = first.strip(), rest.partition(NAME_SEPARATOR)[0].strip()
        is_valid = len(name.encode()) <= MAX_NAME_BYTES and fits(first)
        types.append(first if is_valid else None)
        subtypes.append((second or None) if is_valid else None)
        valid.append(is_valid)
    indices = encoded.indices
    flags = pc.fill_null(pa.array(valid, pa.bool_()).take(indices), False)
    return (
        pa.array(types, pa.string()).take(indices),
        pa.array(subtypes, pa.string()).take(indices),
        np.asarray(flags),
    )
