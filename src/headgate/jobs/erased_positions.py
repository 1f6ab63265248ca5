"""What was erased, read for `verify`: rows that are recorded and in no table any more, a term of their own."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headgate.errors import TransientError
from headgate.jobs.existing import ExistingLake
from headgate.jobs.position_rows import FILED_RANGE, PositionRows
from headgate.jobs.proof import Proof, many
from headgate.jobs.settled_rows import SettledRows
from headgate.jobs.table_rows import TABLE_NAMES
from headgate.lake.erase_receipt import erasures
from headgate.lake.erasures import recorded

_PLACE = "t, shard, sequence, sub"
_TEXTS = ("source", "shard", "sequence", "original_shard", "original_sequence")


class ErasedPositions:
    """The scratch table `erased`: one row an erased row, `t`, shard, sequence, sub, r and arrived as in `rows`.

    Rows that a replay had settled are not in it: their ranges count the new verdicts. The table `erased_ids` has the
    digest, arrival and position of each event whose id is still claimed.

    Attributes:
        counts: by (range, table number) how many rows were erased.
        filed: by (shard number, table number) likewise, of rows that were filed.
        settled: by table how many rows were erased that replays had settled.
    """

    def __init__(self, lake: ExistingLake, rows: PositionRows, settled: SettledRows, proof: Proof) -> None:
        """Read what is recorded. Order matters: after the tables, because a row is recorded before it goes.

        Args:
            lake: what is verified.
            rows: the scratch database, with the rows of all tables.
            settled: what replays have settled, and what of it is there.
            proof: gets a breach where a record names no position, and `erased`.

        Raises:
            TransientError: a remote storage did not answer.
            PermanentError: a record cannot be read.
        """
        self._rows = rows
        sequence = rows.sequence_type
        columns = f"t TINYINT, shard INTEGER, sequence {sequence}, sub INTEGER, r INTEGER, arrived BIGINT"
        ask = rows.connection.execute
        texts = ", ".join(f"{name}_text VARCHAR" for name in _TEXTS)
        ask(f'CREATE TABLE recorded({columns}, digest BLOB, "table" VARCHAR, {texts})')
        malformed = sum(self._enter(table) for table in recorded(lake.storage))
        if malformed:
            proof.add("position", f"{many(malformed, 'row')} recorded as erased without a position that can be read")
        self.settled = settled.take_erased()
        ask(
            f"CREATE TABLE erased AS SELECT DISTINCT {_PLACE}, r, arrived FROM recorded "  # noqa: S608  own names
            f"ANTI JOIN rows USING ({_PLACE})"
        )
        ask(
            "CREATE TABLE erased_ids AS SELECT DISTINCT digest, arrived, shard, sequence, sub FROM recorded "
            "WHERE digest IS NOT NULL"
        )
        ask("DROP TABLE recorded")
        found = ask("SELECT r, t, count(*) FROM erased WHERE r >= 0 GROUP BY ALL").fetchall()
        self.counts: Mapping[tuple[int, int], int] = {(r, t): count for r, t, count in found}
        query = f"SELECT shard, t, count(*) FROM erased WHERE r = {FILED_RANGE} GROUP BY ALL"  # noqa: S608  own names
        self.filed: Mapping[tuple[int, int], int] = {(shard, t): count for shard, t, count in ask(query).fetchall()}
        for t, name in enumerate(TABLE_NAMES):
            proof.erased[name] = sum(
                count for counts in (self.counts, self.filed) for (_, of), count in counts.items() if of == t
            )

    def _enter(self, table: pa.Table) -> int:
        """Enter one record; the number of its rows that name no position."""
        t = pc.index_in(table["table"], pa.array(TABLE_NAMES))
        texts = {f"{name}_text": table[name].combine_chunks() for name in _TEXTS}
        parsed = self._rows.parse(texts["sequence_text"])
        is_good = parsed.is_good & np.asarray(pc.is_valid(t))
        good = pa.array(is_good)
        inside = pa.array(is_good[parsed.is_good])
        shard = self._rows.shard_numbers(texts["source_text"], texts["shard_text"])[is_good]
        sequence = parsed.sequence.filter(inside)
        self._rows.insert(
            "recorded",
            {
                "t": t.combine_chunks().filter(good),
                "shard": shard,
                "sequence": sequence,
                "sub": parsed.sub[np.asarray(inside)],
                "r": self._rows.ranges_of(shard, sequence),
                "arrived": table["arrived_at"].cast(pa.int64()).combine_chunks().filter(good),
                "digest": table["digest"].cast(pa.binary()).combine_chunks().filter(good),
                "table": table["table"].combine_chunks().filter(good),
                **{name: column.filter(good) for name, column in texts.items()},
            },
        )
        return len(is_good) - int(is_good.sum())


def check_calm(lake: ExistingLake, before: Mapping[str, bool], proof: Proof) -> None:
    """No erasure took files away while the tables were read: what is missing then would be no breach.

    Args:
        lake: what is verified.
        before: its erasures as they were before the tables were read.
        proof: with the breaches of tables that could not be read.

    Raises:
        TransientError: one did, or may have done so.
    """
    known = erasures(lake.storage)
    if known != before:
        raise TransientError(f"rows of {lake.path} were erased while it was read: verify again when that is done")
    is_unreadable = any(breach.kind == "unreadable" for breach in proof.breaches)
    if is_unreadable and not all(known.values()):
        raise TransientError(
            f"files of {lake.path} are gone, and an erasure has not ended: run `headgate erase` again, then verify"
        )
