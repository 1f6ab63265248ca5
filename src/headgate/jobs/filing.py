"""What a delivery service delivered, filed into the lake's tables once: it may deliver a row any number of times.

Firehose delivers accepted events, at least once, and the transformation keeps beside them what is not delivered
(see jobs/transform.py). Every filing is one ledger entry, so that its rows are in the tables whole or not yet; it moves
one shard of the ledger by one (see lake/filed.py), so that of two filings at once one begins anew, and what stands in
the tables when a filing is judged is all that ever was filed before.

Law: a row is filed where no table has one at its position. So nothing depends on what was noted before a kill: what is
read again is found. Rows keep the position, arrival and verdict that the transformation gave them; only an event whose
id another position holds within the window, because the claim store had lost its data, becomes a duplicate of it.

A duplicate waits for its original, which Firehose may still hold, until it is `settle` old; then it is filed as it is,
and `verify` names it. Delivered objects are never deleted. What was kept is deleted by a filing that finds all of it in
the tables a day or more after another filing first read it: no retry of an invocation writes it anew by then.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.filed import origins, quality
from headgate.core.filing import TABLES
from headgate.core.reasons import ACCEPTED_AGAIN, REDELIVERED
from headgate.errors import CommitConflict, ConfigError, PermanentError
from headgate.jobs.delivered_rows import judge_rows
from headgate.jobs.deliveries import Delivery, delivered, kept
from headgate.lake.filed import (
    FILED,
    Known,
    filed_range,
    first_read,
    known_objects,
    sweep_lists,
    write_first_read,
    write_list,
)
from headgate.lake.lake import TableLake
from headgate.lake.storage import Storage
from headgate.ports import Clock, LedgerState, Telemetry
from headgate.records import Counts, ShardState, Verdicts
from headgate.telemetry.facts import BatchCommitted, Retried

SETTLE_US = 24 * 3600 * 1_000_000  # microseconds; Firehose tries to deliver for 24 hours at most
BATCH_BYTES = 128 << 20  # of lines filed together
KEPT_US = 24 * 3600 * 1_000_000  # microseconds; retries, which write anew what was kept, follow within minutes
MAX_CONFLICTS = 20  # filings in a row that others overtook


@dataclass(frozen=True, slots=True, kw_only=True)
class FilingSettings:
    """How rows are filed.

    Attributes:
        window_us: of de-duplication, microseconds.
        max_event_types: how many event types the lake may hold.
        batch_bytes: of lines filed by one ledger entry.
        settle_us: how long a duplicate waits for its original, microseconds.
    """

    window_us: int
    max_event_types: int = 1_000
    batch_bytes: int = BATCH_BYTES
    settle_us: int = SETTLE_US


@dataclass(frozen=True, slots=True, kw_only=True)
class Filed:
    """What a filing did.

    Attributes:
        counts: of the rows filed.
        entries: ledger entries written.
        objects: delivered objects read.
        redelivered: delivered lines that were in the tables already.
        accepted_again: events that became duplicates of another with their id.
        waiting: duplicates that wait for their original.
        number: the ledger's end.
    """

    counts: Counts = field(default_factory=Counts)
    entries: int = 0
    objects: int = 0
    redelivered: int = 0
    accepted_again: int = 0
    waiting: int = 0
    number: int = 0


def file_delivered(
    lake: TableLake,
    delivery: Storage | None,
    settings: FilingSettings,
    *,
    clock: Clock,
    telemetry: Telemetry,
    new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
) -> Filed:
    """File what was delivered and what was kept, and publish it.

    Args:
        lake: where to; other writers may be at work.
        delivery: where Firehose delivers; None: nowhere, only what was kept is filed.
        settings: how.
        clock: tells how long duplicates have waited.
        telemetry: told of each entry.
        new_id: makes names that were never used.

    Returns:
        What was done. Calling again does what is left; nothing is filed twice.

    Raises:
        ConfigError: the delivery lies inside the lake, or the lake inside it.
        PermanentError: an object holds something else.
        TransientError: a storage did not answer; call again.
        CommitUnknown: likewise.
    """
    if delivery is not None:
        _refuse_overlap(lake.storage.root, delivery.root)
    filing = _Filing(lake, delivery, settings, clock, telemetry, new_id)
    for attempt in range(1, MAX_CONFLICTS + 1):
        try:
            return filing.make()
        except CommitConflict as error:
            telemetry.emit(Retried(stage="file", attempt=attempt, wait_seconds=0.0, error=str(error)))
    raise PermanentError(f"{lake.storage.root}: other filings were always ahead: let one of them end, then call again")


class _Filing:
    """One call; begun anew where somebody else moved the ledger."""

    def __init__(
        self,
        lake: TableLake,
        delivery: Storage | None,
        settings: FilingSettings,
        clock: Clock,
        telemetry: Telemetry,
        new_id: Callable[[], str],
    ) -> None:
        self._lake, self._delivery, self._settings = lake, delivery, settings
        self._clock, self._telemetry, self._new_id = clock, telemetry, new_id
        self._done = Filed()
        self._known = Known(head=None, objects={}, lists=[])

    def make(self) -> Filed:
        """File everything that is there now."""
        storage, now_us = self._lake.storage, self._clock.now_us()
        self._done = replace(self._done, waiting=0)
        self._known = known_objects(storage, self._lake.refresh().shards.get(FILED))
        sweep_lists(storage, self._known)
        kept_objects: list[str] = []
        for batch in self._batches():
            self._file(batch, now_us)
            kept_objects += batch.objects if batch.is_kept else ()
        number = self._lake.publish()
        self._delete_kept(kept_objects, now_us)
        return replace(self._done, number=number)

    def _batches(self) -> Iterator[Delivery]:
        """Delivered first: so the originals are there when their duplicates come."""
        if self._delivery is not None:
            there = {name: size for name, size in self._delivery.sizes("") if size}
            filed = self._known.objects.get(self._delivery.root, {})
            filed = {name: size for name, size in filed.items() if there.get(name) == size}
            self._known.objects[self._delivery.root] = filed
            new = {name: size for name, size in there.items() if name not in filed}
            yield from delivered(self._delivery, new, self._settings.batch_bytes)
        yield from kept(self._lake.storage, self._settings.batch_bytes)

    def _file(self, batch: Delivery, now_us: int) -> None:
        """One ledger entry, unless there is nothing new."""
        state = self._lake.refresh()
        self._lake.publish()  # so that the tables hold all that was committed when they are asked
        settings = self._settings
        found = judge_rows(self._lake, batch.tables(), settings.window_us, now_us - settings.settle_us)
        tables, finished = found.tables, {} if batch.is_kept else batch.objects
        again, copies = 0 if batch.is_kept else found.repeated, found.accepted_again
        if finished or any(tables[name].num_rows for name in TABLES):
            self._commit(state, finished, tables, {REDELIVERED: again, ACCEPTED_AGAIN: copies})
        done = self._done
        self._done = replace(
            done,
            objects=done.objects + len(finished),
            redelivered=done.redelivered + again,
            accepted_again=done.accepted_again + copies,
            waiting=done.waiting + found.waiting,
        )

    def _commit(
        self, state: LedgerState, finished: Mapping[str, int], tables: dict[str, pa.Table], warnings: Mapping[str, int]
    ) -> None:
        shard = state.shards.get(FILED)
        held = origins(tables)
        counts = sum((origin.counts for origin in held), Counts())
        verdicts = Verdicts(
            **{table: tables[table] for table in TABLES},
            quality=quality(tables, self._clock.now_us()),
            ranges=[filed_range(shard, self._list(shard, finished), held)],
            shard_counts=[counts],
            new_types=self._new_types(state, tables["events"]),
            warnings={key: count for key, count in warnings.items() if count},
            generation=state.generation or "",
        )
        staged = self._lake.stage(verdicts)
        try:
            receipt = self._lake.commit(staged)
        except CommitConflict:
            self._lake.discard(staged)
            raise
        self._known.head = receipt.ranges[0].meta["list"]
        self._done = replace(self._done, counts=self._done.counts + counts, entries=self._done.entries + 1)
        self._telemetry.emit(
            BatchCommitted(
                number=receipt.number,
                counts=counts,
                warnings=verdicts.warnings,
                files=len(staged.files),
                shards=len(held),
            )
        )

    def _list(self, shard: ShardState | None, finished: Mapping[str, int]) -> str | None:
        """The list that the entry names: another one where objects were read to their end."""
        if self._known.head != (None if shard is None else shard.meta.get("list")):
            raise CommitConflict("another filing has read objects meanwhile")
        if not finished or self._delivery is None:
            return self._known.head
        name = self._new_id()
        self._known = write_list(self._lake.storage, name, {self._delivery.root: finished}, self._known)
        return name

    def _new_types(self, state: LedgerState, events: pa.Table) -> list[str]:
        """Types that the ledger does not know: the transformation notes its own before it answers."""
        known = set(state.event_types)
        new = [name for name in pc.unique(events["event_type"]).to_pylist() if name not in known]
        if len(known) + len(new) > self._settings.max_event_types:
            raise PermanentError(
                f"what was delivered holds the event type {new[0]!r}, and the lake has {len(known)} already: raise "
                "[lake] max_event_types, or name the delivery of this lake's own transformation"
            )
        return new

    def _delete_kept(self, read: Sequence[str], now_us: int) -> None:
        """Delete of the objects that were read now those that were first read long ago."""
        times = first_read(self._lake.storage)
        since = {path: min(times.get(path, now_us), now_us) for path in read}
        is_old = {path: us + max(KEPT_US, self._settings.settle_us) <= now_us for path, us in since.items()}
        gone = [path for path in read if is_old[path] and not self._done.waiting]
        for path in gone:
            self._lake.storage.delete(path)
        left = {path: us for path, us in since.items() if path not in set(gone)}
        if left != times:
            write_first_read(self._lake.storage, left)


def _refuse_overlap(lake: str, delivery: str) -> None:
    """A delivery inside the lake would be taken for its tables, a lake inside the delivery for what was delivered."""
    one, other = (f"{root if '://' in root else os.path.realpath(root)}/" for root in (lake, delivery))
    if one.startswith(other) or other.startswith(one):
        raise ConfigError(
            f"[firehose] delivered = {delivery!r}: Firehose must deliver outside the lake {lake}, and the lake must "
            "not lie below the prefix: give each a prefix of its own"
        )
