"""The one canonical fact a batch, put together of what its stages told one by one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from headgate.ports import Telemetry
from headgate.telemetry.facts import BatchCommitted, BatchFinished, LagMeasured, RunStarted, StageTimed

FIRST, COMMIT, LAST = "decode", "commit", "ack"  # stages


@dataclass(slots=True, kw_only=True)
class _Open:
    """A batch that is under way."""

    began: float
    seconds: dict[str, float] = field(default_factory=dict)
    committed: BatchCommitted | None = None


class Batches:
    """A Telemetry that passes all facts on, and behind the last stage of a batch a `BatchFinished`."""

    def __init__(self, inner: Telemetry, monotonic: Callable[[], float]) -> None:
        """Nothing is under way.

        Args:
            inner: gets every fact.
            monotonic: seconds.
        """
        self._inner, self._monotonic = inner, monotonic
        self._lock = threading.Lock()
        self._open: dict[int, _Open] = {}
        self._committed: BatchCommitted | None = None
        self._lag: Mapping[str, float] = {}

    def emit(self, fact: object) -> None:
        """Pass a fact on."""
        self._inner.emit(fact)
        with self._lock:
            finished = self._take(fact)
        if finished is not None:
            self._inner.emit(finished)

    def _take(self, fact: object) -> BatchFinished | None:
        if isinstance(fact, RunStarted):
            self._open.clear()
        elif isinstance(fact, LagMeasured):
            self._lag = fact.lag
        elif isinstance(fact, BatchCommitted):
            self._committed = fact  # the next fact of this stage says which batch it is
        elif isinstance(fact, StageTimed):
            return self._timed(fact)
        return None

    def _timed(self, fact: StageTimed) -> BatchFinished | None:
        now = self._monotonic()
        if fact.stage == FIRST:
            self._open[fact.batch] = _Open(began=now - fact.wall_seconds)
        batch = self._open.get(fact.batch)
        if batch is None:
            return None
        batch.seconds[fact.stage] = fact.wall_seconds
        if fact.stage == COMMIT:
            batch.committed, self._committed = self._committed, None
        if fact.stage != LAST:
            return None
        del self._open[fact.batch]
        return (
            None if batch.committed is None else finished(batch.committed, batch.seconds, now - batch.began, self._lag)
        )


def finished(
    fact: BatchCommitted, seconds: Mapping[str, float], took_seconds: float, lag: Mapping[str, float]
) -> BatchFinished:
    """The canonical fact of a committed batch.

    Args:
        fact: its commit.
        seconds: by stage.
        took_seconds: in all.
        lag: of the source.
    """
    quality = fact.quality
    return BatchFinished(
        number=fact.number,
        counts=fact.counts,
        conflicts=0 if quality is None else _sum(quality, "conflicts"),
        reasons={} if quality is None else _reasons(quality),
        warnings=fact.warnings,
        types=0 if quality is None else quality.num_rows,
        payload_bytes=0 if quality is None else _sum(quality, "payload_bytes"),
        files=fact.files,
        file_bytes=fact.file_bytes,
        shards=fact.shards,
        seconds=dict(seconds),
        took_seconds=took_seconds,
        lag=dict(lag),
    )


def _sum(quality: pa.Table, column: str) -> int:
    return int(pc.sum(quality[column]).as_py() or 0)


def _reasons(quality: pa.Table) -> dict[str, int]:
    sums: dict[str, int] = {}
    for row in quality["reasons"].to_pylist():
        for name, count in row or ():
            sums[name] = sums.get(name, 0) + count
    return dict(sorted(sums.items()))
