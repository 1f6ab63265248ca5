"""Functions over the records of a stream: asked again, twice and out of order, and killed while they work."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from headgate.testing.event_source_mapping import Event, EventSourceMapping, FunctionError, StreamRecord
from headgate.testing.firehose_driver import Delivered, DeliveryStream
from headgate.testing.lambda_runtime import LambdaFunction

MAX_TRIES = 20  # invocations of one batch that fail for another reason than a kill
KILL_SECONDS = 0.6  # after the beginning of an invocation at the latest: most take less
_KEPT = {"events": "event_uuid", "duplicates": "event_uuid", "rejected": "reason"}

Batch = list[StreamRecord]


@dataclass(kw_only=True)
class Trouble:
    """What befell a function.

    Attributes:
        invocations: that were begun.
        kills: children killed during an invocation.
        lost: answers that were thrown away.
        repeats: invocations with records that an earlier one was asked about.
        errors: what the function raised by itself.
    """

    invocations: int = 0
    kills: int = 0
    lost: int = 0
    repeats: int = 0
    errors: list[str] = field(default_factory=list)


class Killing:
    """Invokes a function; now and then it kills it meanwhile, or loses its answer."""

    def __init__(self, function: LambdaFunction, trouble: Trouble, rng: random.Random) -> None:
        """Nothing is invoked yet."""
        self._function, self._trouble, self._rng = function, trouble, rng

    def __call__(self, event: Event, *, is_killed: bool = False, is_lost: bool = False) -> Mapping[str, Any]:
        """One invocation.

        Args:
            event: what it is about.
            is_killed: kill the child at a random moment, its answer never arrives.
            is_lost: throw the answer away.

        Raises:
            FunctionError: no answer.
        """
        self._trouble.invocations += 1
        self._function.start()
        killer = threading.Timer(self._rng.uniform(0, KILL_SECONDS), self._kill)
        if is_killed:
            killer.start()
        try:
            answer = self._function(event)
        finally:
            if is_killed:
                killer.join()
                self._function.kill()  # where it answered before; the next invocation finds no dying child
        if is_killed or is_lost:
            self._trouble.lost += 1
            raise FunctionError("the answer was lost")
        return answer

    def _kill(self) -> None:
        self._trouble.kills += self._function.strike()


def drive_mapping(
    records: Sequence[StreamRecord],
    stream: str,
    functions: Sequence[LambdaFunction],
    rng: random.Random,
    *,
    batch_records: tuple[int, int],
    kills: int,
) -> Trouble:
    """Hand all records over in batches of any size and in any order, some twice or cut anew, and kill children.

    Args:
        records: of all shards.
        stream: its name.
        functions: work side by side.
        rng: of sizes, order and moments.
        batch_records: bounds of a batch's size.
        kills: invocations during which the child is killed.

    Raises:
        FunctionError: a batch fails again and again, though nobody kills its function.
    """
    batches = list(_cut(records, batch_records, rng))
    repeats = [_recut(batches, rng) for _ in range(len(batches) // 4)]
    work = batches + repeats
    rng.shuffle(work)
    marked = set(rng.sample(range(len(work)), min(kills, len(work))))
    waiting = [(batch, n in marked) for n, batch in enumerate(work)]
    trouble, mapping = Trouble(repeats=len(repeats)), EventSourceMapping(stream=stream)
    lock = threading.Lock()

    def consume(function: LambdaFunction, own: random.Random) -> None:
        invoke = Killing(function, trouble, own)
        while True:
            with lock:
                if not waiting:
                    return
                batch, is_killed = waiting.pop(own.randrange(len(waiting)))
            try:
                invoke(mapping.event(batch), is_killed=is_killed)
            except FunctionError as error:
                with lock:
                    if not is_killed:
                        trouble.errors.append(str(error))
                    if len(trouble.errors) > MAX_TRIES:
                        raise
                    waiting.append((batch, False))

    with ThreadPoolExecutor(len(functions)) as pool:
        running = [pool.submit(consume, function, random.Random(rng.random())) for function in functions]
    for one in running:
        one.result()
    return trouble


def _cut(records: Sequence[StreamRecord], sizes: tuple[int, int], rng: random.Random) -> Iterator[Batch]:
    for _, some in groupby(sorted(records, key=lambda r: (r.shard, r.sequence)), key=lambda r: r.shard):
        rest = list(some)
        while rest:
            size = rng.randint(*sizes)
            yield rest[:size]
            rest = rest[size:]


def _recut(batches: Sequence[Batch], rng: random.Random) -> Batch:
    """One of the batches again, part of it, or its end with the beginning of the next one."""
    at = rng.randrange(len(batches))
    batch = batches[at]
    behind = batches[at + 1] if at + 1 < len(batches) and batches[at + 1][0].shard == batch[0].shard else []
    joined = batch[len(batch) // 2 :] + behind[: len(behind) // 2]
    return rng.choice([batch, batch[: len(batch) // 2] or batch, joined])


@dataclass(kw_only=True)
class Answers:
    """What a transformation answered; a record that is asked about again must get the same.

    Attributes:
        by_record: the answer of each `recordId`.
        breaches: answers that are not as promised.
    """

    by_record: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    breaches: list[str] = field(default_factory=list)

    def take(self, event: Event, answer: Mapping[str, Any]) -> None:
        """Look at the answer to a request."""
        asked = [record["recordId"] for record in event["records"]]
        if (answered := [one["recordId"] for one in answer["records"]]) != asked:
            self.breaches.append(f"asked about {asked[:3]}… ({len(asked)}), answered {answered[:3]}… ({len(answered)})")
        for one in answer["records"]:
            if (known := self.by_record.setdefault(one["recordId"], one)) != one:
                self.breaches.append(f"answered {str(known)[:500]} and then {str(one)[:500]}")


def drive_delivery(
    records: Sequence[StreamRecord], function: LambdaFunction, rng: random.Random, *, kills: int
) -> tuple[DeliveryStream, Answers, Trouble]:
    """Deliver all records; retries after kills and lost answers, and a third of them delivered once more.

    Args:
        records: of all shards; each shard is delivered in order.
        function: the transformation.
        rng: of sizes and moments.
        kills: invocations during which the child is killed.
    """
    whole = sorted(records, key=lambda r: (r.arrived_us, r.shard, r.sequence))
    delivered = [Delivered(f"{r.sequence}000000", r.data, r.arrived_us, r.shard, r.sequence) for r in whole]
    trouble, answers = Trouble(), Answers()
    killing = Killing(function, trouble, rng)
    size = sum(len(one.data) for one in delivered) // (3 * max(kills, 1)) + 1
    stream = DeliveryStream(buffer_bytes=size)
    fates: Callable[[], str] = lambda: rng.choice(["killed", "killed", "lost", "well"])  # noqa: E731
    in_a_row = 0

    def invoke(event: Event) -> Mapping[str, Any]:
        nonlocal in_a_row
        fate = fates() if in_a_row < 2 and trouble.kills < kills else "well"
        in_a_row += 1
        answer = killing(event, is_killed=fate == "killed", is_lost=fate == "lost")
        in_a_row = 0
        answers.take(event, answer)
        return answer

    stream.drive(delivered, invoke)
    stream.buffer_bytes = size // 2 + 1
    some = sorted(rng.sample(range(len(delivered)), len(delivered) // 3))
    trouble.repeats = len(some)
    stream.drive([delivered[n] for n in some], invoke)
    return stream, answers, trouble


class Position(NamedTuple):
    """Where an event stood."""

    shard: str
    sequence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What a delivery and the objects beside it hold, each position once.

    Attributes:
        delivered: ids of delivered lines.
        events: ids of accepted events that were kept for `build`.
        duplicates: ids.
        rejected: reasons.
        raw: how often each reason and raw bytes were rejected.
        lines: delivered lines in all, repeats included.
    """

    delivered: Mapping[Position, str]
    events: Mapping[Position, str]
    duplicates: Mapping[Position, str]
    rejected: Mapping[Position, str]
    raw: Counter[tuple[str, bytes]]
    lines: int

    def breaches(self, truth: Mapping[str, Any]) -> list[str]:
        """Everything that is not as promised, beside what a generator knows."""
        accepted = {**self.delivered, **self.events}
        ids = Counter(canonical(text) for text in accepted.values())
        found: dict[str, object] = {
            "accepted": len(accepted),
            "duplicates": len(self.duplicates),
            "rejected": len(self.rejected),
            "received": len({**accepted, **self.duplicates, **self.rejected}),
            "rejected_by_reason": dict(Counter(self.rejected.values())),
        }
        said = [f"{name}: found {value}, the truth is {truth[name]}" for name, value in found.items() if value != truth[name]]
        if twice := [text for text, count in ids.items() if count > 1]:
            said.append(f"{len(twice)} ids accepted twice, for example {twice[:3]}")
        if orphans := {canonical(text) for text in self.duplicates.values()} - ids.keys():
            said.append(f"{len(orphans)} duplicates have no original, for example {sorted(orphans)[:3]}")
        return said

    @property
    def ids(self) -> list[str]:
        """Accepted ids, each UUID in one spelling, sorted."""
        return sorted(canonical(text) for text in {**self.delivered, **self.events}.values())


def kept(stream: DeliveryStream, lake: Path) -> Kept:
    """Read what was delivered, and what a transformation kept in its lake."""
    lines = [json.loads(line) for content in stream.files.values() for line in content.splitlines()]
    delivered = {
        Position(line["_headgate"]["shard"], line["_headgate"]["sequence"]): str(line["event_uuid"]) for line in lines
    }
    rows = {table: _kept_rows(lake, table, column) for table, column in _KEPT.items()}
    raws = {
        Position(shard, sequence): (str(reason), bytes(raw))
        for shard, sequence, reason, raw in _select(lake, "rejected", "shard, sequence, reason, raw")
    }
    return Kept(
        delivered=delivered,
        events=rows["events"],
        duplicates=rows["duplicates"],
        rejected=rows["rejected"],
        raw=Counter(raws.values()),
        lines=len(lines),
    )


def _kept_rows(lake: Path, table: str, column: str) -> dict[Position, str]:
    return {
        Position(shard, sequence): str(value)
        for shard, sequence, value in _select(lake, table, f"shard, sequence, {column}")
    }


def _select(lake: Path, table: str, columns: str) -> list[tuple[Any, ...]]:
    files = [str(path) for path in (lake / "_headgate" / "firehose").rglob(f"*-{table}.parquet")]
    if not files:
        return []
    with duckdb.connect() as connection:
        return connection.execute(f"SELECT {columns} FROM read_parquet($files)", {"files": files}).fetchall()  # noqa: S608


def canonical(text: str) -> str:
    """A UUID in the one spelling that all its spellings share; any other id as it is."""
    stripped = text.lower().removeprefix("urn:uuid:").translate({ord(c): None for c in "{}-"})
    is_uuid = len(stripped) == 32 and set(stripped) <= set("0123456789abcdef")
    return stripped if is_uuid else text


