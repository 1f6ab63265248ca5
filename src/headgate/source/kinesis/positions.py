"""What the ledger keeps of a shard, and where reading goes on from it. Pure.

A position is exclusive: the last sequence number plus one; where nothing was read, the shard's
StartingSequenceNumber or 0. Positions are integers and never compared as text. What `meta` says of the tip or the end
holds only at the position `at`: a range that was cut in two carries the facts of its end on both halves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from headgate.errors import PermanentError
from headgate.records import Island, ShardState
from headgate.source.kinesis.lineage import ShardInfo

MAX_SEQUENCE = (1 << 192) - 2  # 24 bytes, see records.py; a real one has 186 bits


class StreamMadeAnewError(PermanentError):
    """The stream was deleted and made anew under its name: its shards are others. A human decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamIdentity:
    """One stream for ever: a stream made anew under the same name has another creation time."""

    arn: str
    created_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How far a shard was read.

    Attributes:
        position: exclusive; None where the ledger does not know the shard.
        seen_us: everything that arrived before this was read, microseconds since 1970; None: cannot tell.
        begin_us: reading began at this time, not at the oldest record.
        is_end: SHARD_END: nothing can come any more.
        islands: what was committed out of order beyond the position; its records are not handed over.
        islands_at: see `records.ShardState`.
    """

    position: int | None = None
    seen_us: int | None = None
    begin_us: int | None = None
    is_end: bool = False
    islands: tuple[Island, ...] = ()
    islands_at: int = 0

    def last(self, info: ShardInfo) -> int | None:
        """Sequence number of the last record read; None where there was none."""
        return self.position - 1 if self.position is not None and self.position > int(info.start) else None


def place_of(state: ShardState) -> Place:
    """What the ledger says of a shard."""
    meta = state.meta
    position = None if state.position is None else int(state.position)
    holds = position is not None and str(meta.get("at")) == str(position)
    return Place(
        position=position,
        seen_us=meta.get("seen_empty_us") if holds else None,
        begin_us=meta.get("begin_us"),
        is_end=state.closed or (holds and bool(meta.get("is_end"))),
        islands=state.islands,
        islands_at=state.islands_at,
    )


def meta_of(place: Place, info: ShardInfo, stream: StreamIdentity) -> Mapping[str, Any]:
    """What the ledger shall keep with a shard; `place.position` must be known."""
    meta: dict[str, Any] = {
        "stream": stream.arn,
        "stream_created_us": stream.created_us,
        "hash_range": list(info.hash_range),
        "at": str(place.position),
    }
    if place.seen_us is not None:
        meta["seen_empty_us"] = place.seen_us
    if place.begin_us is not None:
        meta["begin_us"] = place.begin_us
    if place.is_end:
        meta["is_end"] = True
    return meta


def check_identity(state: ShardState, stream: StreamIdentity) -> None:
    """Refuse a stream that is not the one the position was made on.

    Raises:
        StreamMadeAnewError: another ARN or creation time.
    """
    arn, created_us = state.meta.get("stream"), state.meta.get("stream_created_us")
    if arn is not None and (arn, created_us) != (stream.arn, stream.created_us):
        raise StreamMadeAnewError(
            f"the stream {stream.arn} (made at {instant_text(stream.created_us)}) is not the one that this lake has "
            f"positions of ({arn}, made at {instant_text(created_us)}): it was deleted and made anew; give it "
            "another name with --source-name to read it from its start"
        )


def instant_text(us: int | None) -> str:
    """Microseconds since 1970 for people: ISO 8601, seconds, UTC."""
    if us is None:
        return "an unknown time"
    return datetime.fromtimestamp(us / 1_000_000, UTC).isoformat(timespec="seconds")


def sequence_numbers(texts: Sequence[str]) -> list[int]:
    """Sequence numbers as integers.

    Raises:
        PermanentError: one of them is none, or larger than a position can be.
    """
    together = "".join(texts)
    if texts and not (together.isascii() and together.isdigit() and all(texts)):
        raise _no_sequence_number(next(t for t in texts if not (t.isascii() and t.isdigit())))
    numbers = list(map(int, texts))
    if numbers and max(numbers) > MAX_SEQUENCE:
        raise _no_sequence_number(str(max(numbers)))
    return numbers


def _no_sequence_number(text: str) -> PermanentError:
    return PermanentError(f"{text[:200]!r} is no sequence number that fits 192 bits: is this a Kinesis endpoint?")
