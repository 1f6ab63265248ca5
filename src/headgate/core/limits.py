"""Sizes and depth beyond which a record is a reject. Pure: constants and their defaults."""

from __future__ import annotations

from dataclasses import dataclass

MAX_DEPTH = 128  # levels; contract, section 1
MAX_ID_BYTES = 512  # bytes; contract, section 1
MAX_NAME_BYTES = 256  # bytes; contract, section 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits on size.

    Attributes:
        max_event_bytes: one event's JSON text.
        max_record_bytes: one record, inflated.
    """

    max_event_bytes: int = 10 << 20
    max_record_bytes: int = 64 << 20
