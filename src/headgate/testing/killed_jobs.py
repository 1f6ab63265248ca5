"""A consumer and the jobs beside it, all running again and again, each killed at random moments of its work.

What is killed, and when, follows a seed; how far each had come then follows the machine.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from headgate.testing.flowing_files import FlowingFiles
from headgate.testing.independent import breaches, ledger
from headgate.testing.kills import batch_flags
from headgate.testing.processes import Child, run
from headgate.testing.remote_lake import RemoteLake
from headgate.testing.typed_reader import typed_breaches

LEFT_ALONE = 0.25  # of the runs of a job come to their end
FIRST_GUESS_SECONDS = 2.5  # that a job takes, until one came to its end
BEYOND = 1.3  # times what the last one took: kills fall into its whole work, the last commit included
DATE_SHARE = 0.2  # of the builds build a date anew
PATIENCE_SECONDS = 600.0  # with the last run of each

#: Makes the arguments of the next run.
Arguments = Callable[[], Sequence[str | Path]]


class KilledAgain:
    """One command as one process after the other."""

    def __init__(
        self,
        arguments: Arguments,
        logs: Path,
        rng: random.Random,
        env: Mapping[str, str],
        *,
        longest_seconds: float | None = None,
    ) -> None:
        """Nothing is started yet.

        Args:
            arguments: of each process.
            logs: a folder of its own.
            rng: of moments.
            env: added to the environment.
            longest_seconds: the longest life of a command that goes on until it is killed; None for one that ends.
        """
        self.kills = self.starts = 0
        self.failures: list[str] = []
        self._arguments, self._logs, self._rng, self._env = arguments, logs, rng, env
        self._longest_seconds = longest_seconds
        self._child: Child | None = None
        self._began = self._until = 0.0
        self._took = FIRST_GUESS_SECONDS

    def step(self) -> None:
        """Start, kill or go on."""
        now = time.monotonic()
        if self._child is None:
            self._child = Child(self._arguments(), self._logs, env=self._env)
            self.starts += 1
            self._began, self._until = now, now + self._life()
        elif not self._child.is_running:
            if (code := self._child.wait()) or self._longest_seconds is not None:
                self.failures.append(f"{self._logs.name} ended with {code}: {self._child.errors()[-500:]}")
            self._took, self._child = now - self._began, None
        elif now >= self._until:
            self.stop()

    def stop(self) -> None:
        """Kill what runs."""
        if self._child is not None:
            self.kills += self._child.kill() == -9
            self._child = None

    def _life(self) -> float:
        """Seconds until the kill."""
        if self._longest_seconds is not None:
            return self._rng.uniform(0, self._longest_seconds)
        if self._rng.random() < LEFT_ALONE:
            return float("inf")
        return self._rng.uniform(0, BEYOND * self._took)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where everything lies.

    Attributes:
        source: folder that is read.
        lake: folder or URI.
        table_format: `delta`, or `parquet`, which is never compacted.
        logs: a folder for output.
        env: added to the environment of each process.
        remote: reads the lake where it is not a folder.
    """

    source: Path
    lake: str
    table_format: str
    logs: Path
    env: Mapping[str, str] = field(default_factory=dict)
    remote: RemoteLake | None = None

    def commands(self, rng: random.Random, batch_events: tuple[int, int]) -> dict[str, Arguments]:
        """The arguments of `run`, `build` and `compact`; sizes and dates are drawn anew for each process."""
        found: dict[str, Arguments] = {
            "run": lambda: [*self.run(), "--follow", *batch_flags(rng, batch_events)],
            "build": lambda: ["build", self.lake, *(_some_day(rng) if rng.random() < DATE_SHARE else ())],
        }
        if self.table_format == "delta":
            found["compact"] = lambda: [*self.compact(), *rng.choice([[], ["--skip-orphans"]])]
        return found

    def run(self) -> list[str | Path]:
        """The consumer without sizes."""
        return ["run", self.source, self.lake, "--format", self.table_format]

    def compact(self) -> list[str | Path]:
        """With the least target and retention that there are."""
        return ["compact", self.lake, "--target-bytes", str(1 << 20), "--retention", "1h"]


def _some_day(rng: random.Random) -> list[str]:
    """Today, when almost all events were created, or one of the days of late ones."""
    day = datetime.now(UTC).date() - timedelta(days=rng.choice([0, 0, 1, 2]))
    return ["--date", day.isoformat()]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How it went.

    Attributes:
        folder: the lake, or a copy of it.
        kills: by command.
        starts: by command, those that came to their end among them.
        found: everything that is not as promised.
        compacted: files of all tables before and after the last compaction.
    """

    folder: Path
    kills: dict[str, int]
    starts: dict[str, int]
    found: list[str]
    compacted: tuple[int, int]


def killed_jobs(
    place: Place,
    flow: FlowingFiles,
    truth: Mapping[str, Any],
    rng: random.Random,
    *,
    batch_events: tuple[int, int],
    run_seconds: float,
    is_over: Callable[[Mapping[str, KilledAgain]], bool],
) -> Ended:
    """Let all run and be killed until it is over, then drain, build and compact once more, and judge the lake.

    Args:
        place: where.
        flow: writes the source.
        truth: about all that it will have written.
        rng: of moments, sizes and dates.
        batch_events: bounds of the batch size that each consumer is given.
        run_seconds: that a consumer lives at most.
        is_over: is asked all the time.

    Raises:
        TimeoutError: a last run did not end.
    """
    flow.start()
    _last(place, "run", [*place.run(), "--once"])  # there is a lake from now on
    jobs = {
        name: KilledAgain(
            arguments, place.logs / name, rng, place.env, longest_seconds=run_seconds if name == "run" else None
        )
        for name, arguments in place.commands(rng, batch_events).items()
    }
    try:
        while not is_over(jobs):
            flow.step()
            for job in jobs.values():
                job.step()
            time.sleep(0.01)
    finally:
        for job in jobs.values():
            job.stop()
    flow.finish()
    found = [failure for job in jobs.values() for failure in job.failures]
    compacted = _ending(place, found)
    folder = Path(place.lake) if place.remote is None else place.remote.copy(place.logs.parent / "copy")
    found += breaches(folder, truth) + typed_breaches(folder)
    return Ended(
        folder=folder,
        kills={name: job.kills for name, job in jobs.items()},
        starts={name: job.starts for name, job in jobs.items()},
        found=found,
        compacted=compacted,
    )


def _ending(place: Place, found: list[str]) -> tuple[int, int]:
    """Drain, build, compact and verify; files before and after. What is wrong is added to `found`."""
    _last(place, "run", [*place.run(), "--once"])
    _last(place, "build", ["build", place.lake])
    before = after = 0
    if place.table_format == "delta":
        tables = json.loads(_last(place, "compact", [*place.compact(), "--json"]))["tables"].values()
        before, after = (sum(table[f"files_{when}"] for table in tables) for when in ("before", "after"))
    if rows := json.loads(_last(place, "build", ["build", place.lake, "--json"]))["rows"]:
        found.append(f"a build after the last one added {rows} rows")
    verify: list[str | Path] = ["verify", place.source, place.lake]
    code, child = run(verify, place.logs / "last", env=place.env, seconds=PATIENCE_SECONDS)
    if code:
        found.append(f"verify ended with {code}: {child.out.read_text()} {child.errors()}")
    return before, after


def _last(place: Place, name: str, arguments: Sequence[str | Path]) -> str:
    """Run a command to its end; what it printed."""
    code, child = run(arguments, place.logs / "last", env=place.env, seconds=PATIENCE_SECONDS)
    if code:
        raise RuntimeError(f"{name} ended with {code}: {child.errors()}")
    return child.out.read_text()


def commits(folder: Path) -> dict[str, int]:
    """How many there were: entries of the ledger, commits of builds and of compactions."""
    logs = [version.read_bytes() for version in folder.rglob("_delta_log/*.json")]
    return {
        "ledger entries": len(ledger(folder)),
        "commits of build": sum(b"headgate-build" in log for log in logs),
        "commits of compact": sum(b'"OPTIMIZE"' in log for log in logs),
    }


def unnamed_files(folder: Path) -> int:
    """Data files of Delta tables that no commit names: what was killed between writing and its commit left them."""
    count = 0
    for log in folder.rglob("_delta_log"):
        named = b"".join(version.read_bytes() for version in log.glob("*.json"))
        files = (path for path in log.parent.rglob("*.parquet") if "_delta_log" not in path.parts)
        count += sum(path.name.encode() not in named for path in files)
    return count
