"""Which rows of a lake are to be erased: by a predicate, by bytes in rejects, by positions of erased rows. Pure.

Law: a row that an earlier erasure has recorded matches, too, wherever it still stands: so what was interrupted is
finished by whoever comes next. A duplicate goes with its original, and what a replay settled goes with the event that
it became.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.columns import one_array
from headgate.core.erase_predicate import Mask, Predicate
from headgate.core.filing import TABLES, places
from headgate.core.inflate import inflated_part
from headgate.core.limits import Limits
from headgate.core.schema import EVENTS

_ASK_BYTES = 64 << 20  # bytes of rejects, inflated, that the predicate is asked about at once
_SPACE = b" \t\r\n"


class Places:
    """A set of positions: source, shard and sequence."""

    def __init__(self, texts: pa.Array | None = None) -> None:
        """Begin with some; see `core.filing.places`."""
        self._texts = pa.array([], pa.string()) if texts is None else pc.unique(texts)

    def __len__(self) -> int:
        """How many."""
        return len(self._texts)

    def plus(self, rows: pa.Table) -> Places:
        """These and the positions of some rows."""
        return Places(one_array(pa.chunked_array([self._texts, *places(rows).chunks], pa.string())))

    def holds(self, texts: pa.ChunkedArray | pa.Array) -> Mask:
        """Which of some positions are among them; null is not."""
        if not len(self._texts):
            return np.zeros(len(texts), dtype=np.bool_)
        return np.asarray(pc.fill_null(pc.is_in(texts, value_set=self._texts), fill_value=False)).astype(np.bool_)


class Match:
    """What is to be erased; tables are asked in the order of their names below, and hits are entered by `found`.

    Attributes:
        events_erased: positions of erased events, now or ever.
    """

    def __init__(
        self, predicate: Predicate | None, text: bytes, recorded: pa.Table, settled: pa.Table, limits: Limits
    ) -> None:
        """Begin.

        Args:
            predicate: of events; None for none.
            text: bytes that a reject must hold; empty for none.
            recorded: ERASED of earlier erasures.
            settled: SETTLED of all replays; a reject goes with the event, or copy, that became of it.
            limits: on inflated records.
        """
        self._predicate, self._text, self._limits = predicate, text, limits
        self._settled = settled
        self._recorded = places_by_table(recorded)
        self.events_erased = self._recorded["events"]
        self._became = Places()

    def found(self, table: str, rows: pa.Table) -> None:
        """Enter what was found: of `events` first, then of `duplicates`.

        Args:
            table: its name.
            rows: positions.
        """
        if table == "events":
            self.events_erased = self.events_erased.plus(rows)
        parts = self._settled.select(["source", "shard"]).append_column("sequence", self._settled["part"])
        became = self.events_erased.plus(rows).holds(places(parts))
        became &= np.asarray(pc.equal(self._settled["table"], "rejected"))
        self._became = self._became.plus(self._settled.filter(pa.array(became)))

    def events(self, rows: pa.Table) -> Mask:
        """Of EVENTS."""
        return self._holds(rows) | self.events_erased.holds(places(rows))

    def duplicates(self, rows: pa.Table) -> Mask:
        """Of DUPLICATES."""
        originals = pc.binary_join_element_wise(
            *(rows[name].cast(pa.string()) for name in ("source", "original_shard", "original_sequence")), "\0"
        )
        return (
            self._holds(rows)
            | self._recorded["duplicates"].holds(places(rows))
            | self.events_erased.holds(originals)
            | self.events_erased.holds(places(rows))
        )

    def rejected(self, rows: pa.Table) -> Mask:
        """Of REJECTED."""
        own = places(rows)
        mask = self._recorded["rejected"].holds(own) | self.events_erased.holds(own) | self._became.holds(own)
        return mask | self._in_raw(rows["raw"])

    def typed(self, rows: pa.Table) -> Mask:
        """Of rows of a typed table, by their positions alone."""
        return self.events_erased.holds(places(rows))

    def _holds(self, rows: pa.Table) -> Mask:
        if self._predicate is None or not rows.num_rows:
            return np.zeros(rows.num_rows, dtype=np.bool_)
        return self._predicate.holds(rows)

    def _in_raw(self, raw: pa.ChunkedArray) -> Mask:
        """Rejects whose bytes hold the text, or that are an object for which the predicate holds."""
        mask = np.zeros(len(raw), dtype=np.bool_)
        objects: list[tuple[int, str]] = []
        num_bytes = 0
        for row, value in enumerate(raw):
            for content in _readings(value.as_py() or b"", self._limits):
                mask[row] |= bool(self._text) and self._text in content
                if self._predicate is not None and not mask[row] and (text := _object(content)) is not None:
                    objects.append((row, text))
                    num_bytes += len(content)
            if num_bytes >= _ASK_BYTES:
                self._ask(objects, mask)
                objects, num_bytes = [], 0
        self._ask(objects, mask)
        return mask

    def _ask(self, objects: Sequence[tuple[int, str]], mask: Mask) -> None:
        """Enter the rows whose object the predicate holds for."""
        if objects and self._predicate is not None:
            rows = np.array([row for row, _ in objects])
            mask[rows[self._predicate.may_hold(_as_events([text for _, text in objects]))]] = True


def _readings(raw: bytes, limits: Limits) -> Iterator[bytes]:
    """The bytes of a reject, and what is inside where it is compressed."""
    yield raw
    if inside := inflated_part(raw, limits):
        yield inside


def _object(content: bytes) -> str | None:
    """The text of what may be a JSON object; None of anything else."""
    if not content.lstrip(_SPACE).startswith(b"{"):
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def _as_events(texts: list[str]) -> pa.Table:
    """EVENTS with these payloads, and nothing else known."""
    columns = [
        pa.array(texts, pa.string()) if field.name == "payload" else pa.nulls(len(texts), field.type)
        for field in EVENTS
    ]
    return pa.Table.from_arrays(columns, schema=EVENTS)


def places_by_table(recorded: pa.Table) -> dict[str, Places]:
    """Positions of ERASED by their table."""
    return {name: Places().plus(recorded.filter(pc.equal(recorded["table"], name))) for name in TABLES}
