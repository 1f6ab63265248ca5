"""Which event types a lake takes in: no more than its limit, in the order of commits. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.reasons import Reason


class Admission(NamedTuple):
    """`parts` with the types beyond the limit rejected, and the types that are new to the lake, in order."""

    parts: pa.Table
    new_types: list[str]


def admit(parts: pa.Table, known: Collection[str], max_event_types: int) -> Admission:
    """Reject events whose type would be one too many.

    Args:
        parts: validated, with `event_type` and `reason`.
        known: types that the lake holds.
        max_event_types: the lake's limit.

    Returns:
        Admission.
    """
    is_event = pc.is_null(parts["reason"])
    seen = pc.unique(parts["event_type"].filter(is_event)).to_pylist()
    new = [name for name in seen if name not in known]
    room = max(0, max_event_types - len(known))
    if len(new) <= room:
        return Admission(parts, new)
    refused = pa.array(new[room:], pa.string())
    rows = pc.and_(is_event, pc.is_in(parts["event_type"], value_set=refused))
    detail = f"the lake holds its limit of {max_event_types:,} event types (max_event_types)"
    for column, text in (("reason", str(Reason.EVENT_TYPE_LIMIT)), ("detail", detail)):
        filled = pc.if_else(rows, pa.scalar(text), parts[column])
        parts = parts.set_column(parts.schema.get_field_index(column), column, filled)
    warnings = pc.if_else(rows, pa.scalar(np.uint16(0)), parts["warnings"])
    parts = parts.set_column(parts.schema.get_field_index("warnings"), "warnings", warnings)
    return Admission(parts, new[:room])
