"""A few rejects of each reason, and a few duplicates: the newest, cut short. Read in one pass, in little memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from headgate.core.shown import cut, safe, safe_bytes
from headgate.jobs.existing import ExistingLake
from headgate.jobs.query import answer

EACH = 3  # rows of a reason, and of natural and conflicting duplicates
MOST_CHARACTERS = 360
_MOST_BYTES = 4 * MOST_CHARACTERS + 1
_MOST_REASONS = 20
_LONG_NAME = 120  # characters

_NEWEST = "max_by(struct_pack({columns}), arrived_at, {each})"
_REJECTS = (
    "SELECT reason, {newest} AS newest FROM rejected GROUP BY reason ORDER BY count(*) DESC, reason LIMIT {reasons}"
)
_DUPLICATES = "SELECT conflict, {newest} AS newest FROM duplicates GROUP BY conflict ORDER BY conflict"
_POSITION = "arrived_us := epoch_us(arrived_at), source := source, shard := shard, sequence := sequence"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One reject or duplicate; every text is fit to be shown.

    Attributes:
        group: reason of a reject; `natural` or `conflicting` of a duplicate.
        event_type: empty where none could be read.
        text: its bytes, cut.
        detail: what is wrong with it; of a duplicate the position of its original.
        source: where it came from, with `shard` and `sequence`.
        arrived_us: microseconds since 1970.
    """

    group: str
    event_type: str
    text: str
    detail: str
    source: str
    shard: str
    sequence: str
    arrived_us: int


def reject_samples(lake: ExistingLake) -> list[Sample]:
    """The newest rejects of the most frequent reasons.

    Raises:
        TransientError: the storage did not answer.
    """
    columns = f"event_type := event_type, text := raw[1:{_MOST_BYTES}], detail := detail, {_POSITION}"
    query = _REJECTS.format(newest=_NEWEST.format(columns=columns, each=EACH), reasons=_MOST_REASONS)
    return [_sample(group["reason"], row, row["detail"] or "") for group, row in _rows(lake, query)]


def duplicate_samples(lake: ExistingLake) -> list[Sample]:
    """The newest duplicates, natural ones and conflicting ones.

    Raises:
        TransientError: the storage did not answer.
    """
    original = "original_shard := original_shard, original_sequence := original_sequence"
    columns = f"event_type := event_type, text := left(payload, {_MOST_BYTES}), {original}, {_POSITION}"
    query = _DUPLICATES.format(newest=_NEWEST.format(columns=columns, each=EACH))
    return [
        _sample(
            "conflicting" if group["conflict"] else "natural",
            row,
            f"the original is {row['original_shard']} {row['original_sequence']}",
        )
        for group, row in _rows(lake, query)
    ]


def _rows(lake: ExistingLake, query: str) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    with answer(lake, query, None, None) as found:
        for group in found.read_all().to_pylist():
            for row in group["newest"] or ():
                yield group, row


def _sample(group: str, row: Mapping[str, Any], detail: str) -> Sample:
    text = row["text"] or b""
    return Sample(
        group=group,
        event_type=row["event_type"] or "",
        text=safe_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"), MOST_CHARACTERS),
        detail=cut(safe(detail), MOST_CHARACTERS),
        source=cut(safe(row["source"]), _LONG_NAME),
        shard=cut(safe(row["shard"]), _LONG_NAME),
        sequence=cut(safe(row["sequence"]), _LONG_NAME),
        arrived_us=row["arrived_us"],
    )
