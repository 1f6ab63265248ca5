"""The questions that `verify` asks the scratch database; each adds its breaches to the proof."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from headgate.jobs.existing import ExistingLake
from headgate.jobs.ledger_proof import LedgerProof, missing_files, sum_of
from headgate.jobs.position_rows import PositionRows
from headgate.jobs.proof import MAX_EXAMPLES, Proof, many
from headgate.jobs.source_rows import Reread
from headgate.jobs.table_rows import EVENTS, REJECTED, TABLE_NAMES
from headgate.ports import LedgerState
from headgate.records import Counts, Shard, ShardState


def prove_counts(
    lake: ExistingLake,
    rows: PositionRows,
    proof: Proof,
    ledger: LedgerProof,
    deltas: Mapping[tuple[int, int], int],
) -> None:
    """Each table holds as many rows of each range as the ledger counts.

    Args:
        lake: what is verified.
        rows: the scratch database.
        proof: gets the breaches.
        ledger: the ranges and their counts.
        deltas: by (range, table number) what replays changed of them.
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
            expected, count = moved.counts[t + 1] + deltas.get((r, t), 0), held.get((r, t), 0)
            text = f"entry {moved.number}, {moved.shard.name}: {count:,} rows, {expected:,} in the ledger"
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


def prove_outside(rows: PositionRows, proof: Proof, latest: LedgerState) -> None:
    """No row stands where the ledger has no range; what a run committed meanwhile is no breach."""
    shards = rows.connection.execute("SELECT DISTINCT shard FROM rows WHERE r < 0").fetchall()
    for (number,) in shards:
        shard = rows.shards[number]
        state = latest.shards.get(shard, ShardState())
        rows.connection.execute(f"CREATE OR REPLACE TEMP TABLE islands(s {rows.sequence_type}, e {rows.sequence_type})")
        if state.islands:
            values = [[rows.value(island.start), rows.value(island.end)] for island in state.islands]
            rows.connection.executemany("INSERT INTO islands VALUES (?, ?)", values)
        outside = rows.connection.execute(
            "SELECT shard, sequence, sub, count(*) OVER () FROM rows "  # noqa: S608  own names
            "WHERE shard = ? AND r < 0 AND sequence >= ? "
            "AND NOT EXISTS (FROM islands WHERE rows.sequence >= s AND rows.sequence < e) "
            f"ORDER BY ALL LIMIT {MAX_EXAMPLES}",
            [number, rows.value(int(state.position or 0))],
        ).fetchall()
        if outside:
            sentence = f"{many(outside[0][3], 'row')} of {shard.name} that no ledger entry commits"
            proof.add("uncommitted", sentence, rows.texts(outside))


def prove_positions(rows: PositionRows, proof: Proof) -> None:
    """Every position stands once in events, duplicates and rejected together."""
    # In two steps: a list for each of all positions would not fit into memory.
    rows.connection.execute(
        "CREATE TABLE repeated AS SELECT shard, sequence, sub FROM rows GROUP BY ALL HAVING count(*) > 1"
    )
    twice = _first(
        rows,
        "SELECT shard, sequence, sub, list(t ORDER BY t) AS tables FROM rows "
        "JOIN repeated USING (shard, sequence, sub) GROUP BY shard, sequence, sub",
    )
    if twice:
        examples = [
            f"{text}: {' and '.join(TABLE_NAMES[t] for t in row[3])}"
            for text, row in zip(rows.texts(twice), twice, strict=True)
        ]
        proof.add("twice", f"{many(twice[0][-1], 'position')} more than once in the tables", examples)


def prove_ids(rows: PositionRows, proof: Proof) -> None:
    """No id was accepted twice within the window."""
    rows.connection.execute(
        f"CREATE TABLE again AS SELECT k0, k1 FROM rows WHERE t = {EVENTS} "  # noqa: S608  own names
        "GROUP BY k0, k1 HAVING count(*) > 1"
    )
    pairs = _first(
        rows,
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
    """Every duplicate has its original in events, with the same id and not too long before it."""
    original = f"""rows.t = {EVENTS} AND rows.k0 = o.k0 AND rows.k1 = o.k1 AND rows.sequence = o.original
        AND rows.sub = o.original_sub AND rows.shard IN
            (SELECT shard FROM names WHERE names.name = o.name)"""  # noqa: S608  own names
    names = [{"shard": number, "name": shard.name} for number, shard in enumerate(rows.shards)]
    rows.connection.execute("CREATE TABLE names(shard INTEGER, name VARCHAR)")
    if names:
        rows.connection.executemany("INSERT INTO names VALUES (?, ?)", [list(n.values()) for n in names])
    rows.connection.execute(
        f"""CREATE TABLE found AS SELECT o.*, (SELECT max(rows.arrived) FROM rows WHERE {original}) AS of_original
        FROM originals o WHERE o.r >= 0"""  # noqa: S608  own names
    )
    orphans = _first(
        rows, "SELECT shard, sequence, sub, name, original, original_sub FROM found WHERE of_original IS NULL"
    )
    if orphans:
        examples = [
            f"{text}: its original {row[3]} at {row[4]} is not there"
            for text, row in zip(rows.texts(orphans), orphans, strict=True)
        ]
        sentence = f"{many(orphans[0][-1], 'duplicate')} without an original in events"
        proof.add("orphan", sentence, examples)
    late = _first(
        rows,
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


def prove_source(
    rows: PositionRows,
    proof: Proof,
    found: Reread,
    shards: Mapping[Shard, ShardState],
    *,
    is_from_start: bool,
    is_forgetful: bool = False,
) -> None:
    """What the source holds below the committed positions is what the tables hold.

    Args:
        rows: the scratch database, with the source's parts.
        proof: gets the breaches and `skipped`.
        found: what was read again.
        shards: of this source as the ledger knows them.
        is_from_start: False where a run may have begun later than at the source's start.
        is_forgetful: True where the source forgets its oldest records: rows before those that it still has are
            proven by the ledger alone.
    """
    _note_reread(rows, proof, found, is_from_start=is_from_start, is_forgetful=is_forgetful)
    whole = {shard: end for shard, end in found.ends.items() if not is_forgetful or shard in found.begins}
    _prove_ends(proof, whole, shards)
    sql = rows.connection.execute
    sql(
        "CREATE TABLE absent AS SELECT s.shard, s.sequence, s.sub, s.sequence < begin AS is_skipped "
        "FROM source s JOIN reread USING (shard) ANTI JOIN rows r ON "
        "r.shard = s.shard AND r.sequence = s.sequence AND r.sub = s.sub"
    )
    proof.skipped = sql("SELECT count(*) FROM absent WHERE is_skipped").fetchall()[0][0]
    missing = _first(rows, "SELECT shard, sequence, sub FROM absent WHERE is_skipped IS NOT TRUE")
    if missing:
        hint = "; where runs began with --start, say so here too" if is_from_start else ""
        proof.add(
            "missing", f"{many(missing[0][-1], 'event')} of the source missing in the lake{hint}", rows.texts(missing)
        )
    extra = _first(
        rows,
        "SELECT r.shard, r.sequence, r.sub, r.t FROM rows r JOIN reread USING (shard) ANTI JOIN source s ON "
        "r.shard = s.shard AND r.sequence = s.sequence AND r.sub = s.sub WHERE r.r >= 0 AND r.sequence >= held",
    )
    if extra:
        examples = [f"{text} in {TABLE_NAMES[row[3]]}" for text, row in zip(rows.texts(extra), extra, strict=True)]
        proof.add("extra", f"{many(extra[0][-1], 'row')} of the lake not in the source", examples)
    other = _first(
        rows,
        "SELECT r.shard, r.sequence, r.sub FROM rows r JOIN source s ON r.shard = s.shard AND "  # noqa: S608  own names
        f"r.sequence = s.sequence AND r.sub = s.sub WHERE r.t <> {REJECTED} AND "
        "(NOT s.is_id OR r.k0 <> s.k0 OR r.k1 <> s.k1)",
    )
    if other:
        sentence = f"{many(other[0][-1], 'row')} of the lake with another id than the source has at that position"
        proof.add("other_id", sentence, rows.texts(other))


def _note_reread(rows: PositionRows, proof: Proof, found: Reread, *, is_from_start: bool, is_forgetful: bool) -> None:
    """Make the table `reread`: of each shard that the source has, where the runs began and where it begins now."""
    sql = rows.connection.execute
    sql(f"CREATE TABLE reread(shard INTEGER, begin {rows.sequence_type}, held {rows.sequence_type})")
    full = {number for (number,) in sql("SELECT DISTINCT shard FROM rows").fetchall()}
    gone = {s for s in found.ends if is_forgetful and s not in found.begins and rows.shard_number(s) in full}
    for shard in found.ends.keys() - gone:
        number = rows.shard_number(shard)
        first = None if is_from_start else sql("SELECT min(sequence) FROM rows WHERE shard = ?", [number]).fetchall()
        held = rows.value(found.begins.get(shard, 0) if is_forgetful else 0)
        sql("INSERT INTO reread VALUES (?, ?, ?)", [number, first[0][0] if first else rows.value(0), held])
    proof.reread_shards = len(found.ends.keys() - gone)


def prove_contents(rows: PositionRows, proof: Proof, others: Sequence[int] = ()) -> None:
    """Events, copies and rejects are byte for byte what the source has at their positions.

    Args:
        rows: the scratch database.
        proof: gets the breach, and how many rows were not compared.
        others: numbers of the ranges that were written under other [privacy] settings.
    """
    rows.connection.execute("CREATE TABLE others(r INTEGER)")
    rows.insert("others", {"r": pa.array(others, pa.int32())})
    joined = "rows r JOIN source s ON r.shard = s.shard AND r.sequence = s.sequence AND r.sub = s.sub"
    counted = rows.connection.execute(
        f"SELECT count(*) FROM {joined} SEMI JOIN others o ON r.r = o.r "  # noqa: S608
        "WHERE r.content IS NOT NULL"
    )
    proof.uncompared = counted.fetchall()[0][0]
    changed = _first(
        rows,
        f"SELECT r.shard, r.sequence, r.sub, r.t FROM {joined} ANTI JOIN others o ON r.r = o.r "  # noqa: S608
        "WHERE r.content <> s.content",
    )
    if changed:
        examples = [f"{text} in {TABLE_NAMES[row[3]]}" for text, row in zip(rows.texts(changed), changed, strict=True)]
        proof.add("content", f"{many(changed[0][-1], 'row')} of the lake with other bytes than the source", examples)


def _prove_ends(proof: Proof, ends: Mapping[Shard, int], shards: Mapping[Shard, ShardState]) -> None:
    """No shard ends before its committed position."""
    short = [
        f"{shard.name} ends at {end:,}, {int(shards[shard].reach or 0):,} is committed"
        for shard, end in ends.items()
        if end < int(shards[shard].reach or 0)
    ]
    if short:
        sentence = f"{many(len(short), 'shard')} of the source shorter than what was read of it"
        proof.add("shorter", sentence, short)


def count_ledger_only(rows: PositionRows, proof: Proof, ledger: LedgerProof) -> None:
    """How much is proven by ledger and quality alone."""
    rows.connection.execute(f"CREATE TABLE IF NOT EXISTS reread(shard INTEGER, held {rows.sequence_type})")
    (count,) = rows.connection.execute(
        "SELECT count(*) FROM rows ANTI JOIN reread ON rows.shard = reread.shard AND sequence >= held WHERE r >= 0"
    ).fetchall()[0]
    proof.ledger_only_rows = count
    proof.ledger_only_shards = len(ledger.state.shards) - proof.reread_shards


def _first(rows: PositionRows, query: str) -> list[tuple]:  # type: ignore[type-arg]
    """The first few rows of a query in order, each with the number of all rows behind it."""
    return rows.connection.execute(
        f"SELECT *, count(*) OVER () FROM ({query}) ORDER BY ALL LIMIT {MAX_EXAMPLES}"  # noqa: S608  own queries
    ).fetchall()
