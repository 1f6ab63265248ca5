"""Reject reasons and warnings of the contract, as closed sets. Pure: constants only."""

from __future__ import annotations

from enum import IntFlag, StrEnum


class Reason(StrEnum):
    """Why a part of a record was rejected. User rules add `rule:<name>`."""

    MALFORMED_JSON = "malformed_json"
    NOT_AN_OBJECT = "not_an_object"
    TOO_LARGE = "too_large"
    EVENT_UUID_MISSING = "event_uuid_missing"
    EVENT_UUID_INVALID = "event_uuid_invalid"
    EVENT_NAME_MISSING = "event_name_missing"
    EVENT_NAME_INVALID = "event_name_invalid"
    CREATED_AT_MISSING = "created_at_missing"
    CREATED_AT_INVALID = "created_at_invalid"
    CREATED_AT_IN_FUTURE = "created_at_in_future"
    EVENT_TYPE_LIMIT = "event_type_limit"


RULE_PREFIX = "rule:"


class Warn(IntFlag):
    """What is counted and changes nothing; one bit each in the `warnings` column."""

    EVENT_SUBTYPE_MISSING = 1
    CREATED_AT_UNIT_MS = 2
    CREATED_AT_UNIT_US = 4
    CREATED_AT_UNIT_NS = 8
    CREATED_AT_TEXT = 16
    DUPLICATE_KEY = 32
    KPL_OUTSIDE_SHARD = 64

    @property
    def label(self) -> str:
        """The warning's name in counts."""
        return (self.name or "").lower()


NUMERIC_TEXT = 1 << 15  # a bit beside those of Warn: `created_at` is a number in quotes; counted as a unit alone

PARTITION_FLOOD = "partition_flood"  # counted per batch, not per event
REDELIVERED = "redelivered"  # counted by filing: lines at positions that are in the tables already
ACCEPTED_AGAIN = "accepted_again"  # counted by filing: events that became duplicates of another with their id
