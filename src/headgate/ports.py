"""The Protocols that the pipeline needs. Each says its guarantee; a conformance suite in `testing/` proves it.

Nothing here knows a class that implements it; `wiring/` alone does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from headgate.core.erased import Erased
from headgate.records import Claims, Counts, Receipt, RecordBatch, Shard, ShardState, Staged, Verdicts


class Clock(Protocol):
    """Time and waiting, passed in so that tests run on a virtual one."""

    def now_us(self) -> int:
        """Wall-clock time in microseconds since 1970 UTC. Never decides a verdict."""
        ...

    def monotonic(self) -> float:
        """Seconds that only move forward; for ages and time-outs."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Source(Protocol):
    """Bytes in, with positions.

    Guarantee: from the same position the same records come again, byte for byte, with the same positions and
    arrival times, in the order of positions within a shard, until `ack` allows the source to forget them.

    Attributes:
        notices: sentences for the operator (a new, moved or vanished shard); the reader empties the list.
    """

    notices: list[str]

    @property
    def name(self) -> str:
        """The source's name in positions."""
        ...

    def resume(self, shards: Mapping[Shard, ShardState]) -> None:
        """Start (again) after the given committed positions. Called before the first `read` of an attempt.

        Raises:
            SourceGapError: what was not yet read is older than the source keeps.
        """
        ...

    def read(self, timeout_seconds: float) -> RecordBatch | None:
        """The next records, of any size the source finds handy (a few MB); None where nothing came in time.

        Raises:
            TransientError: the source did not answer; call again.
            EOFError: the source is drained (`--once`); every further call raises it again.
        """
        ...

    def ack(self, receipt: Receipt) -> None:
        """The receipt's ranges are committed and published: the source may forget them."""
        ...

    def horizon_us(self) -> int | None:
        """A time before which no record arrived that is not acknowledged yet or still to come; None: cannot tell.

        Claims that are a window older than this can decide nothing any more.
        """
        ...

    def abandoned(self, shards: Mapping[Shard, ShardState]) -> Collection[Shard]:
        """Those of the given shards from which no record after the committed position will ever come again."""
        ...

    def lag(self) -> Mapping[str, float]:
        """What waits unread: `records`, `bytes` or `seconds`, those that the source can tell."""
        ...

    def close(self) -> None:
        """Let go of files and connections. May be called twice."""
        ...


class ClaimStore(Protocol):
    """Who saw an id first.

    Guarantee: `claim` is an atomic first-writer-wins per key. An owner stays until it expires, is taken over by
    compare-and-swap, or is released by itself. What `claim` answered is durable when `sync` has returned.
    A claim made again by the same owner finds itself. See `testing/claim_store_suite.py`.
    """

    @property
    def generation(self) -> str:
        """Name of the unbroken history of this store; another one after any sign that it lost data."""
        ...

    @property
    def is_embedded(self) -> bool:
        """True where one process at a time may use the store, so that the lake's lease guards it."""
        ...

    @property
    def seen(self) -> int:
        """The last ledger number whose claims the store is known to hold; 0 for a new store."""
        ...

    def shard_number(self, shard: Shard) -> int:
        """The store's number for a shard; assigned at first sight, durable, the same for ever."""
        ...

    def shard_of(self, number: int) -> Shard:
        """The shard behind a number. Raises KeyError where it was never assigned."""
        ...

    def claim(self, claims: Claims, window_us: int) -> npt.NDArray[np.void]:
        """Claim each key for its owner, where nobody owns it or where the owner expired.

        An owner expired for a claimer whose `arrived` is more than `window_us` later than the owner's.

        Args:
            claims: n keys, unique within the call, and the claiming owners (OWNER).
            window_us: the window of de-duplication in microseconds.

        Returns:
            (n,) OWNER: who owns each key now. Equal to `claims.owners[i]` (in shard, sequence and sub) where the
            claim was won, now or in an earlier call; then arrived and fingerprint are those of the stored owner.

        Raises:
            TransientError: the store did not answer; calling again with the same claims is safe.
        """
        ...

    def take_over(self, claims: Claims, expected: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
        """Compare-and-swap: where the owner is still `expected[i]`, the claimer becomes it. Returns the owners."""
        ...

    def release(self, claims: Claims) -> int:
        """Give up the keys that these very owners (shard, sequence, sub) hold; others are left. Returns how many."""
        ...

    def load(self, claims: Claims) -> None:
        """Enter owners read from the lake, later calls over earlier ones; safe to repeat. For rebuilding."""
        ...

    def withdraw(self, positions: Mapping[Shard, str | None]) -> int:
        """Embedded stores, on opening: release claims that were made but never committed.

        Args:
            positions: the committed position of each shard in the ledger. A claim made since the last
                `mark_seen` whose sequence is not below its shard's committed position is released.
                (Positions are exclusive, see records.py.)

        Returns:
            How many were released. A shared store does nothing and answers 0.
        """
        ...

    def mark_seen(self, number: int, positions: Mapping[Shard, str | None]) -> None:
        """Everything up to this ledger number is in the store.

        Args:
            number: the ledger number.
            positions: committed positions as of that number, of the shards that moved or of all. An embedded
                store need not remember the claims below them for `withdraw` any longer.
        """
        ...

    def expire(self, before_us: int) -> None:
        """Drop whole time buckets in which every owner arrived before this time."""
        ...

    @property
    def expired_us(self) -> int:
        """Owners that arrived before this may have been dropped; 0 where none was. Durable; `renew` sets it back."""
        ...

    def sync(self) -> None:
        """Return once all answered claims would survive a kill and, where the disk is honest, a power cut."""
        ...

    def renew(self) -> None:
        """Forget everything and begin a new generation; what the ledger says is then to be loaded anew."""
        ...

    def statistics(self) -> Mapping[str, float]:
        """For `status` and `doctor`: `claims` (estimate), `disk_bytes`, `memory_bytes`, where known."""
        ...

    def close(self) -> None:
        """Flush and let go. May be called twice."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerState:
    """What all entries of the ledger together say.

    Attributes:
        number: the last entry's number; 0 for a new lake.
        shards: what is known of each shard.
        event_types: admitted types, in order of admission.
        generation: the claim generation in force; None before the first.
        abandoned: shards whose claims after the given position belong to nobody any more.
        counts: sums over all entries, what replays settled taken back.
        settled: the verdicts that replays took back.
        replayed_at: number of the last replay; 0 where there was none.
        committed_us: when the last entry was written.
        writer: who wrote the last entry.
    """

    number: int = 0
    shards: Mapping[Shard, ShardState] = field(default_factory=dict)
    event_types: Sequence[str] = ()
    generation: str | None = None
    abandoned: Mapping[Shard, str | None] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    settled: Counts = field(default_factory=Counts)
    replayed_at: int = 0
    committed_us: int = 0
    writer: Mapping[str, Any] = field(default_factory=dict)


class Lake(Protocol):
    """Bytes out. The ledger entry is the commit; files are nothing before it and are published after it.

    Guarantee: `commit` is one atomic put-if-absent; whoever finds an entry that is not published publishes it,
    and never judges its records again. See `testing/lake_suite.py`.
    """

    def refresh(self) -> LedgerState:
        """Read the ledger to its end."""
        ...

    def stage(self, verdicts: Verdicts) -> Staged:
        """Write the files of all four tables where nobody reads them; durable when this returns.

        Raises:
            TransientError: the storage did not answer or is full; calling again is safe.
        """
        ...

    def discard(self, staged: Staged) -> None:
        """Delete the files of a batch that certainly was not committed."""
        ...

    def commit(self, staged: Staged) -> Receipt:
        """Write the ledger entry. After this returns, the batch has happened, whatever happens next.

        Raises:
            CommitConflict: a shard's position is not its range's start, the generation is another one, or the
                event types would exceed the limit. The batch did not happen; re-read.
            CommitUnknown: no answer, and the ledger could not be read either.
            TransientError: certainly not written; calling again with the same `staged` is safe.
        """
        ...

    def note(
        self,
        *,
        generation: str | None = None,
        replaces: str | None = None,
        abandoned: Mapping[Shard, str | None] | None = None,
        new_types: Sequence[str] = (),
    ) -> int:
        """Write an entry without files: a claim generation, abandoned ranges, admitted types. Returns its number.

        Raises:
            CommitConflict: the generation in force is neither `replaces` nor `generation`; fill again.
        """
        ...

    def publish(self) -> int:
        """Show the rows of all entries that are not yet published, in order. Safe to repeat and to race.

        Returns:
            The number up to which everything is published.
        """
        ...

    def sweep(self) -> None:
        """Delete what killed runs left behind. Only where no other process commits batches: under the lease."""
        ...

    def claims_since(self, number: int, since_us: int | None) -> Iterator[tuple[int, CommittedIds]]:
        """Ids and positions of accepted events in entries after `number` whose rows arrived at or after `since_us`.

        One or more per entry, in order, for rebuilding a claim store. Where files of an entry were joined with others,
        the rows of all entries that are published are given first, slice by slice of arrival under numbers below 0.
        """
        ...

    def erased(self) -> Erased | None:
        """What keeps the ids of erased events claimed, read anew; None where there are none."""
        ...

    def close(self) -> None:
        """Let go of the lease and of handles. May be called twice."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CommittedIds:
    """Accepted events of one entry as `events` holds them, columns of equal length.

    `table` has event_uuid, payload (string), source, shard, sequence (string, with `#n` where there is one) and
    arrived_at (timestamp[us, UTC]).
    """

    table: Any


class Telemetry(Protocol):
    """Facts about the flow. One typed event emits log line and metric together; per batch, never per record."""

    def emit(self, fact: object) -> None:
        """Take a fact (see telemetry/facts.py). Never raises, never blocks."""
        ...


Facts = Iterable[object]
