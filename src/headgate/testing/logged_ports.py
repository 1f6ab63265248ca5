"""Source, ClaimStore and Lake in an action log (see action_log.py)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from headgate.core.erased import Erased
from headgate.errors import CommitUnknown
from headgate.ports import ClaimStore, CommittedIds, Lake, LedgerState, Source
from headgate.records import Claims, Receipt, RecordBatch, Shard, ShardState, Staged, Verdicts
from headgate.testing.action_log import ActionLog


class LoggedSource:
    """A Source in an action log. A read whose answer was lost hands its records over at the next call."""

    def __init__(self, inner: Source, log: ActionLog) -> None:
        """Wrap a source."""
        self._inner, self._log = inner, log
        self._kept: RecordBatch | None = None
        self.notices = inner.notices

    @property
    def name(self) -> str:
        """See Source."""
        return self._inner.name

    def resume(self, shards: Mapping[Shard, ShardState]) -> None:
        """See Source."""
        self._kept = None
        self._log.do("source.resume", lambda: self._inner.resume(shards))

    def read(self, timeout_seconds: float) -> RecordBatch | None:
        """See Source."""

        def read() -> RecordBatch | None:
            if self._kept is None:
                self._kept = self._inner.read(timeout_seconds)
            return self._kept

        batch = self._log.do("source.read", read)
        self._kept = None
        return batch

    def ack(self, receipt: Receipt) -> None:
        """See Source."""
        self._log.do("source.ack", lambda: self._inner.ack(receipt), str(receipt.number))

    def horizon_us(self) -> int | None:
        """See Source; no effect."""
        return self._inner.horizon_us()

    def abandoned(self, shards: Mapping[Shard, ShardState]) -> Collection[Shard]:
        """See Source."""
        return self._log.do("source.abandoned", lambda: self._inner.abandoned(shards))

    def lag(self) -> Mapping[str, float]:
        """See Source; no effect."""
        return self._inner.lag()

    def close(self) -> None:
        """See Source; no effect."""
        self._inner.close()


class LoggedClaimStore:
    """A ClaimStore in an action log."""

    def __init__(self, inner: ClaimStore, log: ActionLog) -> None:
        """Wrap a store."""
        self._inner, self._log = inner, log

    @property
    def generation(self) -> str:
        """See ClaimStore; no effect."""
        return self._inner.generation

    @property
    def is_embedded(self) -> bool:
        """See ClaimStore; no effect."""
        return self._inner.is_embedded

    @property
    def seen(self) -> int:
        """See ClaimStore; no effect."""
        return self._inner.seen

    def shard_number(self, shard: Shard) -> int:
        """See ClaimStore."""
        return self._log.do("claims.shard_number", lambda: self._inner.shard_number(shard), shard.name)

    def shard_of(self, number: int) -> Shard:
        """See ClaimStore; no effect."""
        return self._inner.shard_of(number)

    def claim(self, claims: Claims, window_us: int) -> npt.NDArray[np.void]:
        """See ClaimStore."""
        return self._log.do("claims.claim", lambda: self._inner.claim(claims, window_us), f"{len(claims)} ids")

    def take_over(self, claims: Claims, expected: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
        """See ClaimStore."""
        return self._log.do("claims.take_over", lambda: self._inner.take_over(claims, expected), f"{len(claims)} ids")

    def release(self, claims: Claims) -> int:
        """See ClaimStore."""
        return self._log.do("claims.release", lambda: self._inner.release(claims), f"{len(claims)} ids")

    def load(self, claims: Claims) -> None:
        """See ClaimStore."""
        self._log.do("claims.load", lambda: self._inner.load(claims), f"{len(claims)} ids")

    def withdraw(self, positions: Mapping[Shard, str | None]) -> int:
        """See ClaimStore."""
        return self._log.do("claims.withdraw", lambda: self._inner.withdraw(positions))

    def mark_seen(self, number: int, positions: Mapping[Shard, str | None]) -> None:
        """See ClaimStore."""
        self._log.do("claims.mark_seen", lambda: self._inner.mark_seen(number, positions), str(number))

    def expire(self, before_us: int) -> None:
        """See ClaimStore."""
        self._log.do("claims.expire", lambda: self._inner.expire(before_us))

    @property
    def expired_us(self) -> int:
        """See ClaimStore; no effect."""
        return self._inner.expired_us

    def sync(self) -> None:
        """See ClaimStore."""
        self._log.do("claims.sync", self._inner.sync)

    def renew(self) -> None:
        """See ClaimStore."""
        self._log.do("claims.renew", self._inner.renew)

    def statistics(self) -> Mapping[str, float]:
        """See ClaimStore; no effect."""
        return self._inner.statistics()

    def close(self) -> None:
        """See ClaimStore; no effect."""
        self._inner.close()


class LoggedLake:
    """A Lake in an action log. Where the answer to a commit is lost, nobody can tell whether it happened."""

    def __init__(self, inner: Lake, log: ActionLog) -> None:
        """Wrap a lake."""
        self._inner, self._log = inner, log

    def refresh(self) -> LedgerState:
        """See Lake."""
        return self._log.do("lake.refresh", self._inner.refresh)

    def stage(self, verdicts: Verdicts) -> Staged:
        """See Lake."""
        about = " ".join(f"{r.shard.name}:{r.start or 0}-{r.end}" for r in verdicts.ranges)
        return self._log.do("lake.stage", lambda: self._inner.stage(verdicts), about)

    def discard(self, staged: Staged) -> None:
        """See Lake."""
        self._log.do("lake.discard", lambda: self._inner.discard(staged))

    def commit(self, staged: Staged) -> Receipt:
        """See Lake."""
        about = " ".join(f"{r.shard.name}:{r.start or 0}-{r.end}" for r in staged.verdicts.ranges)
        return self._log.do("lake.commit", lambda: self._inner.commit(staged), about, CommitUnknown)

    def note(
        self,
        *,
        generation: str | None = None,
        replaces: str | None = None,
        abandoned: Mapping[Shard, str | None] | None = None,
        new_types: Sequence[str] = (),
    ) -> int:
        """See Lake."""
        about = "generation" if generation else " ".join([*(s.name for s in abandoned or ()), *new_types])
        return self._log.do(
            "lake.note",
            lambda: self._inner.note(
                generation=generation, replaces=replaces, abandoned=abandoned, new_types=new_types
            ),
            about,
            CommitUnknown,
        )

    def publish(self) -> int:
        """See Lake."""
        return self._log.do("lake.publish", self._inner.publish)

    def sweep(self) -> None:
        """See Lake; no effect."""
        self._inner.sweep()

    def claims_since(self, number: int, since_us: int | None) -> Iterator[tuple[int, CommittedIds]]:
        """See Lake."""
        return self._log.do("lake.claims_since", lambda: self._inner.claims_since(number, since_us), str(number))

    def erased(self) -> Erased | None:
        """See Lake; no effect."""
        return self._inner.erased()

    def close(self) -> None:
        """See Lake; no effect."""
        self._inner.close()
