"""Which parts of a batch are accepted: event types admitted, ids claimed, each event judged.

Law: only this stage calls the claim store while the flow runs, from one thread; what it answers is durable when
`decide` returns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.admit import admit
from headgate.core.columns import one_array
from headgate.core.dedup import Judgement, Progress, judge, rows_of
from headgate.core.enrich import sequence_bytes
from headgate.core.erased_ids import Copies, ErasedIds, with_copies
from headgate.core.keys import keys_of
from headgate.core.verdicts import Judged
from headgate.errors import CommitConflict
from headgate.ports import ClaimStore, LedgerState
from headgate.records import OWNER, Claims, Receipt, Shard, ShardRange

LOST_DATA = "the claim store lost its data"
ERASED_AGAIN = (
    "records that were committed and erased are read again: another writer moved the position, or the ledger is older "
    "than its erasures (then restore both from one backup)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Decoded, validated, enriched: one row an event or reject."""

    table: pa.Table
    ranges: Sequence[ShardRange]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """Judged parts, and what the ledger entry says of them; `seconds` is how long the judgement took."""

    judged: Judged
    ranges: Sequence[ShardRange]
    owners: Mapping[int, Shard]
    new_types: Sequence[str]
    generation: str
    seconds: float | None = None


class Horizon(Protocol):
    """Says how far back records may still come; see ports.Source."""

    def horizon_us(self) -> int | None:
        """A time before which none arrived; None: cannot tell."""
        ...


class Decider:
    """Judges one batch after the other, under the ledger's claim generation."""

    def __init__(
        self,
        claims: ClaimStore,
        source: Horizon,
        state: LedgerState,
        *,
        window_us: int,
        max_event_types: int,
        refills: bool = True,
        erased: ErasedIds | None = None,
        is_again: bool = False,
    ) -> None:
        """Begin at the ledger's end.

        Args:
            claims: in step with the ledger (see recover.py).
            source: asked for its horizon, so that claims can expire.
            state: the ledger's end.
            window_us: window of de-duplication in microseconds.
            max_event_types: how many event types the lake may hold.
            refills: fill the store anew for records that arrived before all that it still holds. A function does
                not: no live stream hands it such records, and one test event must not cost a shared store its claims.
            erased: knows the copies of erased events; None where there are none.
            is_again: records may be judged again that were committed: what asks files them by position, and gets the
                answer of the first time also where they were erased. Else such records are none of this batch.
        """
        self._erased, self._is_again = erased, is_again
        self._refills = refills
        self._claims, self._source = claims, source
        self._window_us, self._max_event_types = window_us, max_event_types
        self._types = list(state.event_types)
        # From the end of all that was committed: islands lie beyond the position that was given up.
        self._abandoned = {s: state.shards[s].reach if s in state.shards else p for s, p in state.abandoned.items()}
        self._generation = state.generation
        self._committed: deque[Receipt] = deque()  # not yet told to the claim store
        self._begun: tuple[Parts, str, Progress] | None = None  # a judgement that failed, and its generation

    def decide(self, parts: Parts) -> Decided:
        """Admit event types and claim ids. Claims are durable when this returns."""
        self.settle()
        generation = self._claims.generation
        if self._generation not in (None, generation):
            raise CommitConflict(f"{LOST_DATA}: it is filled from the lake first")
        table, new_types = admit(parts.table, set(self._types), self._max_event_types)
        numbers = {i: self._claims.shard_number(r.shard) for i, r in enumerate(parts.ranges)}
        self._release(table, numbers)
        events = np.flatnonzero(np.asarray(pc.is_null(table["reason"])))
        claims = claims_of(table, events, numbers)
        copies = self._copies(claims)
        if copies is None:
            judgement = self._judged(claims, parts, generation)
        else:
            rest = np.delete(np.arange(len(claims)), copies.rows)
            others = Claims(keys=claims.keys.take(rest, axis=0), owners=rows_of(claims.owners, rest))
            judgement = with_copies(self._judged(others, parts, generation), rest, copies)
        owners = self._owners(judgement)
        if self._claims.generation != generation:
            raise CommitConflict(f"{LOST_DATA} while the batch was judged: it is judged again")
        self._types += new_types
        self._begun = None
        return Decided(
            judged=Judged(parts=table, events=events, judgement=judgement),
            ranges=parts.ranges,
            owners=owners,
            new_types=new_types,
            generation=generation,
        )

    def _copies(self, claims: Claims) -> Copies | None:
        """Copies of erased events: the store is not asked for them, whether it knows their owners or not."""
        copies = None if self._erased is None else self._erased.copies(claims, self._window_us)
        if copies is not None and len(copies.own) and not self._is_again:
            raise CommitConflict(ERASED_AGAIN)
        return copies

    def _judged(self, claims: Claims, parts: Parts, generation: str) -> Judgement:
        """Ask the store; claims are durable when this returns."""
        self._refuse_forgotten(claims)
        abandoned = {self._claims.shard_number(s): _number(p) for s, p in self._abandoned.items()}
        progress = self._progress_of(parts, generation, len(claims))
        judgement = judge(claims.keys, claims.owners, self._claims, self._window_us, abandoned, progress)
        self._claims.sync()
        return judgement

    def _progress_of(self, parts: Parts, generation: str, n: int) -> Progress:
        """Where the judgement of these parts failed before, under this generation; else its start."""
        if self._begun is None or self._begun[0] is not parts or self._begun[1] != generation:
            self._begun = (parts, generation, Progress.of(n))
        return self._begun[2]

    def _refuse_forgotten(self, claims: Claims) -> None:
        """Records may arrive from before what the store still holds (an old file, put there later)."""
        if (
            self._refills
            and len(claims)
            and max(0, int(claims.owners["arrived"].min()) - self._window_us) < self._claims.expired_us
        ):
            self._claims.renew()
            raise CommitConflict("records arrived long ago: the claim store is filled with all of the lake first")

    def _owners(self, judgement: Judgement) -> dict[int, Shard]:
        """The shards behind the numbers of a judgement."""
        try:
            return {int(n): self._claims.shard_of(int(n)) for n in np.unique(judgement.owner["shard"])}
        except KeyError as error:
            raise CommitConflict(f"{LOST_DATA} ({error}): the batch is judged again") from error

    def _release(self, table: pa.Table, numbers: Mapping[int, int]) -> None:
        """What is rejected now may have claimed its id in an earlier attempt, under other rules."""
        is_reject = pc.and_(pc.is_valid(table["reason"]), pc.is_valid(table["event_uuid"]))
        rows = np.flatnonzero(np.asarray(is_reject))
        if len(rows):
            self._claims.release(claims_of(table, rows, numbers))

    def committed(self, receipt: Receipt) -> None:
        """A batch is in the ledger; the store is told when this stage calls it next, or by `settle`."""
        self._committed.append(receipt)

    def settle(self) -> None:
        """Tell the claim store what was committed, and what is over."""
        if not self._committed:
            return
        while self._committed:
            receipt = self._committed[0]
            self._claims.mark_seen(receipt.number, {r.shard: r.end for r in receipt.ranges})
            self._committed.popleft()
        horizon = self._source.horizon_us()
        if horizon is not None:
            self._claims.expire(horizon - self._window_us)


def claims_of(table: pa.Table, rows: npt.NDArray[np.int64], numbers: Mapping[int, int]) -> Claims:
    """The claims that the given rows of enriched parts make, in order."""
    ids = one_array(table["event_uuid"])
    owners = np.zeros(table.num_rows, dtype=OWNER)
    if len(rows):
        by_index = np.array([numbers[i] for i in range(len(numbers))], dtype=np.uint32)
        owners["shard"] = by_index[np.asarray(table["shard"])]
        owners["sequence"] = sequence_bytes(table["sequence"]).view("V24").ravel()
        owners["sub"] = np.asarray(table["sub"])
        owners["arrived"] = np.asarray(table["arrived_at"].cast(pa.int64()))
        owners["fingerprint"] = np.asarray(table["fingerprint"])
    if len(rows) * 2 < table.num_rows:
        return Claims(keys=keys_of(ids.take(pa.array(rows))), owners=rows_of(owners, rows))
    # Of nearly all rows: cheaper to make all keys than to copy the ids first.
    return Claims(keys=keys_of(ids.fill_null("")).take(rows, axis=0), owners=rows_of(owners, rows))


def _number(position: str | None) -> int | None:
    return None if position is None else int(position)
