"""A folder into which JSON lines flow at a pace: new files, and files that grow, with fields whose types drift."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headgate.testing.generator import EventSpec, Truth, generate

HOUR_MS = 3_600_000
LARGEST_PIECE = 0.5  # seconds of flow written at once
LONGEST_FILE = 4.0  # seconds of flow in a file


def flowing_events(count: int, rng: random.Random, *, types: int) -> tuple[list[bytes], dict[str, object]]:
    """Generated lines whose fields drift, and the truth about them.

    Args:
        count: lines: events, copies and rubbish, late ones among them.
        rng: of everything.
        types: event types.
    """
    truth, seed = Truth(), rng.randrange(1 << 32)
    start_ms = time.time_ns() // 1_000_000 - HOUR_MS
    spec = EventSpec(events=count, start_ms=start_ms, rate=max(1.0, count / 3_000), types=types, seed=seed)
    lines = [line for block in generate(spec, truth) for line in block.split(b"\n")[:-1]]
    return [_drifting(line, i / count, rng) for i, line in enumerate(lines)], truth.to_dict()


def _drifting(line: bytes, progress: float, rng: random.Random) -> bytes:
    """An event with fields of its time more; a line that is no object stays as it is."""
    if not line.endswith(b"}") or not _is_object(line):
        return line
    more: dict[str, Any] = {"level": rng.randrange(1_000)}
    if progress > 1 / 3 and rng.random() < 0.3:
        more["level"] = rng.randrange(1_000) / 8  # the column becomes a double, its files are written anew
    if progress > 2 / 3 and rng.random() < 0.1:
        more["level"] = rng.choice(["high", {"of": 3}, [1], 2**53 + 1])  # no column holds it
    more[f"since_{int(progress * 10)}"] = rng.choice([True, "text", None])  # a new column each tenth
    more["extra"] = {f"member_{int(progress * 5)}": rng.randrange(9)}  # a struct that grows
    return line[:-1] + b"," + json.dumps(more).encode()[1:]


def _is_object(line: bytes) -> bool:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and len(found) > 0


class FlowingFiles:
    """Writes lines into files of a folder as time goes by; whole lines only."""

    def __init__(self, lines: list[bytes], folder: Path, rng: random.Random, *, lines_a_second: float) -> None:
        """Nothing is written yet.

        Args:
            lines: without their ends.
            folder: is made.
            rng: of the files' sizes.
            lines_a_second: the pace.
        """
        folder.mkdir(parents=True)
        self._lines, self._folder, self._rng, self._rate = lines, folder, rng, lines_a_second
        self._began = 0.0
        self._next = self._number = 0
        self._left_in_file = 0

    @property
    def written(self) -> int:
        """Lines so far."""
        return self._next

    @property
    def files(self) -> int:
        """Files so far."""
        return self._number

    def start(self) -> None:
        """Write the first line; the others follow at the pace from now on."""
        self._began = time.monotonic()
        self._write(1)

    def step(self) -> None:
        """Write what is due, once it is worth a write."""
        due = min(len(self._lines), int((time.monotonic() - self._began) * self._rate))
        if due - self._next > self._rng.random() * LARGEST_PIECE * self._rate:
            self._write(due)

    def finish(self) -> None:
        """Write all that is left."""
        self._write(len(self._lines))

    def _write(self, upto: int) -> None:
        for start, end in self._pieces(upto):
            with (self._folder / f"{self._number:05d}.jsonl").open("ab") as file:
                file.write(b"".join(line + b"\n" for line in self._lines[start:end]))

    def _pieces(self, upto: int) -> Iterator[tuple[int, int]]:
        """Cut the lines up to a number by files."""
        while self._next < upto:
            if not self._left_in_file:
                self._number += 1
                self._left_in_file = self._rng.randint(1, max(1, int(LONGEST_FILE * self._rate)))
            size = min(self._left_in_file, upto - self._next)
            start = self._next
            self._next, self._left_in_file = start + size, self._left_in_file - size
            yield start, self._next
