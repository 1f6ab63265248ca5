"""The typed tables of a lake, brought up to the ledger: the order of a run, and what is read for it.

Order matters: the registry says `built` before anything is read, so that no file is cleaned away that is still to be
read; the first run's version of `events` is settled, once for ever, before the first table is made; then type by
type the tables are committed, each with the ledger number that it has reached; then `built` moves on. Killed
anywhere, the next run leaves out of each table what it holds already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from itertools import groupby
from operator import itemgetter

import msgspec

from headgate.lake.analytics_build import TableReport
from headgate.lake.analytics_input import Input, Reader, of_entries, of_version
from headgate.lake.analytics_registry import (
    FIRST_PATH,
    REGISTRY_PATH,
    First,
    Registry,
    read_registry,
    write_registry,
)
from headgate.lake.analytics_stage import BuildSettings, Stage
from headgate.lake.delta import APP_ID, open_table
from headgate.lake.entry import Entry
from headgate.lake.storage import Storage

__all__ = ["BuildSettings", "TypedTables"]

MAX_STAGE_FILES = 100_000  # files of ledger entries read before `built` moves on; each takes about 1 KB of memory
MAX_DATE_FILES = 10_000_000  # of one date, which is one commit a table
_ENTRIES_AT_ONCE = 100


class TypedTables:
    """The typed tables of one lake."""

    def __init__(
        self,
        storage: Storage,
        settings: BuildSettings,
        *,
        is_delta: bool,
        entries: Callable[[range], list[Entry]],
        now_us: Callable[[], int],
        new_id: Callable[[], str],
        advance: Callable[[float], None],
    ) -> None:
        """Keep all of it; nothing is read yet.

        Args:
            storage: of the lake.
            settings: how tables are built.
            is_delta: the lake's format is delta, whose `events` has versions, and whose early files may be gone.
            entries: the ledger's entries of some numbers.
            now_us: wall clock.
            new_id: never the same twice.
            advance: is told the number of events as they are read.
        """
        self._storage, self._settings, self._is_delta = storage, settings, is_delta
        self._entries, self._now_us, self._new_id, self._advance = entries, now_us, new_id, advance

    def bring_up(self, published: int) -> Iterator[TableReport]:
        """Take in all entries up to a number whose rows are all to be seen; a report for each table with new rows.

        Raises:
            CommitConflict: another build or tool was quicker; call again.
            TransientError, PermanentError: see TypedTable.commit, and where files are gone.
        """
        registry = self._registry()
        if self._is_delta and registry.built == 0 and published:
            version, number = self._first(published)
            yield from self._stage(of_version(self._storage, version, number), registry)
        while registry.built < published:
            numbers = range(registry.built + 1, published + 1)
            found = of_entries(self._walk(numbers), registry.built, MAX_STAGE_FILES)
            yield from self._stage(found, registry)

    def rebuild(self, day: date, published: int) -> Iterator[TableReport]:
        """Put what is published of one date in the place of what the tables hold of it.

        The version of `events` that is read holds at least the entries up to `published`. The tables are brought up to
        that very point before; one that is beyond it by the time of the commit is a conflict.

        Raises:
            CommitConflict: another build was quicker; call again.
        """
        if not self._is_delta:
            yield from self.bring_up(published)
            registry = self._registry()
            found = of_entries(self._walk(range(1, published + 1)), 0, MAX_DATE_FILES, day)
        else:
            opened = open_table(self._storage, "events")
            upto = max(published, opened.transaction_version(APP_ID) or 0)
            yield from self.bring_up(upto)
            registry = self._registry()
            found = of_version(self._storage, opened.version(), upto, day)
        yield from self._stage(found, registry, day)

    def _registry(self) -> Registry:
        """What is known; written down before anything is read, so that no file is cleaned away from now on."""
        registry = read_registry(self._storage)
        if registry is None and not self._settings.is_preview:
            self._storage.put_if_absent(REGISTRY_PATH, msgspec.json.encode(Registry(built=0)))
            registry = read_registry(self._storage)
        return registry or Registry(built=0)

    def _first(self, published: int) -> tuple[int, int]:
        """The version of `events` that the first run reads, and up to which entry it holds all."""
        content = self._storage.get(FIRST_PATH)
        if content is None:
            opened = open_table(self._storage, "events")
            first = First(opened.version(), max(published, opened.transaction_version(APP_ID) or 0))
            if self._settings.is_preview or self._storage.put_if_absent(FIRST_PATH, msgspec.json.encode(first)):
                return first.version, first.number
            content = self._storage.get(FIRST_PATH) or b""
        first = msgspec.json.decode(content, type=First)
        return first.version, first.number

    def _walk(self, numbers: range) -> Iterator[Entry]:
        for start in range(numbers.start, numbers.stop, _ENTRIES_AT_ONCE):
            yield from self._entries(range(start, min(start + _ENTRIES_AT_ONCE, numbers.stop)))

    def _stage(self, found: Input, registry: Registry, rebuilt: date | None = None) -> Iterator[TableReport]:
        """Read, type and commit; then `built` moves on."""
        if found.pieces or rebuilt:
            stage = Stage(
                self._storage,
                self._settings,
                upto=found.upto,
                rebuilt=rebuilt,
                now_us=self._now_us,
                new_id=self._new_id,
            )
            reader = Reader(self._storage, is_plain=not self._is_delta)
            try:
                for _, blocks in groupby(reader.blocks(found.pieces), key=itemgetter(0)):
                    for _, block in blocks:
                        stage.add(block)
                        self._advance(block.num_rows)
                    yield from stage.end_type()
                yield from stage.end()
            finally:
                reader.close()
                stage.close()
            stage.note(registry)
        registry.built = max(registry.built, found.upto) if rebuilt is None else registry.built
        if not self._settings.is_preview:
            write_registry(self._storage, registry)
