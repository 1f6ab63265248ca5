"""`Gathering`: the history of a lake as it is, and then what is added to it, every row once.

How far it has come is the number of a ledger entry, never a time: with several writers a row may be shown later than
others that were staged after it, and an entry's number says exactly which rows are its own. Files are only where rows
are found: `compact` puts them into others, and nothing is read twice or missed for that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from headgate.jobs.existing import ExistingLake, shown_number
from headgate.jobs.quality_rows import TABLE, first_since, quality_of, quality_of_version, reading_quality
from headgate.lake.delta import APP_ID, open_table
from headgate.lake.entry import Entry
from headgate.lake.ledger import Ledger
from headgate.lake.plain import marker_path
from headgate.lake.published import published_number
from headgate.ports import LedgerState
from headgate.report.history import COLUMNS, History

ENTRIES_AT_ONCE = 256  # whose rows are held before they are added, a few megabytes
_READ_ONLY = 0  # event types that a reader may add
_COLUMNS = ("entry_id", *COLUMNS)


class Gathering:
    """Follows a lake. One instance belongs to one thread at a time.

    Guarantee: the history holds the rows of all entries up to `number` and of no other one, also after an error:
    what failed is done again by the next call.

    Attributes:
        lake: that is followed.
        history: what was found so far.
        number: of the last ledger entry whose rows are in it.
        state: of the ledger when it was last looked at; its end may be ahead of `number`.
    """

    def __init__(
        self,
        lake: ExistingLake,
        *,
        since_us: int | None = None,
        until_us: int | None = None,
        hours_before_us: int = 0,
    ) -> None:
        """Nothing is read yet.

        Args:
            lake: to follow.
            since_us: rows that were staged before are left out, and mostly not read; microseconds since 1970.
            until_us: rows that were staged then or later are left out.
            hours_before_us: rows that were staged before are held by the hour at once.
        """
        self.lake = lake
        self._make = partial(History, since_us=since_us, until_us=until_us, hours_before_us=hours_before_us)
        self.history = self._make()
        self.number = 0
        self.state = LedgerState()
        self._ledger = Ledger(lake.storage, max_event_types=_READ_ONLY)
        self._is_begun = False

    def advance(self, told: Callable[[int, int], None] = lambda done, of: None) -> int:
        """Add what can be read by now and could not before.

        Args:
            told: is called with the number of entries or rows that are done, and of how many.

        Returns:
            The number of rows that were added.

        Raises:
            TransientError: the storage did not answer; call again.
            PermanentError: `quality` or the ledger cannot be read.
        """
        before = self.history.rows
        self.state = self._ledger.refresh()
        with reading_quality(self.lake):
            if not self._is_begun:
                self._begin(told)
            first, last = self.number, self._shown()
            while self.number < last:
                self._add(range(self.number + 1, min(self.number + ENTRIES_AT_ONCE, last) + 1))
                told(self.number - first, last - first)
        return self.history.rows - before

    def _begin(self, told: Callable[[int, int], None]) -> None:
        """A delta lake is read as it is now: its log tells the number up to which it shows everything."""
        if self.lake.about.format == "delta":
            history = self._make()
            known = published_number(self.lake.storage)  # before the table is opened, which shows all of that
            opened = open_table(self.lake.storage, TABLE)
            for block, done, of in quality_of_version(self.lake, opened, self.history.since_us, COLUMNS):
                history.add(block)
                told(done, of)
            self.history = history
            self.number = max(known, opened.transaction_version(APP_ID) or 0)
        elif self.history.since_us is not None:
            self.number = first_since(self.lake, self.history.since_us, self.state.number) - 1
        self._is_begun = True

    def _shown(self) -> int:
        """The number up to which all rows can be read, without a gap."""
        last = self.state.number
        known = max(self.number, published_number(self.lake.storage))
        if known >= last:
            return last
        if self.lake.about.format == "delta":
            return min(last, max(known, shown_number(self.lake, TABLE)))
        for entry in self._ledger.entries(range(known + 1, last + 1)):
            if entry.files and self.lake.storage.exists(marker_path(entry.entry_id)):
                return entry.number - 1
        return last

    def _add(self, numbers: range) -> None:
        """Add the rows of some entries, all of them or none."""
        entries = self._ledger.entries(numbers)
        found, lost = quality_of(self.lake, entries, COLUMNS)
        found.extend(self._moved(lost))
        if found:
            self.history.add(pa.concat_tables(found))
        self.number = numbers[-1]

    def _moved(self, entries: Sequence[Entry]) -> Iterator[pa.Table]:
        """The rows of entries whose files are gone, from the files that `compact` put them into."""
        if not entries:
            return
        wanted = pa.array([entry.entry_id for entry in entries], pa.string())
        opened = open_table(self.lake.storage, TABLE)
        for block, _, _ in quality_of_version(self.lake, opened, None, _COLUMNS):
            rows = block.filter(pc.is_in(block["entry_id"], value_set=wanted))
            if rows.num_rows:
                yield rows.select(COLUMNS)
