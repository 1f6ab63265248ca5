"""Realistic product events as JSON lines, with duplicates and rubbish among them, and the truth about them.

Deterministic: the same EventSpec gives the same bytes, and a longer one begins with the shorter one's bytes.
Every block of BLOCK lines has its own random numbers; of earlier blocks it knows a bounded sample of events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from itertools import compress

import numpy as np
import numpy.typing as npt

from headgate.errors import ConfigError
from headgate.testing.event_types import SLOTS, EventName, event_names, snippets
from headgate.testing.numbers_text import decimal, hexadecimal, uuids
from headgate.testing.rubbish import FAULTS, MALFORMED, OTHERS, Parts

DEFAULT_RATE = 1_000_000 / 3600  # events per second of event time; one million an hour
BLOCK = 20_000  # lines made at once, about 6 MB
LATE_MS = 3 * 86_400_000  # late events were created up to three days before
DELAY_MS = 800  # mean time between creation and sending
CONFLICT_SHARE = 1 / 3  # of the copies are sent with changed bytes
LONG_SHARE = 0.4  # of the copies repeat an event of any age, the others a recent one
SHORT_DISTANCE = 200  # events; mean distance of a copy to a recent original
FIRST_START_MS = 1_000_000_000_000  # 2001-09-09; from here to 2286 Unix seconds have ten digits
LAST_START_MS = 9_000_000_000_000

FRESH, COPY, RUBBISH = 0, 1, 2

Ints = npt.NDArray[np.int64]
Columns = dict[str, list[bytes]]  # the values of each slot, a row a line


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSpec:
    """What to generate.

    Attributes:
        events: number of lines in all: events, copies and rubbish.
        start_ms: when the first event is sent, Unix milliseconds; no good event is created much later than
            `start_ms + duration_ms`, and none after it.
        rate: events per second of event time.
        types: number of event types.
        duplicates: share of lines that repeat an earlier event's id.
        invalid: share of lines that must be rejected.
        late: share of events created up to three days before they are sent.
        seed: of the random numbers.
    """

    events: int
    start_ms: int
    rate: float = DEFAULT_RATE
    types: int = 100
    duplicates: float = 0.05
    invalid: float = 0.01
    late: float = 0.02
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be generated."""
        if self.events < 0 or self.types < 1 or self.seed < 0 or not self.rate > 0:
            raise ConfigError("generate: events and seed must be 0 or more, types and rate more than 0")
        shares = (self.duplicates, self.invalid, self.late)
        if not all(0 <= share <= 1 for share in shares) or self.duplicates + self.invalid > 1:
            raise ConfigError("generate: duplicates, invalid and late are shares from 0 to 1; duplicates + invalid too")
        if not FIRST_START_MS <= self.start_ms - LATE_MS < self.start_ms + self.duration_ms < LAST_START_MS:
            raise ConfigError("generate: events must be created between September 2001 and the year 2255")

    @property
    def duration_ms(self) -> int:
        """Event time from the first line to the last, in milliseconds."""
        return int(self.events / self.rate * 1000) + 1


@dataclass(slots=True)
class Truth:
    """What a reader of the lines must find; complete once the lines are exhausted.

    Attributes:
        received: lines.
        accepted: first copies.
        duplicates: second and later copies.
        rejected: lines that break a rule.
        conflicts: duplicates whose bytes differ from the first copy's.
        late: accepted events that were created late.
        rejected_by_reason: rejected lines by the contract's reason.
        warnings: warnings of accepted and duplicate events.
        accepted_by_type: accepted events by event type.
        payload_bytes: bytes of all lines without their ends.
    """

    received: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    conflicts: int = 0
    late: int = 0
    rejected_by_reason: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    accepted_by_type: Counter[str] = field(default_factory=Counter)
    payload_bytes: int = 0

    def to_dict(self) -> dict[str, object]:
        """As written to the truth file; names sorted."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {k: dict(sorted(v.items())) if isinstance(v, Counter) else v for k, v in values.items()}


def generate(spec: EventSpec, truth: Truth | None = None) -> Iterator[bytes]:
    """Make the lines in blocks of up to BLOCK lines, each ending in a line feed.

    Args:
        spec: what to make.
        truth: is added to as the blocks are taken.

    Yields:
        Bytes of whole lines, about 6 MB.
    """
    maker = _Maker(spec, Truth() if truth is None else truth)
    for block in range(-(-spec.events // BLOCK)):
        yield maker.block(block)


@dataclass(frozen=True, slots=True)
class _Draw:
    """The random choices of one block, a row a line; `kind` is FRESH, COPY or RUBBISH."""

    rng: np.random.Generator
    kind: Ints
    name: Ints
    late: npt.NDArray[np.bool_]
    created_ms: Ints


class _Maker:
    """Makes one block after the other; remembers a sample of all earlier events for late copies."""

    def __init__(self, spec: EventSpec, truth: Truth) -> None:
        types = event_names(spec.types)
        self.spec, self.truth = spec, truth
        self.names: list[EventName] = [name for names in types for name in names]
        self.first_of_type = np.cumsum([0, *(len(names) for names in types[:-1])])
        weights = np.concatenate(
            # Zipf by type (Mandelbrot's form, exponent 1.1), evenly over the names of a type.
            [np.full(len(names), 1 / (rank + 3) ** 1.1 / len(names)) for rank, names in enumerate(types)]
        )
        self.cumulated = np.cumsum(weights) / weights.sum()
        self.lines = [name.line for name in self.names]
        self.snippets = snippets()
        self.by_unit = {unit: np.array([name.unit == unit for name in self.names]) for unit in ("milliseconds", "iso")}
        self.sample: list[bytes] = []  # lines of earlier events; uniform over all of them
        self.sample_names: Ints = np.empty(0, np.int64)

    def block(self, number: int) -> bytes:
        draw = self._draw(number)
        size = min(BLOCK, self.spec.events - number * BLOCK)
        columns = self._columns(draw)
        templates = map(self.lines.__getitem__, draw.name.tolist())
        values = zip(*columns.values(), strict=True)
        lines = [template % row for template, row in zip(templates, values, strict=True)]
        fresh_lines = list(compress(lines, (draw.kind == FRESH).tolist()))
        copies = self._copy(draw, lines, size)
        reasons = self._spoil(draw, lines, columns, size)
        self._remember(draw, fresh_lines, number)
        self._count(draw, size, copies, reasons)
        del lines[size:]
        text = b"\n".join(lines) + b"\n"
        self.truth.payload_bytes += len(text) - size
        return text

    def _draw(self, number: int) -> _Draw:
        """Choices for BLOCK lines, even where fewer are wanted: a longer file begins like a shorter one."""
        spec = self.spec
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([spec.seed, number])))
        u = rng.random(BLOCK)
        kind = np.where(u < spec.invalid, RUBBISH, np.where(u < spec.invalid + spec.duplicates, COPY, FRESH))
        name = np.minimum(np.searchsorted(self.cumulated, rng.random(BLOCK)), len(self.names) - 1)
        late = rng.random(BLOCK) < spec.late
        if number == 0:
            kind[0] = FRESH  # a copy needs an original, and a file's first line decides how the file is read
            fresh = np.flatnonzero(kind == FRESH)[: len(self.first_of_type)]
            name[fresh] = rng.permutation(self.first_of_type)[: len(fresh)]  # every type is present
        after_ms = np.arange(number * BLOCK, (number + 1) * BLOCK) * (1000 / spec.rate)
        delay_ms = np.where(late, rng.integers(60_000, LATE_MS, BLOCK), rng.exponential(DELAY_MS, BLOCK))
        return _Draw(rng, kind, name, late, spec.start_ms + (after_ms - delay_ms).astype(np.int64))

    def _columns(self, draw: _Draw) -> Columns:
        rng = draw.rng
        columns = {
            "event_uuid": uuids(rng, BLOCK),
            "created_at": self._created_at(draw),
            "session": hexadecimal(rng.integers(0, 256, (BLOCK, 8), dtype=np.uint8)),
            "user": decimal(rng.integers(10_000_000, 100_000_000, BLOCK), 8).view("S8").ravel().tolist(),
        }
        for slot in SLOTS[len(columns) :]:
            texts = self.snippets[slot]
            columns[slot] = list(map(texts.__getitem__, rng.integers(0, len(texts), BLOCK).tolist()))
        return columns

    def _created_at(self, draw: _Draw) -> list[bytes]:
        digits = decimal(draw.created_ms, 13)
        text = np.full((BLOCK, 14), ord("."), np.uint8)
        text[:, :10], text[:, 11:] = digits[:, :10], digits[:, 10:]
        values: list[bytes] = text.view("S14").ravel().tolist()
        for row in np.flatnonzero(self.by_unit["milliseconds"][draw.name]).tolist():
            values[row] = values[row].replace(b".", b"")
        for row in np.flatnonzero(self.by_unit["iso"][draw.name]).tolist():
            values[row] = f"{np.datetime64(int(draw.created_ms[row]), 'ms')}+00:00".encode()
        return values

    def _copy(self, draw: _Draw, lines: list[bytes], size: int) -> Ints:
        """Replace COPY rows by earlier events. Returns the names of those among the first `size` rows."""
        rows = np.flatnonzero(draw.kind == COPY)
        fresh = np.flatnonzero(draw.kind == FRESH)
        before = np.searchsorted(fresh, rows)  # fresh events of this block above each copy
        is_long, is_changed = draw.rng.random((2, len(rows)))
        distance = draw.rng.geometric(1 / SHORT_DISTANCE, len(rows))
        anywhere = (draw.rng.random(len(rows)) * before).astype(np.int64)
        near = np.where(distance <= before, before - distance, anywhere)
        far = draw.rng.integers(0, max(1, len(self.sample)), len(rows))
        takes_far = bool(self.sample) & ((is_long < LONG_SHARE) | (before == 0))
        changed = is_changed < CONFLICT_SHARE
        names = np.empty(len(rows), np.int64)
        for k, row in enumerate(rows.tolist()):
            if takes_far[k]:
                line, names[k] = self.sample[far[k]], self.sample_names[far[k]]
            else:
                line, names[k] = lines[fresh[near[k]]], draw.name[fresh[near[k]]]
            lines[row] = _changed(line, k) if changed[k] else line
        wanted = rows < size
        self.truth.conflicts += int(np.count_nonzero(changed & wanted))
        return names[wanted]

    def _spoil(self, draw: _Draw, lines: list[bytes], columns: Columns, size: int) -> Counter[str]:
        """Replace RUBBISH rows. Returns the reasons of the first `size` rows."""
        rows = np.flatnonzero(draw.kind == RUBBISH)
        is_malformed = draw.rng.random(len(rows)) < 0.5
        pick, variation = draw.rng.integers(0, 1 << 31, (2, len(rows)))
        kinds = np.where(is_malformed, pick % len(MALFORMED), len(MALFORMED) + pick % len(OTHERS))
        reasons: Counter[str] = Counter()
        for row, kind, chance in zip(rows.tolist(), kinds.tolist(), variation.tolist(), strict=True):
            name, fault = self.names[draw.name[row]], FAULTS[kind]
            values = tuple(column[row] for column in columns.values())
            quote = b'"' if name.unit in ("text", "iso") else b""
            created_at = quote + values[1] + quote
            parts = Parts(b'"%b"' % values[0], b'"%b"' % name.name.encode(), created_at, name.body % values, chance)
            lines[row] = fault.make(parts)
            if row < size:
                reasons[fault.reason] += 1
        return reasons

    def _remember(self, draw: _Draw, fresh_lines: list[bytes], number: int) -> None:
        """Keep a sample in which every event so far is equally likely: block n replaces each slot by 1/n."""
        names = draw.name[draw.kind == FRESH]
        if not self.sample:
            self.sample, self.sample_names = fresh_lines, names.copy()
        elif fresh_lines:
            slots = np.flatnonzero(draw.rng.random(len(self.sample)) < 1 / (number + 1))
            picks = draw.rng.integers(0, len(fresh_lines), len(slots))
            for slot, pick in zip(slots.tolist(), picks.tolist(), strict=True):
                self.sample[slot] = fresh_lines[pick]
            self.sample_names[slots] = names[picks]

    def _count(self, draw: _Draw, size: int, copies: Ints, reasons: Counter[str]) -> None:
        truth = self.truth
        is_fresh = draw.kind[:size] == FRESH
        fresh = np.bincount(draw.name[:size][is_fresh], minlength=len(self.names))
        all_names = fresh + np.bincount(copies, minlength=len(self.names))
        truth.received += size
        truth.accepted += int(fresh.sum())
        truth.duplicates += len(copies)
        truth.rejected += reasons.total()
        truth.rejected_by_reason += reasons
        truth.late += int(np.count_nonzero(draw.late[:size] & is_fresh))
        for name, accepted, total in zip(self.names, fresh.tolist(), all_names.tolist(), strict=True):
            if accepted:
                truth.accepted_by_type[name.event_type] += accepted
            for warning in name.warnings if total else ():
                truth.warnings[warning] += total


def _changed(line: bytes, k: int) -> bytes:
    """The same event by its id, in other bytes: another field, or the id in another spelling."""
    if k % 2:
        return line[:-1] + b',"delivery_attempt":2}'
    at = line.index(b'"', len(b'{"event_uuid":')) + 1
    return line[:at] + line[at : at + 36].replace(b"-", b"").upper() + line[at + 36 :]
