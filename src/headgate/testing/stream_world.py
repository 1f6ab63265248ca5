"""A stream that lives: producers that fill it at a rate, shards that split and merge meanwhile, and what it holds."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from headgate.testing.event_source_mapping import StreamRecord
from headgate.testing.kinesis_driver import StreamDriver
from headgate.testing.processes import Child
from headgate.testing.server_kinesis import REGION

_COUNTS = ("received", "accepted", "duplicates", "rejected")
_GROUPS = ("rejected_by_reason", "accepted_by_type")


def environment(url: str) -> dict[str, str]:
    """What a child process needs to reach a Kinesis server, and nothing else."""
    return {
        "AWS_ENDPOINT_URL_KINESIS": url,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One producer.

    Attributes:
        events: lines in all.
        rate: events a second.
        events_per_record: 1, or so many as a JSON array.
        seed: of ids; each producer of a stream has its own.
        types: event types.
        duplicates: share.
        invalid: share.
    """

    events: int
    rate: float
    events_per_record: int = 20
    seed: int = 0
    types: int = 100
    duplicates: float = 0.05
    invalid: float = 0.01


class Producers:
    """`headgate generate` as real processes, side by side. As a context they are killed at the end."""

    def __init__(self, stream: StreamDriver, loads: Sequence[Load], folder: Path) -> None:
        """Start them; truth and output go to the folder."""
        self._loads, self._folder, self._env = loads, folder, environment(stream.url)
        self._running = ExitStack()
        self._children: list[Child] = []
        folder.mkdir(parents=True, exist_ok=True)
        for n, load in enumerate(loads):
            options = {
                "--events": load.events,
                "--rate": load.rate,
                "--events-per-record": load.events_per_record,
                "--seed": load.seed,
                "--types": load.types,
                "--duplicates": load.duplicates,
                "--invalid": load.invalid,
                "--out": f"kinesis://{stream.name}",
                "--truth": self._truth(n),
            }
            flags = [str(part) for option in options.items() for part in option]
            child = Child(["generate", *flags], folder / f"logs-{n}", env=self._env)
            self._children.append(self._running.enter_context(child))

    @property
    def seconds(self) -> float:
        """How long all of them take."""
        return max(load.events / load.rate for load in self._loads)

    def wait(self) -> dict[str, Any]:
        """Wait until all is put; what a reader must find.

        Raises:
            RuntimeError: a producer failed.
        """
        truths = []
        for n, child in enumerate(self._children):
            if code := child.wait(self.seconds + 600):
                raise RuntimeError(f"a producer ended with {code}: {child.errors()[-2000:]}")
            truths.append(json.loads(self._truth(n).read_bytes()))
        return summed(truths)

    def _truth(self, number: int) -> Path:
        return self._folder / f"truth-{number}.json"

    def __enter__(self) -> Producers:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill those that still run."""
        self._running.close()


def summed(truths: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The truth about several producers whose ids differ."""
    return {
        **{name: sum(truth[name] for truth in truths) for name in _COUNTS},
        **{name: dict(sum((Counter(truth[name]) for truth in truths), Counter[str]())) for name in _GROUPS},
    }


class Resharding:
    """Splits and merges in turn on a thread of its own. As a context it ends with the block.

    Attributes:
        splits: made so far.
        merges: made so far.
    """

    def __init__(self, stream: StreamDriver, rng: random.Random, *, times: int, seconds: float) -> None:
        """Begin.

        Args:
            stream: whose shards.
            rng: of shards.
            times: so many splits and so many merges.
            seconds: over which they are spread.
        """
        self.splits = self.merges = 0
        self._stream, self._rng, self._times = stream, rng, times
        self._pause = seconds / (2 * times + 1)
        self._is_over = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="resharding", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Return once all is done.

        Raises:
            Exception: what the server answered to a split or merge.
        """
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        try:
            while self.merges < self._times and not self._is_over.wait(self._pause):
                shards = self._stream.open_shards()
                if self.splits <= self.merges:
                    self._stream.split(self._rng.choice(shards))
                    self.splits += 1
                else:
                    at = self._rng.randrange(1, len(shards))
                    self._stream.merge(shards[at - 1], shards[at])
                    self.merges += 1
        except (self._stream.client.exceptions.ClientError, TimeoutError) as error:
            self._error = error

    def __enter__(self) -> Resharding:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End after the change under way."""
        self._is_over.set()
        self._thread.join()


@contextmanager
def flowing(
    stream: StreamDriver, loads: Sequence[Load], folder: Path, rng: random.Random, *, reshards: int
) -> Iterator[tuple[Producers, Resharding]]:
    """A stream that is filled, while its shards split and merge so many times each."""
    with Producers(stream, loads, folder) as producers:
        pace = producers.seconds * 0.9  # the last change is followed by records, too
        with Resharding(stream, rng, times=reshards, seconds=pace) as resharding:
            yield producers, resharding


def held(stream: StreamDriver) -> list[StreamRecord]:
    """All records of all shards, read by the SDK alone: nobody writes meanwhile."""
    records = []
    for shard in stream.shards():
        name = shard["ShardId"]
        asked = {"StreamName": stream.name, "ShardId": name, "ShardIteratorType": "TRIM_HORIZON"}
        iterator = stream.client.get_shard_iterator(**asked)["ShardIterator"]
        while iterator:
            answer = stream.client.get_records(ShardIterator=iterator, Limit=10_000)
            records += [
                StreamRecord(
                    name,
                    int(record["SequenceNumber"]),
                    record["Data"],
                    round(record["ApproximateArrivalTimestamp"].timestamp() * 1000) * 1000,
                )
                for record in answer["Records"]
            ]
            is_at_tip = not answer["Records"] and not answer["MillisBehindLatest"]
            iterator = None if is_at_tip else answer.get("NextShardIterator")
    return records
