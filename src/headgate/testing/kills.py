"""A run that is ended by SIGKILL at random moments, again and again, each time with other batch sizes."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from headgate.testing.processes import Child, wait_until

EARLY_SHARE = 0.25  # of the kills come right after the start: imports, recovery, opening of the claim store
EARLY_SECONDS = 0.8  # a start takes about as long
LATE_SECONDS = 0.3  # about one batch: a kill after the awaited commit falls anywhere in the next ones
LAST_SECONDS = 600.0  # of patience with the last process
SPREAD = 0.9  # of the records lie before the last kill, so that it still finds the run at work

#: Reads a file of a lake by its path in it; None where there is none.
Read = Callable[[str], bytes | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """What happened to a run.

    Attributes:
        kills: processes that SIGKILL ended.
        starts: processes in all, the last one among them.
        exit_code: of the last one.
        errors: what the last one wrote to standard error.
    """

    kills: int
    starts: int
    exit_code: int
    errors: str


def run_with_kills(
    command: Sequence[str | Path],
    lake: Path | Read,
    logs: Path,
    *,
    kills: int,
    records: int,
    batch_events: tuple[int, int],
    rng: random.Random,
    env: Mapping[str, str] | None = None,
    ending: Callable[[], Sequence[str]] = tuple,
) -> Killed:
    """Run a command, kill it so many times spread over its records, then let it end.

    Args:
        command: `run SOURCE LAKE ...` without batch sizes.
        lake: its lake, whose ledger tells the progress: the folder, or what reads a lake that lies elsewhere.
        logs: a folder for output.
        kills: how many.
        records: how many the source holds.
        batch_events: bounds of the batch size that each process is given.
        rng: of moments and sizes.
        env: added to the environment of each process.
        ending: called before the last process; gives flags for it (`--once`).

    Raises:
        TimeoutError: the run made no progress or did not end.
    """
    progress = Progress(lake)
    done = starts = 0
    while done < kills and progress.received() < records and starts < 2 * kills + 10:
        target = int(records * SPREAD * (done + rng.random()) / kills)
        starts += 1
        with Child([*command, *batch_flags(rng, batch_events)], logs, env=env) as child:
            if rng.random() < EARLY_SHARE:
                _pass(rng.uniform(0, EARLY_SECONDS), child)
            else:
                before = progress.received()
                goal = max(target, before + 1)
                wait_until(
                    lambda child=child, goal=goal: progress.received() >= goal or not child.is_running,  # type: ignore[misc]
                    f"record {goal} of {command}",
                )
                _pass(rng.uniform(0, LATE_SECONDS), child)
            done += child.kill() == -9
    with Child([*command, *batch_flags(rng, batch_events), *ending()], logs, env=env) as child:
        code = child.wait(LAST_SECONDS)
    return Killed(kills=done, starts=starts + 1, exit_code=code, errors=child.errors())


def batch_flags(rng: random.Random, batch_events: tuple[int, int]) -> list[str]:
    """Random sizes: any of the three limits may be the one that cuts."""
    events = rng.randint(*batch_events)
    return [
        "--batch-events",
        str(events),
        "--batch-bytes",
        str(rng.choice([1 << 26, events * 350, events * 200])),
        "--flush-seconds",
        rng.choice(["5", "0.05", "0.5"]),
    ]


class Progress:
    """How many records the ledger counts; reads each entry once."""

    def __init__(self, lake: Path | Read) -> None:
        """Nothing is read yet; the lake need not exist."""
        self._read = _reader(lake) if isinstance(lake, Path) else lake
        self._number = 0
        self._received = 0

    def received(self) -> int:
        """Records in all entries so far."""
        while True:
            content = self._read(f"_headgate/ledger/{self._number + 1:020d}.json")
            if content is None:
                return self._received
            self._number += 1
            self._received += json.loads(content).get("counts", [0])[0]


def _reader(folder: Path) -> Read:
    def read(path: str) -> bytes | None:
        try:
            return (folder / path).read_bytes()
        except FileNotFoundError:
            return None

    return read


def _pass(seconds: float, child: Child) -> None:
    """Let so much time pass, unless the process ends before."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= end or not child.is_running, "the end of a pause")
