"""One consumer on recorded answers of GetRecords, called by stream.py: `run`, or the reading of the stream alone.

stream_child.py run RECORDING LAKE [flags of `headgate run`]
stream_child.py read RECORDING        KinesisSource alone: a real boto3 client, answers made into columns
stream_child.py boto RECORDING        the SDK's own parser on some of the same answers
stream_child.py json RECORDING        json.loads and base64 of some of the same answers
"""

from __future__ import annotations

import base64
import json
import random
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import headgate.source.kinesis.client as kinesis
from headgate.clock import SystemClock
from headgate.entrypoints.cli import main
from headgate.source.kinesis.answers import keep_body
from headgate.source.kinesis.source import KinesisSource
from headgate.testing.replayed_kinesis import RecordedAnswer, ReplayedKinesis, recorded_lines

STREAM = "replayed"
SOME = 20  # answers, for parsers that are slow


@dataclass(frozen=True, slots=True)
class FiledAnswer:
    """A RecordedAnswer that lies in a file until it is asked for."""

    path: Path
    last: int

    @property
    def records(self) -> bytes:
        """See RecordedAnswer."""
        return self.path.read_bytes()


def write_recording(folder: Path, records: list[bytes], *, shards: int, per_answer: int, arrived_us: int) -> int:
    """Make a recording of records that lie in turn on the shards; returns the number of answers."""
    folder.mkdir()
    index: dict[str, list[int]] = {}
    for shard in range(shards):
        name = f"shardId-{shard:012d}"
        own = recorded_lines(records[shard::shards], shards=1, per_answer=per_answer, arrived_us=arrived_us)
        (answers,) = own.values()
        index[name] = [answer.last for answer in answers]
        for number, answer in enumerate(answers):
            (folder / f"{name}-{number}").write_bytes(answer.records)
    (folder / "index.json").write_text(json.dumps(index))
    return sum(map(len, index.values()))


def open_recording(folder: Path) -> dict[str, list[FiledAnswer]]:
    """A recording, as ReplayedKinesis takes it."""
    index = json.loads((folder / "index.json").read_text())
    return {
        name: [FiledAnswer(folder / f"{name}-{number}", last) for number, last in enumerate(lasts)]
        for name, lasts in index.items()
    }


def replayed(folder: Path) -> ReplayedKinesis:
    """The stream."""
    answers: dict[str, list[RecordedAnswer]] = open_recording(folder)  # type: ignore[assignment]
    return ReplayedKinesis(answers, name=STREAM)


def run(folder: Path, lake: str, flags: list[str]) -> None:
    """`headgate run` on the recording, everything real but the server."""
    kinesis.kinesis_client = lambda **_: replayed(folder).client()
    sys.argv = ["headgate", "run", f"kinesis://{STREAM}", lake, "--once", "--json", *flags]
    main()


def read(folder: Path) -> int:
    """Read to the end; every batch is committed at once, in memory."""
    source = KinesisSource(
        STREAM, client=replayed(folder).client(), clock=SystemClock(), jitter=random.random, once=True
    )
    source.resume({})
    records = 0
    try:
        while True:
            batch = source.read(0.5)
            records += 0 if batch is None else batch.num_records
    except EOFError:
        source.close()
    return records


def boto(folder: Path) -> int:
    """GetRecords as boto3 answers it."""
    client = replayed(folder).client()
    client.meta.events.unregister("before-parse.kinesis.GetRecords", keep_body)
    iterators = (f"{name}/{n}" for name, answers in open_recording(folder).items() for n in range(len(answers)))
    return sum(len(client.get_records(ShardIterator=iterator)["Records"]) for iterator in islice(iterators, SOME))


def plain_json(folder: Path) -> int:
    """What a few lines of Python do."""
    bodies: Iterable[bytes] = (a.records for answers in open_recording(folder).values() for a in answers)
    found = (
        (base64.b64decode(r["Data"]), int(r["SequenceNumber"]), r["ApproximateArrivalTimestamp"])
        for body in islice(bodies, SOME)
        for r in json.loads(body)
    )
    return sum(1 for _ in found)


if __name__ == "__main__":
    what, recording = sys.argv[1], Path(sys.argv[2])
    if what == "run":
        run(recording, sys.argv[3], sys.argv[4:])
    else:
        wall, cpu = time.perf_counter(), time.process_time()
        count = {"read": read, "boto": boto, "json": plain_json}[what](recording)
        took = {"records": count, "wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        print(json.dumps(took))
