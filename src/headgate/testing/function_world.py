"""Functions over the records of a stream: asked again, twice and out of order, and killed while they work."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from headgate.testing.event_source_mapping import Event, EventSourceMapping, FunctionError, StreamRecord
from headgate.testing.firehose_driver import Delivered, DeliveryStream
from headgate.testing.lambda_runtime import LambdaFunction

MAX_TRIES = 20  # invocations of one batch that fail for another reason than a kill
KILL_SECONDS = 0.6  # after the beginning of an invocation at the latest: most take less

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
    order = rng.sample(range(len(batches) + len(repeats)), len(batches) + len(repeats))
    marked = set(order[:kills])
    waiting = [(batch, n in marked) for n, batch in enumerate([*batches, *repeats])]
    trouble = Trouble(repeats=len(repeats))
    work = _Work(waiting=waiting, mapping=EventSourceMapping(stream=stream), trouble=trouble)
    own = [type(rng)(rng.random()) for _ in functions]
    with ThreadPoolExecutor(len(functions)) as pool:
        running = [pool.submit(work.drain, *pair) for pair in zip(functions, own, strict=True)]
    for one in running:
        one.result()
    return trouble


@dataclass(kw_only=True)
class _Work:
    """Batches that wait, each with whether its function is killed."""

    waiting: list[tuple[Batch, bool]]
    mapping: EventSourceMapping
    trouble: Trouble
    lock: threading.Lock = field(default_factory=threading.Lock)

    def drain(self, function: LambdaFunction, rng: random.Random) -> None:
        """Invoke a function until nothing waits; what it did not answer waits again."""
        invoke = Killing(function, self.trouble, rng)
        while (taken := self._take(rng)) is not None:
            batch, is_killed = taken
            try:
                invoke(self.mapping.event(batch), is_killed=is_killed)
            except FunctionError as error:
                with self.lock:
                    self.waiting.append((batch, False))
                    if not is_killed:
                        self.trouble.errors.append(str(error))
                    if len(self.trouble.errors) > MAX_TRIES:
                        raise

    def _take(self, rng: random.Random) -> tuple[Batch, bool] | None:
        with self.lock:
            return self.waiting.pop(rng.randrange(len(self.waiting))) if self.waiting else None


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
