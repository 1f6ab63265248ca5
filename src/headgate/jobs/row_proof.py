"""The questions that `verify` asks the scratch database; each adds its breaches to the proof."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headgate.jobs.existing import ExistingLake
from headgate.jobs.ledger_proof import LedgerProof, missing_files, sum_of
from headgate.jobs.position_rows import FILED_RANGE, NO_RANGE, PositionRows
from headgate.jobs.proof import MAX_EXAMPLES, Proof, many
from headgate.jobs.table_rows import EVENTS, TABLE_NAMES
from headgate.ports import LedgerState
from headgate.records import Counts, ShardState


def prove_counts(
    lake: ExistingLake,
    rows: PositionRows,
    proof: Proof,
    ledger: LedgerProof,
    deltas: Mapping[tuple[int, int], int],
    erased: Mapping[tuple[int, int], int],
) -> None:
    """Each table holds as many rows of each range as the ledger counts, but for those that were erased.

    Args:
        lake: what is verified.
        rows: the scratch database.
        proof: gets the breaches.
        ledger: the ranges and their counts.
        deltas: by (range, table number) what replays changed of them.
        erased: likewise how many were erased.
    """
    found = rows.connection.execute("SELECT r, t, count(*) FROM rows WHERE r >= 0 GROUP BY ALL").fetchall()
    held = {(r, t): count for r, t, count in found}
    for t, table in enumerate(TABLE_NAMES):
        proof.rows[table] = sum(count for (_, of), count in held.items() if of == t)
        fewer: list[str] = []
        more: list[str] = []
        numbers: list[int] = []
        lost = added = 0
        for r, moved in enumerate(ledger.ranges):
            taken, count = erased.get((r, t), 0), held.get((r, t), 0)
            expected = moved.counts[t + 1] + deltas.get((r, t), 0) - taken
            text = f"entry {moved.number}, {moved.shard.name}: {_compared(count, expected, taken)}"
            if count < expected:
                lost += expected - count
                fewer.append(text)
                numbers.append(moved.number)
            elif count > expected:
                added += count - expected
                more.append(text)
        if fewer:
            gone = missing_files(lake, numbers, table) if lake.about.format != "delta" else []
            files = f"; gone: {', '.join(gone)}" if gone else ""
            proof.add("lost", f"{many(lost, 'row')} of {table} missing that the ledger counts{files}", fewer)
        if more:
            proof.add("added", f"{many(added, 'row')} of {table} more than the ledger counts", more)


def _compared(count: int, expected: int, erased: int) -> str:
    counted = f"{count:,} rows, {expected + erased:,} in the ledger"
    return f"{counted}, {erased:,} of them erased" if erased else counted


def prove_filed(
    rows: PositionRows,
    proof: Proof,
    ledger: LedgerProof,
    latest: LedgerState,
    deltas: Mapping[tuple[int, int], int],
    erased: Mapping[tuple[int, int], int],
) -> None:
    """Each table holds as many rows of each filed shard as entries filed and replays left.

    What was filed meanwhile is no breach.
    """
    query = f"SELECT shard, t, count(*) FROM rows WHERE r = {FILED_RANGE} GROUP BY ALL"  # noqa: S608  own numbers
    held = {(shard, t): count for shard, t, count in rows.connection.execute(query).fetchall()}
    for shard, origin in ledger.filed.items():
        number = rows.shard_number(shard)
        for t, table in enumerate(TABLE_NAMES):
            gone, count = erased.get((number, t), 0), held.get((number, t), 0)
            expected = origin.counts[t + 1] + deltas.get((number, t), 0) - gone
            proof.rows[table] += count
            if count == expected or (count > expected and latest.number != proof.number):
                continue
            kind, more = ("lost", "fewer") if count < expected else ("added", "more")
            sentence = f"{many(abs(count - expected), 'filed row')} of {table} {more} than the ledger counts"
            proof.add(kind, sentence, [f"{shard.name}: {_compared(count, expected, gone)}"])


def prove_outside(rows: PositionRows, proof: Proof, latest: LedgerState) -> None:
    """No row stands where the ledger has no range; what a run committed meanwhile is no breach."""
    shards = rows.connection.execute("SELECT DISTINCT shard FROM rows WHERE r = ?", [NO_RANGE]).fetchall()
    for (number,) in shards:
        shard = rows.shards[number]
        state = latest.shards.get(shard, ShardState())
        rows.connection.execute(f"CREATE OR REPLACE TEMP TABLE islands(s {rows.sequence_type}, e {rows.sequence_type})")
        if state.islands:
            values = [[rows.value(island.start), rows.value(island.end)] for island in state.islands]
            rows.connection.executemany("INSERT INTO islands VALUES (?, ?)", values)
        outside = rows.connection.execute(
            "SELECT shard, sequence, sub, count(*) OVER () FROM rows "  # noqa: S608  own names
            f"WHERE shard = ? AND r = {NO_RANGE} AND sequence >= ? "
            "AND NOT EXISTS (FROM islands WHERE rows.sequence >= s AND rows.sequence < e) "
            f"ORDER BY ALL LIMIT {MAX_EXAMPLES}",
            [number, rows.value(int(state.position or 0))],
        ).fetchall()
        if outside:
            sentence = f"{many(outside[0][3], 'row')} of {shard.name} that no ledger entry commits"
            proof.add("uncommitted", sentence, rows.texts(outside))


def prove_positions(rows: PositionRows, proof: Proof) -> None:
    """Every position stands once in events, duplicates and rejected together, and nowhere once it was erased."""
    # In two steps: a list for each of all positions would not fit into memory.
    rows.connection.execute(
        "CREATE TABLE repeated AS SELECT shard, sequence, sub FROM rows GROUP BY ALL HAVING count(*) > 1"
    )
    twice = rows.first(
        "SELECT shard, sequence, sub, list(t ORDER BY t) AS tables FROM rows "
        "JOIN repeated USING (shard, sequence, sub) GROUP BY shard, sequence, sub",
    )
    if twice:
        examples = [
            f"{text}: {' and '.join(TABLE_NAMES[t] for t in row[3])}"
            for text, row in zip(rows.texts(twice), twice, strict=True)
        ]
        proof.add("twice", f"{many(twice[0][-1], 'position')} more than once in the tables", examples)
    again = rows.first("SELECT shard, sequence, sub, rows.t FROM rows JOIN erased USING (shard, sequence, sub)")
    if again:
        examples = [f"{text} in {TABLE_NAMES[row[3]]}" for text, row in zip(rows.texts(again), again, strict=True)]
        proof.add("twice", f"{many(again[0][-1], 'row')} at positions that were erased", examples)


def prove_ids(rows: PositionRows, proof: Proof) -> None:
    """No id was accepted twice within the window."""
    rows.connection.execute(
        f"CREATE TABLE again AS SELECT k0, k1 FROM rows WHERE t = {EVENTS} "  # noqa: S608  own names
        "GROUP BY k0, k1 HAVING count(*) > 1"
    )
    pairs = rows.first(
        f"""SELECT shard, sequence, sub, lag_shard, lag_sequence, lag_sub FROM (
            SELECT shard, sequence, sub, arrived, lag(arrived) OVER by_key AS lag_arrived,
                lag(shard) OVER by_key AS lag_shard, lag(sequence) OVER by_key AS lag_sequence,
                lag(sub) OVER by_key AS lag_sub
            FROM rows JOIN again USING (k0, k1) WHERE t = {EVENTS}
            WINDOW by_key AS (PARTITION BY k0, k1 ORDER BY arrived, shard, sequence, sub)
        ) WHERE arrived - lag_arrived <= {proof.window_us}""",  # noqa: S608  own names and numbers
    )
    if pairs:
        examples = [f"{rows.text(*row[3:6])} and {rows.text(*row[:3])}" for row in pairs]
        sentence = f"{many(pairs[0][-1], 'event')} accepted with an id that another one had within the window"
        proof.add("same_id", sentence, examples)


def prove_originals(rows: PositionRows, proof: Proof) -> None:
    """Every duplicate has its original in events, with the same id and not too long before it, or it was erased."""
    original = f"""rows.t = {EVENTS} AND rows.k0 = o.k0 AND rows.k1 = o.k1 AND rows.sequence = o.original
        AND rows.sub = o.original_sub AND rows.shard IN
            (SELECT shard FROM names WHERE names.name = o.name)"""  # noqa: S608  own names
    names = [{"shard": number, "name": shard.name} for number, shard in enumerate(rows.shards)]
    rows.connection.execute("CREATE TABLE names(shard INTEGER, name VARCHAR)")
    if names:
        rows.connection.executemany("INSERT INTO names VALUES (?, ?)", [list(n.values()) for n in names])
    rows.connection.execute(
        f"""CREATE TABLE found AS SELECT o.*, (SELECT max(rows.arrived) FROM rows WHERE {original}) AS of_original
        FROM originals o WHERE o.r <> {NO_RANGE}"""  # noqa: S608  own names
    )
    rows.connection.execute(
        f"""UPDATE found SET of_original = e.arrived FROM (
            SELECT name, sequence, sub, max(arrived) AS arrived FROM erased JOIN names USING (shard)
            WHERE t = {EVENTS} GROUP BY ALL
        ) e WHERE of_original IS NULL AND e.name = found.name AND e.sequence = original AND e.sub = original_sub"""  # noqa: S608  own names
    )
    orphans = rows.first(
        "SELECT shard, sequence, sub, name, original, original_sub FROM found WHERE of_original IS NULL"
    )
    if orphans:
        examples = [
            f"{text}: its original {row[3]} at {row[4]} is not there"
            for text, row in zip(rows.texts(orphans), orphans, strict=True)
        ]
        sentence = f"{many(orphans[0][-1], 'duplicate')} without an original in events"
        proof.add("orphan", sentence, examples)
    late = rows.first(
        f"SELECT shard, sequence, sub FROM found WHERE arrived - of_original > {proof.window_us}",  # noqa: S608
    )
    if late:
        sentence = f"{many(late[0][-1], 'duplicate')} that came more than the window after the original"
        proof.add("window", sentence, rows.texts(late))


def prove_quality(quality: Mapping[str, Sequence[int]], proof: Proof, ledger: LedgerProof, latest: LedgerState) -> None:
    """The sums of `quality` are those of the ledger, entry by entry."""
    wrong = []
    for entry_id, (number, counts) in ledger.counts_of.items():
        found = Counts(*quality.get(entry_id, (0, 0, 0, 0)))
        if found != counts:
            wrong.append(f"entry {number}: quality says {sum_of(found)}; the ledger says {sum_of(counts)}")
    strange = quality.keys() - ledger.counts_of.keys()
    if strange and latest.number == proof.number:
        wrong += [f"entry id {entry_id!r} is not in the ledger" for entry_id in sorted(map(str, strange))]
    if wrong:
        proof.add("quality", f"quality differs from the ledger in {many(len(wrong), 'entry', 'entries')}", wrong)
