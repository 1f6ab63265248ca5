"""What a replay writes: the new verdicts of some rows, and the mark that settles these rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.again import Again
from headgate.core.columns import encode
from headgate.core.dedup import Judgement, rows_of
from headgate.core.measures import withdrawn
from headgate.core.quality import quality_rows, quality_table, warning_counts
from headgate.core.schema import COUNTS, SETTLED
from headgate.core.tally import counted, negative
from headgate.core.verdicts import Judged, accepted_rows, duplicate_rows, rejected_rows
from headgate.decision import Decided
from headgate.jobs.old_rows import OldBatch
from headgate.records import Counts, Settlement, Verdicts

ORPHAN = "orphan"  # stands for the reason of a duplicate
LEFT = "left"  # of a row that does not hold the record it was

#: (reason, verdict) to number of parts; `rejected` and `left` count rows that stay as they are.
Tally = Counter[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What becomes of a batch.

    Attributes:
        verdicts: to be staged and committed; None where nothing changes.
        settled: of the rows that are settled.
        left: of the others.
    """

    verdicts: Verdicts | None
    settled: Tally
    left: Tally


def outcome_of(batch: OldBatch, again: Again, decided: Decided, *, replayed_at: int, judged_at: int) -> Outcome:
    """Settle the rows with a new verdict.

    A reject that is a reject again stays as it is. An orphan is settled whatever it is now: as a duplicate it names
    another original.

    Args:
        batch: the old rows.
        again: these decoded anew.
        decided: these judged; one row a part of `again`.
        replayed_at: see records.Settlement.
        judged_at: see records.Settlement.
    """
    judged, origin = decided.judged, again.origin
    is_orphan = np.asarray(pc.is_null(batch.names["reason"]))
    has_part = np.zeros(batch.rows.num_rows, dtype=np.bool_)
    has_part[origin] = True
    is_settled = (is_orphan & has_part) | ~(has_part | again.is_left)
    is_settled[origin[judged.events]] = True
    kept = np.asarray(is_settled[origin])
    reasons = np.array([reason or ORPHAN for reason in batch.names["reason"].to_pylist()], dtype=object)
    verdicts = _verdicts(judged)
    settled = Tally(zip(reasons[origin[kept]], verdicts[kept], strict=True))
    nothing = np.flatnonzero(is_settled & ~has_part)
    settled.update((reason, "none") for reason in reasons[nothing])
    left = Tally((reasons[i], LEFT if again.is_left[i] else "rejected") for i in np.flatnonzero(~is_settled))
    if not is_settled.any():
        return Outcome(verdicts=None, settled=settled, left=left)
    mine = _filtered(judged, kept)
    rows = _settled_rows(batch, np.concatenate([origin[kept], nothing]), mine, verdicts[kept])
    duplicates = int((is_settled & is_orphan).sum())
    settlement = Settlement(
        rows=rows,
        counts=Counts(int(kept.sum()), len(mine.accepted), len(mine.duplicates), len(mine.rejected)),
        settles=Counts(int(is_settled.sum()), 0, duplicates, int(is_settled.sum()) - duplicates),
        replayed_at=replayed_at,
        judged_at=judged_at,
    )
    quality = [_taken_back(batch, is_settled, mine.parts, origin[kept])]
    if mine.parts.num_rows:
        quality.append(quality_rows(mine))
    written = _written(pa.concat_tables(quality), mine, decided, settlement)
    return Outcome(verdicts=written, settled=settled, left=left)


def _verdicts(judged: Judged) -> npt.NDArray[np.object_]:
    found = np.full(judged.parts.num_rows, "rejected", dtype=object)
    found[judged.accepted], found[judged.duplicates] = "accepted", "duplicate"
    return found


def _filtered(judged: Judged, kept: npt.NDArray[np.bool_]) -> Judged:
    """Without the parts of rows that stay as they are."""
    rows = np.flatnonzero(kept[judged.events])
    judgement = judged.judgement
    return Judged(
        parts=judged.parts.filter(pa.array(kept)),
        events=(np.cumsum(kept) - 1)[judged.events[rows]],
        judgement=Judgement(
            accepted=judgement.accepted[rows],
            owner=rows_of(judgement.owner, rows),
            conflict=judgement.conflict[rows],
        ),
    )


def _settled_rows(
    batch: OldBatch, origin: npt.NDArray[np.int64], judged: Judged, verdicts: npt.NDArray[np.object_]
) -> pa.Table:
    """SETTLED: one row a part, then those that nothing came of."""
    names = batch.names.take(pa.array(origin))
    nothing = len(origin) - judged.parts.num_rows
    parts = [*judged.parts["sequence_text"].to_pylist(), *[None] * nothing]
    is_orphan = pc.is_null(names["reason"])
    columns = {
        "table": pc.if_else(is_orphan, pa.scalar("duplicates"), pa.scalar("rejected")),
        **{name: names[name] for name in SETTLED.names[1:7]},
        "part": pa.array(parts, pa.string()),
        "verdict": pa.array([*verdicts.tolist(), *["none"] * nothing], pa.string()),
    }
    return pa.table(columns).cast(SETTLED)


def _written(quality: pa.Table, judged: Judged, decided: Decided, settlement: Settlement) -> Verdicts:
    return Verdicts(
        events=accepted_rows(judged),
        duplicates=duplicate_rows(judged, decided.owners),
        rejected=rejected_rows(judged),
        quality=quality,
        ranges=(),
        shard_counts=(),
        new_types=decided.new_types,
        warnings=warning_counts(judged),
        generation=decided.generation,
        settlement=settlement,
    )


def _taken_back(
    batch: OldBatch, is_settled: npt.NDArray[np.bool_], parts: pa.Table, origin: npt.NDArray[np.int64]
) -> pa.Table:
    """QUALITY with negative numbers, so that its sums are those of the tables without the settled rows.

    What was measured of an orphan is what is measured of it today; of a reject it is what its reason says.

    Args:
        batch: the old rows.
        is_settled: (rows,) which of them.
        parts: of the settled rows, judged anew.
        origin: (parts,) the row that each comes from.
    """
    settled = np.flatnonzero(is_settled)
    names = batch.names.take(pa.array(settled))
    encoded = encode(names["event_type"])
    code, size = np.asarray(encoded.indices).astype(np.int64), len(encoded.dictionary)
    is_orphan = np.asarray(pc.is_null(names["reason"]))
    rejects = np.flatnonzero(~is_orphan)
    lengths = np.asarray(pc.binary_length(batch.rows["raw"])).astype(np.int64)[settled]
    conflicts = np.asarray(pc.fill_null(names["conflict"], False)).astype(np.int64)
    sums = {
        "received": np.bincount(code, minlength=size),
        "accepted": np.zeros(size, dtype=np.int64),
        "duplicates": np.bincount(code[is_orphan], minlength=size),
        "conflicts": np.bincount(code, weights=conflicts, minlength=size).astype(np.int64),
        "rejected": np.bincount(code[rejects], minlength=size),
        "payload_bytes": np.bincount(code, weights=lengths, minlength=size).astype(np.int64),
    }
    reasons = counted(code[rejects], names["reason"].take(pa.array(rejects)), size)
    place = np.zeros(len(is_settled), dtype=np.int64)
    place[settled] = np.arange(len(settled))
    again = np.flatnonzero(is_orphan[place[origin]])
    return quality_table(
        {
            **{name: pa.array(-counts) for name, counts in sums.items()},
            "event_type": encoded.dictionary,
            "reasons": negative(reasons),
            "warnings": pa.array([[]] * size, COUNTS),
            **withdrawn(parts.take(pa.array(again)), code[place[origin[again]]], reasons, size),
        },
        size,
    )
