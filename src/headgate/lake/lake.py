"""`TableLake`: the Lake port over one storage, for the formats delta, parquet and json."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from headgate import __version__
from headgate.core.erased import Erased
from headgate.core.schema import TIMESTAMP
from headgate.errors import TransientError
from headgate.lake.accepted import ids_since
from headgate.lake.delta import DeltaTables
from headgate.lake.entry import Entry, Kind, abandoned_of, files_of, new_entry, ranges_of, shard_range
from headgate.lake.erasures import erased_events
from headgate.lake.layout import LAYOUT, Format, LakeFormat, settle_format
from headgate.lake.ledger import Ledger
from headgate.lake.opening import open_storage
from headgate.lake.options import LakeOptions, Tables
from headgate.lake.plain import STAGING, PlainTables, marker_path
from headgate.lake.published import Published, read_published, write_published
from headgate.lake.settled import replays, stage_settled
from headgate.lake.stage import Stager
from headgate.lake.staged import StagedBatches
from headgate.lake.storage import Storage
from headgate.ports import CommittedIds, LedgerState
from headgate.records import Counts, Receipt, Shard, ShardRange, Staged, Verdicts

_PUBLISH_AT_ONCE = 100  # entries held in memory while a lagging lake is published


class TableLake:
    """A lake on one storage. `stage`, `commit` and `publish` may each be called by a thread of its own.

    Attributes:
        storage: where it lies.
        about: what `format.json` says.
    """

    def __init__(
        self,
        storage: Storage,
        about: LakeFormat,
        options: LakeOptions,
        *,
        now_us: Callable[[], int],
        new_id: Callable[[], str],
    ) -> None:
        """Open a lake whose format is settled; see `open_or_create`."""
        self.storage = storage
        self.about = about
        self._options = options
        self._now_us = now_us
        self._new_id = new_id
        self._ledger = Ledger(storage, max_event_types=options.max_event_types)
        is_delta = about.format == "delta"
        self._tables: Tables = DeltaTables(storage, now_us) if is_delta else PlainTables(storage)
        self._stager = Stager(storage, about.format, options.json_style, options.stage_threads)
        self._staged = StagedBatches(storage, now_us)
        self._unpublished: dict[int, Entry] = {}
        self._published: int | None = None
        self._ledger_lock = threading.Lock()
        self._publish_lock = threading.Lock()

    def refresh(self) -> LedgerState:
        """Read the ledger to its end."""
        with self._ledger_lock:
            return self._ledger.refresh()

    def stage(self, verdicts: Verdicts) -> Staged:
        """Write the files of all four tables; `quality` gets its entry id and time here."""
        entry_id = self._new_id()
        quality = verdicts.quality
        stamped = {
            "entry_id": pa.array([entry_id] * quality.num_rows, pa.string()),
            "staged_at": pa.array([self._now_us()] * quality.num_rows, pa.int64()).cast(TIMESTAMP),
        }
        for name, column in stamped.items():
            quality = quality.set_column(quality.schema.get_field_index(name), quality.schema.field(name), column)
        if self.about.format != "delta":
            self.storage.put(marker_path(entry_id), b"")
        of_replay = verdicts.settlement
        settled = [] if of_replay is None else [stage_settled(self.storage, entry_id, of_replay.rows)]
        try:
            files = settled + self._stager.write(entry_id, {**verdicts.tables, "quality": quality})
        except TransientError:
            for path in [marker_path(entry_id), *(file.path for file in settled)]:
                self.storage.delete(path)
            raise
        self._staged.add(entry_id)
        return Staged(entry_id=entry_id, files=files, verdicts=verdicts)

    def discard(self, staged: Staged) -> None:
        """Delete the files of a batch that certainly was not committed."""
        self._staged.drop(staged.entry_id)
        for file in staged.files:
            self.storage.delete(file.path)
        self.storage.delete(marker_path(staged.entry_id))

    def commit(self, staged: Staged) -> Receipt:
        """Write the ledger entry of a staged batch; see ports.Lake for what is raised and what it means."""
        verdicts, settlement = staged.verdicts, staged.verdicts.settlement
        content: dict[str, Any] = {"counts": sum(verdicts.shard_counts, Counts())}
        if settlement is not None:
            content = {name: getattr(settlement, name) for name in ("counts", "settles", "replayed_at", "judged_at")}
        entry = self._entry(
            staged.entry_id,
            "batch" if settlement is None else "replay",
            **content,
            generation=verdicts.generation,
            ranges=ranges_of(verdicts.ranges, verdicts.shard_counts),
            new_types=list(verdicts.new_types),
            warnings=dict(verdicts.warnings),
            files=files_of(staged.files),
        )
        with self._ledger_lock:
            entry = self._ledger.append(entry, lambda: self._staged.check(staged))
            self._staged.drop(staged.entry_id)
            self._unpublished[entry.number] = entry
        return entry.receipt()

    def note(
        self,
        *,
        generation: str | None = None,
        replaces: str | None = None,
        abandoned: Mapping[Shard, str | None] | None = None,
        new_types: Sequence[str] = (),
    ) -> int:
        """Write an entry without files. Its number is the proof."""
        entry = self._entry(
            self._new_id(),
            "note",
            generation=generation,
            replaces=replaces,
            abandoned=abandoned_of(abandoned or {}),
            new_types=list(new_types),
        )
        with self._ledger_lock:
            return self._ledger.append(entry).number

    def publish(self) -> int:
        """Show the rows of all entries that are not yet published, in order."""
        with self._publish_lock:
            last = self.refresh().number
            if self._published is None:
                self._published = min(read_published(self.storage).number, last)  # what is not there is not shown
            while self._published < last:
                upto = min(last, self._published + _PUBLISH_AT_ONCE)
                self._tables.publish(self._take_entries(range(self._published + 1, upto + 1)))
                write_published(self.storage, Published(upto, self._now_us()))
                for number in range(self._published + 1, upto + 1):
                    self._unpublished.pop(number, None)
                self._published = upto
            return self._published

    def publish_if_due(self, seconds: float) -> int:
        """Publish, unless somebody has done so less than `seconds` ago: many writers share one publication.

        What is left out is shown by whoever publishes next: another writer, `run` or any job. Freshness is
        therefore `seconds` where writers follow each other, and where they stop the last rows wait for one of these.

        Returns:
            The number up to which everything is known to be published.
        """
        found = read_published(self.storage)
        with self._publish_lock:
            self._published = max(self._published or 0, found.number)
            for number in [n for n in self._unpublished if n <= self._published]:
                del self._unpublished[number]
        if 0 <= self._now_us() - found.published_us < seconds * 1_000_000:
            return found.number
        return self.publish()

    def replays(self) -> list[Entry]:
        """All replays of the ledger, oldest first; nothing is read where there was none."""
        with self._ledger_lock:
            return replays(self._ledger.entry, self._ledger.refresh().replayed_at)

    def islands_of(self, number: int, shard: Shard) -> list[ShardRange]:
        """The islands of a shard that an entry committed, with the filters of their records."""
        with self._ledger_lock:
            ranges = self._ledger.entry(number).ranges
        return [r for r in map(shard_range, ranges) if r.shard == shard and r.is_island]

    def sweep(self) -> None:
        """Delete what killed runs left unfinished or staged; under the lease, with nothing of one's own under way.

        Files of the delta format that no entry names stay where they are: only a listing of the whole table finds
        them.
        """
        if self.publish() == self.refresh().number:
            for path in list(self.storage.list(STAGING)):
                self.storage.delete(path)
        self.storage.sweep()

    def claims_since(self, number: int, since_us: int | None) -> Iterator[tuple[int, CommittedIds]]:
        """Ids and positions of accepted events in later entries, at most 100,000 at a time.

        With `--format json` the payload is rebuilt from the line: the same fields, not the same white space.
        """
        last, is_delta = self.refresh().number, self.about.format == "delta"
        return ids_since(self.storage, self._ledger.entry, number, last, since_us, is_delta=is_delta)

    def erased(self) -> Erased | None:
        """What keeps the ids of erased events claimed, read anew; None where there are none."""
        return erased_events(self.storage)

    def close(self) -> None:
        """End the threads. May be called twice."""
        self._stager.close()

    def _take_entries(self, numbers: range) -> list[Entry]:
        held = {n: entry for n in numbers if (entry := self._unpublished.get(n)) is not None}
        missing = [n for n in numbers if n not in held]
        held.update(zip(missing, self._ledger.entries(missing), strict=True))
        return [held[n] for n in numbers]

    def _entry(self, entry_id: str, kind: Kind, **content: Any) -> Entry:
        options = self._options
        return new_entry(entry_id, kind, self._now_us(), writer=options.writer, config=options.config_digest, **content)


def open_or_create(
    path: str,
    table_format: Format | None,
    options: LakeOptions,
    *,
    now_us: Callable[[], int],
    new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
) -> TableLake:
    """Open the lake at a path, or make one there.

    Args:
        path: a local folder.
        table_format: None for whatever the lake is; delta where there is none yet.
        options: settings of this writer.
        now_us: wall clock in microseconds since 1970 UTC.
        new_id: makes the names of commits and lakes; never the same twice.

    Raises:
        ConfigError: the lake has another format.
        LakeTooNewError: a newer Headgate wrote it.
        PermanentError: the layout is older; `headgate upgrade` brings it up to date.
        TransientError: the storage did not answer.
    """
    return open_lake(open_storage(path), table_format, options, now_us=now_us, new_id=new_id)


def open_lake(
    storage: Storage,
    table_format: Format | None,
    options: LakeOptions,
    *,
    now_us: Callable[[], int],
    new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
) -> TableLake:
    """Like `open_or_create`, on a storage."""
    created = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=now_us())
    wanted = LakeFormat(
        layout=LAYOUT,
        format=table_format or "delta",
        lake_id=new_id(),
        created=created.isoformat(),
        headgate_version=__version__,
    )
    about = settle_format(storage, wanted, is_explicit=table_format is not None)
    lake = TableLake(storage, about, options, now_us=now_us, new_id=new_id)
    lake._tables.create()
    return lake
