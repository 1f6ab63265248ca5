"""Positions of rows as compact columns in DuckDB, so that millions of them can be compared in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.keys import keys_of
from headgate.jobs.ledger_proof import LedgerRange
from headgate.jobs.proof import MAX_EXAMPLES
from headgate.records import NO_SUB, Shard

NARROW_DIGITS = 18  # decimal digits that a BIGINT surely holds
WIDE_DIGITS = 58  # decimal digits of 192 bits
NO_RANGE = -1  # of a row that no ledger entry covers
FILED_RANGE = -2  # of a row in none, of a shard of which entries filed rows

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Parsed:
    """Positions taken apart: `is_good` over all rows, the rest over the good ones."""

    is_good: npt.NDArray[np.bool_]
    sequence: pa.Array
    sub: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class _Bounds:
    """The ranges of one shard in order: where they start and end, and their numbers."""

    starts: npt.NDArray[np.int64 | np.bytes_]
    ends: npt.NDArray[np.int64 | np.bytes_]
    numbers: Ints


class PositionRows:
    """A scratch database with the tables that the checks fill, and the numbering of shards.

    Sequences are BIGINT where all positions of the ledger fit, else decimal text of one length.
    """

    def __init__(
        self, folder: Path, ranges: Sequence[LedgerRange], memory_limit: str, filed: Mapping[Shard, int]
    ) -> None:
        """Make the database in a folder of its own; what does not fit into memory goes there.

        Args:
            folder: exists.
            ranges: of the ledger.
            memory_limit: as DuckDB writes sizes.
            filed: per shard of which rows were filed the highest sequence of them plus one.

        Raises:
            duckdb.Error: the limit is no size.
        """
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": memory_limit,
            "temp_directory": str(folder / "spill"),
        }
        self.connection = duckdb.connect(str(folder / "verify.duckdb"), config=settings)
        self.connection.execute("SET TimeZone='UTC'")
        self.connection.execute("SET enable_progress_bar=false")
        self.connection.execute("SET preserve_insertion_order=false")
        self.is_wide = any(len(str(end)) > NARROW_DIGITS for end in (*(r.end for r in ranges), *filed.values()))
        self.shards: list[Shard] = []
        self._numbers: dict[Shard, int] = {}
        by_shard: dict[Shard, list[tuple[int, LedgerRange]]] = {}
        for number, one in enumerate(ranges):
            by_shard.setdefault(one.shard, []).append((number, one))
        self._filed = {self.shard_number(shard) for shard in filed}
        self._bounds = {self.shard_number(shard): self._bounds_of(some) for shard, some in by_shard.items()}

    @property
    def sequence_type(self) -> str:
        """SQL type of a sequence."""
        return "VARCHAR" if self.is_wide else "BIGINT"

    def close(self) -> None:
        """Let go of the database."""
        self.connection.close()

    def insert(self, table: str, columns: Mapping[str, pa.Array | npt.NDArray[np.generic]]) -> None:
        """Append rows to a table of the scratch database."""
        self.connection.register("chunk", pa.table(dict(columns)))
        self.connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM chunk")  # noqa: S608  own names
        self.connection.unregister("chunk")

    def shard_number(self, shard: Shard) -> int:
        """This verification's number for a shard."""
        if shard not in self._numbers:
            self._numbers[shard] = len(self.shards)
            self.shards.append(shard)
        return self._numbers[shard]

    def shard_numbers(self, sources: pa.Array, shards: pa.Array) -> npt.NDArray[np.int32]:
        """Numbers of the shards of rows, int32."""
        source = sources.fill_null("").dictionary_encode()
        shard = shards.fill_null("").dictionary_encode()
        pairs = np.asarray(source.indices).astype(np.int64) * len(shard.dictionary) + np.asarray(shard.indices)
        distinct, inverse = np.unique(pairs, return_inverse=True)
        sources_, shards_ = source.dictionary.to_pylist(), shard.dictionary.to_pylist()
        numbers = [
            self.shard_number(Shard(sources_[pair // len(shards_)], shards_[pair % len(shards_)]))
            for pair in distinct.tolist()
        ]
        return np.array(numbers, dtype=np.int32)[inverse]

    def parse(self, texts: pa.Array) -> Parsed:
        """Take positions apart.

        Args:
            texts: (n) string, decimal with `#n` behind those inside a record.
        """
        digits = (WIDE_DIGITS if self.is_wide else NARROW_DIGITS) - 1
        pattern = f"^(0|[1-9][0-9]{{0,{digits}}})(#[0-9]{{1,9}})?$"
        is_good = np.asarray(pc.match_substring_regex(texts, pattern).fill_null(False))
        good = texts if is_good.all() else texts.filter(pa.array(is_good))
        sub = np.full(len(good), NO_SUB, dtype=np.int32)
        inside = np.flatnonzero(np.asarray(pc.match_substring(good, "#")))
        if len(inside):
            split = pc.split_pattern(good, "#")
            good = pc.list_element(split, 0)
            sub[inside] = np.asarray(pc.list_element(split.take(pa.array(inside)), 1).cast(pa.int32()))
        sequence = pc.utf8_lpad(good, WIDE_DIGITS, "0") if self.is_wide else good.cast(pa.int64())
        return Parsed(is_good, sequence, sub)

    def ranges_of(self, shards: npt.NDArray[np.int32], sequence: pa.Array) -> npt.NDArray[np.int32]:
        """The number of the ledger range that each row lies in; NO_RANGE or FILED_RANGE where there is none."""
        values = self._comparable(sequence)
        found = np.full(len(shards), NO_RANGE, dtype=np.int32)
        for shard in np.unique(shards).tolist():
            if shard in self._filed:
                found[shards == shard] = FILED_RANGE
            bounds = self._bounds.get(shard)
            if bounds is None:
                continue
            rows = np.flatnonzero(shards == shard)
            at = np.searchsorted(bounds.starts, values[rows], "right") - 1
            is_in = (at >= 0) & np.less(values[rows], bounds.ends[at])
            found[rows[is_in]] = bounds.numbers[at[is_in]]
        return found

    def value(self, position: int) -> int | str:
        """A position as the scratch database compares it with its sequences."""
        return str(position).zfill(WIDE_DIGITS) if self.is_wide else position

    def text(self, shard: int, sequence: int | str, sub: int) -> str:
        """A position for people."""
        number = int(sequence)
        return f"{self.shards[shard].name} at {number}" + (f"#{sub}" if sub != NO_SUB else "")

    def texts(self, rows: Iterable[Sequence[int]]) -> list[str]:
        """Positions for people, from rows that begin with shard, sequence, sub."""
        return [self.text(row[0], row[1], row[2]) for row in rows]

    def first(self, query: str) -> list[tuple]:  # type: ignore[type-arg]
        """The first few rows of a query in order, each with the number of all rows behind it."""
        return self.connection.execute(
            f"SELECT *, count(*) OVER () FROM ({query}) ORDER BY ALL LIMIT {MAX_EXAMPLES}"  # noqa: S608  own queries
        ).fetchall()

    def _bounds_of(self, ranges: Sequence[tuple[int, LedgerRange]]) -> _Bounds:
        in_order = sorted(ranges, key=lambda pair: (pair[1].start, pair[1].end))
        texts = [
            pa.array([str(value) for value in values])
            for values in zip(*((one.start, one.end) for _, one in in_order), strict=True)
        ]
        starts, ends = (self._comparable(self.parse(text).sequence) for text in texts)
        return _Bounds(starts, ends, np.array([number for number, _ in in_order], dtype=np.int64))

    def _comparable(self, sequence: pa.Array) -> npt.NDArray[np.int64 | np.bytes_]:
        if not self.is_wide:
            return np.asarray(sequence)
        return np.array(sequence.to_pylist(), dtype=f"S{WIDE_DIGITS}")


def key_halves(ids: pa.Array) -> dict[str, npt.NDArray[np.uint64]]:
    """The two halves of each id's key as columns `k0` and `k1`; an id that is null has the key of ''."""
    halves = np.ascontiguousarray(keys_of(ids.fill_null(""))).view(np.uint64)
    return {"k0": np.ascontiguousarray(halves[:, 0]), "k1": np.ascontiguousarray(halves[:, 1])}
