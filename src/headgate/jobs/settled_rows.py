"""What replays have settled, read for `verify`: a settled row is left out, and its range counts the new verdict."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from headgate.errors import TransientError
from headgate.jobs.existing import ExistingLake
from headgate.jobs.ledger_proof import sum_of
from headgate.jobs.position_rows import FILED_RANGE, PositionRows
from headgate.jobs.proof import Proof, many
from headgate.lake import read
from headgate.lake.entry import Entry
from headgate.lake.settled import settled_of, settled_rows, unsettled
from headgate.ports import LedgerState
from headgate.records import Counts

_TABLES = ("events", "duplicates", "rejected")
_VERDICTS = ("accepted", "duplicate", "rejected")
_NAMES = ("source", "shard", "sequence", "original_shard", "original_sequence")
_MARK = f'"table", {", ".join(_NAMES)}'


class SettledRows:
    """The marks of all replays in the scratch database.

    Attributes:
        deltas: by (range, table number) how many rows more or fewer there are than the range's entry counts.
        filed: by (shard number, table number) likewise, of rows that were filed.
    """

    def __init__(self, lake: ExistingLake, replays: list[Entry], rows: PositionRows, proof: Proof) -> None:
        """Read the marks and check them against their entries.

        Args:
            lake: what is verified.
            replays: its replays, in order.
            rows: the scratch database.
            proof: gets the breaches.

        Raises:
            TransientError: a remote storage did not answer.
        """
        self.deltas: dict[tuple[int, int], int] = {}
        self.filed: dict[tuple[int, int], int] = {}
        self._rows, self._is_any = rows, bool(replays)
        self._removed = dict.fromkeys(_TABLES, 0)
        if not replays:
            return
        rows.connection.execute(
            'CREATE TABLE settled_rows(entry INTEGER, r INTEGER, n INTEGER, "table" VARCHAR, source VARCHAR, '
            "shard VARCHAR, sequence VARCHAR, original_shard VARCHAR, original_sequence VARCHAR, "
            "part VARCHAR, verdict VARCHAR)"
        )
        rows.connection.execute(f"CREATE TABLE settled_there AS SELECT {_MARK} FROM settled_rows LIMIT 0")  # noqa: S608
        for entry in replays:
            self._load(lake, entry, proof)
        for r, n, t, count in self._counted():
            counts, key = (self.filed, (n, t)) if r == FILED_RANGE else (self.deltas, (r, t))
            counts[key] = counts.get(key, 0) + count

    def without(self, table: str, block: pa.Table) -> pa.Table:
        """The rows of a block that no replay has settled.

        Args:
            table: which one the block is of.
            block: with the columns that name a row.
        """
        if not self._is_any or table == "events":
            return block
        connection = self._rows.connection
        connection.register("block", block)
        kept = connection.sql(unsettled(table, "block", "settled_rows")).to_arrow_table()
        if removed := block.num_rows - kept.num_rows:
            self._removed[table] += removed
            names = ", ".join(name for name in _NAMES if name in block.column_names)
            connection.execute(
                f"INSERT INTO settled_there BY NAME SELECT '{table}' AS \"table\", {names} "  # noqa: S608  own names
                f"FROM ({settled_of(table, 'block', 'settled_rows')})"
            )
        connection.unregister("block")
        return kept.cast(block.schema)

    def take_erased(self) -> dict[str, int]:
        """Take the settled rows out of the scratch table `recorded`; by table how many of them are not there.

        What is still there was recorded by an erasure that was killed.
        """
        if not self._is_any:
            return {}
        ask = self._rows.connection.execute
        texts = ", ".join(f"{name}_text AS {name}" for name in _NAMES)
        ask(f'CREATE TABLE named AS SELECT DISTINCT "table", {texts} FROM recorded')  # noqa: S608  own names
        gone = {}
        for table in _TABLES[1:]:
            of_table = f"(SELECT * FROM named WHERE \"table\" = '{table}')"  # noqa: S608  own names
            ask(f"CREATE OR REPLACE TABLE marked AS {settled_of(table, of_table, 'settled_rows')}")
            missing = f"SELECT count(*) FROM ({unsettled(table, 'marked', 'settled_there')})"  # noqa: S608  own names
            gone[table] = int(ask(missing).fetchall()[0][0])
            same = " AND ".join(f"r.{name} IS NOT DISTINCT FROM recorded.{name}_text" for name in _NAMES)
            ask(f"DELETE FROM recorded USING marked r WHERE recorded.\"table\" = '{table}' AND {same}")  # noqa: S608
        return gone

    def prove(self, proof: Proof, erased: Mapping[str, int]) -> None:
        """Every mark was of one row, once all tables were read.

        Args:
            proof: gets the breaches.
            erased: by table how many of them were erased, see `take_erased`.
        """
        if not self._is_any:
            return
        marks = dict(
            self._rows.connection.execute(
                f'SELECT "table", count(*) FROM (SELECT DISTINCT {_MARK} FROM settled_rows) GROUP BY ALL'  # noqa: S608
            ).fetchall()
        )
        for table, removed in self._removed.items():
            if removed + erased.get(table, 0) != marks.get(table, 0):
                sentence = f"replays settled {many(marks.get(table, 0), 'row')} of {table}, {removed:,} are there"
                if erased.get(table):
                    sentence += f" and {erased[table]:,} were erased"
                proof.add("settled", sentence)

    def _load(self, lake: ExistingLake, entry: Entry, proof: Proof) -> None:
        try:
            marks = settled_rows(lake.storage, [entry]).to_table()
        except (OSError, pa.ArrowException) as error:
            said = " ".join(str(error).split())
            if read.is_of_network(error):
                raise TransientError(f"what entry {entry.number} settled cannot be read now: {said}") from error
            proof.add("settled", f"what ledger entry {entry.number} settled cannot be read: {said}")
            return
        rows = self._rows
        parsed = rows.parse(marks["sequence"].combine_chunks())
        if not parsed.is_good.all():
            proof.add("settled", f"ledger entry {entry.number} settles rows without a position")
            marks = marks.filter(pa.array(parsed.is_good))
        shards = rows.shard_numbers(marks["source"].combine_chunks(), marks["shard"].combine_chunks())
        columns = {name: marks[name] for name in marks.column_names if name != "reason"}
        number = np.full(marks.num_rows, entry.number, dtype=np.int32)
        places = {"r": rows.ranges_of(shards, parsed.sequence), "n": shards}
        rows.insert("settled_rows", {**columns, "entry": number, **places})
        self._check(entry, proof)

    def _check(self, entry: Entry, proof: Proof) -> None:
        """The marks say what the entry counts, and none of them was made before."""
        one = f"FROM settled_rows WHERE entry = {entry.number}"
        ask = self._rows.connection.execute
        old = dict(
            ask(f'SELECT "table", count(*) FROM (SELECT DISTINCT {_MARK} {one}) GROUP BY ALL').fetchall()  # noqa: S608
        )
        new = dict(ask(f"SELECT verdict, count(*) {one} AND part IS NOT NULL GROUP BY ALL").fetchall())
        settles = Counts(sum(old.values()), 0, old.get("duplicates", 0), old.get("rejected", 0))
        counts = Counts(sum(new.values()), *(new.get(verdict, 0) for verdict in _VERDICTS))
        if (settles, counts) != (entry.settles, entry.counts):
            proof.add(
                "settled",
                f"ledger entry {entry.number} takes back {sum_of(entry.settles)} and says {sum_of(entry.counts)}; its "
                f"marks take back {sum_of(settles)} and say {sum_of(counts)}",
            )
        ((twice,),) = ask(
            f"SELECT count(*) FROM (SELECT DISTINCT {_MARK} {one} INTERSECT "  # noqa: S608  own names
            f"SELECT DISTINCT {_MARK} FROM settled_rows WHERE entry < {entry.number})"
        ).fetchall()
        if twice:
            proof.add("settled", f"ledger entry {entry.number} settles {many(twice, 'row')} that were settled before")

    def _counted(self) -> list[tuple[int, int, int, int]]:
        """Range, shard number, table number and how many rows came or went."""
        number = " ".join(f"WHEN '{name}' THEN {i}" for i, name in enumerate(_TABLES))
        verdict = " ".join(f"WHEN '{name}' THEN {i}" for i, name in enumerate(_VERDICTS))
        return self._rows.connection.execute(
            f'SELECT r, n, CASE "table" {number} END, -count(*) '  # noqa: S608  own names
            f"FROM (SELECT DISTINCT r, n, {_MARK} FROM settled_rows) "
            f"GROUP BY ALL UNION ALL SELECT r, n, CASE verdict {verdict} END, count(*) FROM settled_rows "
            "WHERE part IS NOT NULL GROUP BY ALL"
        ).fetchall()


def check_still(latest: LedgerState, proven: LedgerState, path: str) -> None:
    """No replay was committed beyond those that are proven: its rows stand in ranges of other entries.

    Args:
        latest: the ledger's end, read after the tables.
        proven: the ledger's end up to which everything is proven.
        path: of the lake.

    Raises:
        TransientError: there is one.
    """
    if latest.replayed_at > proven.number:
        raise TransientError(
            f"ledger entry {latest.replayed_at} is a replay that was not published when {path} was read: verify again; "
            "where nothing runs, `headgate replay` publishes it"
        )
