"""What a replay writes: the new verdicts of some rows, and the mark that settles these rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.again import Again
from headgate.core.dedup import Judgement, rows_of
from headgate.core.quality import quality_rows, warning_counts
from headgate.core.schema import QUALITY, SETTLED
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
    return Outcome(verdicts=_written(batch, is_settled, mine, decided, settlement), settled=settled, left=left)


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


def _written(
    batch: OldBatch, is_settled: npt.NDArray[np.bool_], judged: Judged, decided: Decided, settlement: Settlement
) -> Verdicts:
    quality = [_taken_back(batch, is_settled)]
    if judged.parts.num_rows:
        quality.append(quality_rows(judged))
    return Verdicts(
        events=accepted_rows(judged),
        duplicates=duplicate_rows(judged, decided.owners),
        rejected=rejected_rows(judged),
        quality=pa.concat_tables(quality),
        ranges=(),
        shard_counts=(),
        new_types=decided.new_types,
        warnings=warning_counts(judged),
        generation=decided.generation,
        settlement=settlement,
    )


def _taken_back(batch: OldBatch, is_settled: npt.NDArray[np.bool_]) -> pa.Table:
    """QUALITY with negative numbers, so that its sums are those of the tables without the settled rows."""
    columns = [batch.names[name].filter(pa.array(is_settled)).to_pylist() for name in ("event_type", "reason")]
    conflicts = batch.names["conflict"].filter(pa.array(is_settled)).to_pylist()
    sizes = pc.binary_length(batch.rows["raw"]).filter(pa.array(is_settled)).to_pylist()
    by_type: dict[str | None, Counter[str]] = {}
    reasons: dict[str | None, Counter[str]] = {}
    for event_type, reason, conflict, size in zip(*columns, conflicts, sizes, strict=True):
        counts = by_type.setdefault(event_type, Counter())
        of_type = reasons.setdefault(event_type, Counter())
        counts.update(received=1, conflicts=int(conflict), payload_bytes=size)
        counts["duplicates" if reason is None else "rejected"] += 1
        if reason is not None:
            of_type[reason] += 1
    summed = ("received", "accepted", "duplicates", "conflicts", "rejected", "payload_bytes")
    rows = [
        {name: -by_type[event_type][name] for name in summed}
        | {"event_type": event_type, "reasons": [(r, -n) for r, n in sorted(reasons[event_type].items())]}
        | {"warnings": []}
        for event_type in by_type
    ]
    return pa.table({field.name: pa.array([row.get(field.name) for row in rows], field.type) for field in QUALITY})
