"""What the lake holds of a source, beside what the source still holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from headgate.jobs.ledger_proof import LedgerProof
from headgate.jobs.position_rows import FILED_RANGE, NO_RANGE, PositionRows
from headgate.jobs.proof import Proof, many
from headgate.jobs.source_rows import Reread
from headgate.jobs.table_rows import REJECTED, TABLE_NAMES
from headgate.lake.filed import FILED
from headgate.records import Shard, ShardState


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
        "r.shard = s.shard AND r.sequence = s.sequence AND r.sub = s.sub ANTI JOIN erased e ON "
        "e.shard = s.shard AND e.sequence = s.sequence AND e.sub = s.sub"
    )
    proof.skipped = sql("SELECT count(*) FROM absent WHERE is_skipped").fetchall()[0][0]
    proof.undelivered = _count_undelivered(rows)
    missing = rows.first(
        "SELECT shard, sequence, sub FROM absent ANTI JOIN filed USING (shard) WHERE is_skipped IS NOT TRUE"
    )
    if missing:
        hint = "; where runs began with --start, say so here too" if is_from_start else ""
        proof.add(
            "missing", f"{many(missing[0][-1], 'event')} of the source missing in the lake{hint}", rows.texts(missing)
        )
    extra = rows.first(
        "SELECT r.shard, r.sequence, r.sub, r.t FROM rows r JOIN reread USING (shard) ANTI JOIN source s ON "  # noqa: S608  own numbers
        "r.shard = s.shard AND r.sequence = s.sequence AND r.sub = s.sub WHERE r.r >= 0 AND r.sequence >= held "
        # Firehose hands over the records inside an aggregate one by one, and numbers them otherwise than its reader.
        "UNION ALL SELECT r.shard, r.sequence, r.sub, r.t FROM rows r JOIN reread USING (shard) ANTI JOIN source s ON "
        f"r.shard = s.shard AND r.sequence = s.sequence WHERE r.r = {FILED_RANGE} AND r.sequence >= held",
    )
    if extra:
        examples = [f"{text} in {TABLE_NAMES[row[3]]}" for text, row in zip(rows.texts(extra), extra, strict=True)]
        proof.add("extra", f"{many(extra[0][-1], 'row')} of the lake not in the source", examples)
    other = rows.first(
        "SELECT r.shard, r.sequence, r.sub FROM rows r JOIN source s ON r.shard = s.shard AND "  # noqa: S608  own names
        f"r.sequence = s.sequence AND r.sub = s.sub WHERE r.t <> {REJECTED} AND "
        "(NOT s.is_id OR r.k0 <> s.k0 OR r.k1 <> s.k1)",
    )
    if other:
        sentence = f"{many(other[0][-1], 'row')} of the lake with another id than the source has at that position"
        proof.add("other_id", sentence, rows.texts(other))


def _count_undelivered(rows: PositionRows) -> int:
    """Parts of filed shards of which nothing is filed yet: Firehose may hold them, or have given them up."""
    sql = rows.connection.execute
    sql(f"CREATE TABLE filed AS SELECT DISTINCT shard FROM rows WHERE r = {FILED_RANGE}")  # noqa: S608  own numbers
    counted = sql(
        "SELECT count(*) FROM absent JOIN filed USING (shard) ANTI JOIN rows r ON r.shard = absent.shard "
        "AND r.sequence = absent.sequence WHERE is_skipped IS NOT TRUE"
    )
    return int(counted.fetchall()[0][0])


def _note_reread(rows: PositionRows, proof: Proof, found: Reread, *, is_from_start: bool, is_forgetful: bool) -> None:
    """Make the table `reread`: of each shard that the source has, where the runs began and where it begins now."""
    sql = rows.connection.execute
    sql(f"CREATE TABLE reread(shard INTEGER, begin {rows.sequence_type}, held {rows.sequence_type})")
    sql("CREATE VIEW committed AS SELECT shard, sequence FROM rows UNION ALL SELECT shard, sequence FROM erased")
    full = {number for (number,) in sql("SELECT DISTINCT shard FROM committed").fetchall()}
    gone = {s for s in found.ends if is_forgetful and s not in found.begins and rows.shard_number(s) in full}
    for shard in found.ends.keys() - gone:
        number = rows.shard_number(shard)
        first = (
            None if is_from_start else sql("SELECT min(sequence) FROM committed WHERE shard = ?", [number]).fetchall()
        )
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
    changed = rows.first(
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
        "SELECT count(*) FROM rows ANTI JOIN reread ON rows.shard = reread.shard AND sequence >= held WHERE r <> ?",
        [NO_RANGE],
    ).fetchall()[0]
    proof.ledger_only_rows = count
    shards = {*ledger.state.shards, *ledger.filed} - {FILED}
    proof.ledger_only_shards = len(shards) - proof.reread_shards
