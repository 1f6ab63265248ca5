"""Hypothesis strategies: streams full of copies, conflicts, rejects and late records, and scripts of faults."""

from __future__ import annotations

import json
from typing import NamedTuple

from hypothesis import strategies as st

from headgate.core.limits import Limits
from headgate.core.rules import Rule, Rules
from headgate.testing.action_log import ActionLog, Fault
from headgate.testing.laws import Sent
from headgate.testing.memory_source import Record
from headgate.testing.records import ARRIVED_US
from headgate.testing.world import DAY_US, WINDOW_US, Attempt

IDS = ("0190f3c2-7a5b-7c3d-9e4f-0123456789ab", "order-7", "e02fd0e4-00fd-090A-ca30-0d00a0038ba0", "42")
ARRIVALS = (0, 1, WINDOW_US // 2, WINDOW_US, WINDOW_US + 1, 2 * WINDOW_US + 2, 3 * WINDOW_US + 3)
CREATED = ARRIVED_US // 1_000_000 - 10  # Unix seconds
SMALL = Limits(max_event_bytes=300)  # a padded event is too large for it
PAD = "x" * 300
FAULTS: tuple[Fault, ...] = ("error before", "error after", "killed before", "killed after")
BAD = (b"rubbish", b"[]5", b'{"event_name":"a:b","created_at":1}', b'{"event_uuid":"u","event_name":"a"}')

#: Compiled once: making a DuckDB connection takes longer than a whole example.
RULES = (None, Rules([Rule(name="few", check="(payload->>'n')::int < 2")]))


class Part(NamedTuple):
    """A part of a record: an event's id by number, or None for a reject."""

    key: int | None
    payload: bytes


@st.composite
def parts(draw: st.DrawFn, *, may_be_large: bool = True) -> Part:
    """An event or a reject."""
    if draw(st.integers(0, 9)) == 0:
        return Part(None, draw(st.sampled_from(BAD[2:])))
    key = draw(st.integers(0, len(IDS) - 1))
    written = IDS[key]
    if len(written) == 36 and draw(st.booleans()):
        written = draw(st.sampled_from((written.upper(), written.replace("-", ""), f"{{{written}}}")))
    event: dict[str, object] = {
        "event_uuid": written,
        "event_name": draw(st.sampled_from(("a:b", "c"))),
        "created_at": CREATED - draw(st.sampled_from((0, 86_400))),
        "n": draw(st.integers(0, 2)),
    }
    if may_be_large and draw(st.integers(0, 7)) == 0:
        event["pad"] = PAD
    return Part(key, json.dumps(event, separators=(",", ":")).encode())


@st.composite
def records(draw: st.DrawFn, shard: str, sequence: int) -> tuple[Record, list[Sent]]:
    """A record and what it means."""
    arrived = ARRIVED_US + draw(st.sampled_from(ARRIVALS))
    kind = draw(st.sampled_from(("one", "one", "one", "array", "documents", "rubbish")))
    if kind == "rubbish":
        some, data = [Part(None, BAD[0])], BAD[0]
    elif kind == "one":
        some = [draw(parts())]
        data = some[0].payload + draw(st.sampled_from((b"", b"\n")))
    else:
        some = draw(st.lists(parts(may_be_large=False), min_size=2, max_size=3))
        payloads = [part.payload for part in some]
        data = b"[" + b",".join(payloads) + b"]" if kind == "array" else b"".join(payloads)
    sent = []
    for i, part in enumerate(some):
        text = str(sequence) if len(some) == 1 else f"{sequence}#{i}"
        sent.append(Sent(shard, sequence, text, part.key, part.payload, arrived))
    return Record(data=data, arrived_us=arrived), sent


@st.composite
def shards(draw: st.DrawFn, *, max_shards: int = 3, max_records: int = 8) -> tuple[dict[str, list[Record]], list[Sent]]:
    """Shards with few ids, so that copies abound, and every part that they hold."""
    held: dict[str, list[Record]] = {}
    sent: list[Sent] = []
    for shard in "abc"[: draw(st.integers(1, max_shards))]:
        held[shard] = []
        for sequence in range(draw(st.integers(1, max_records))):
            record, some = draw(records(shard, sequence))
            held[shard].append(record)
            sent += some
    return held, sent


@st.composite
def attempts(draw: st.DrawFn, *, is_changing: bool, max_depth: int = 0) -> Attempt:
    """A process with a script of faults.

    Args:
        draw: of Hypothesis.
        is_changing: whether rules and limits may be other ones than before.
        max_depth: see Attempt.
    """
    faults = draw(
        st.dictionaries(
            st.integers(0, 70),
            st.sampled_from(FAULTS),
            max_size=4,
        )
    )
    return Attempt(
        rules=draw(st.sampled_from(RULES)) if is_changing else None,
        limits=draw(st.sampled_from((Limits(), SMALL))) if is_changing else Limits(),
        max_event_types=draw(st.sampled_from((1, 1_000))) if is_changing else 1_000,
        batch_events=draw(st.sampled_from((1, 2, 3, 5, 100))),
        per_read=draw(st.integers(1, 4)),
        order=draw(st.permutations("abc")) if draw(st.booleans()) else (),
        depth=draw(st.integers(0, max_depth)),
        log=ActionLog(faults=faults),
        is_storage_logged=draw(st.booleans()),
    )


def calm(attempt: Attempt) -> Attempt:
    """The same process with nothing in its way."""
    return Attempt(
        rules=attempt.rules,
        limits=attempt.limits,
        max_event_types=attempt.max_event_types,
        batch_events=attempt.batch_events,
        per_read=attempt.per_read,
        depth=attempt.depth,
    )


assert CREATED * 1_000_000 < ARRIVED_US + DAY_US  # noqa: S101 - a constant against a constant
