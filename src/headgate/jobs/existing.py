"""A lake that is there, opened to look at it: nothing is written, no lease is taken."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
from deltalake.exceptions import DeltaError

from headgate.core.schema import TABLES
from headgate.errors import ConfigError, PermanentError
from headgate.lake.delta import APP_ID, open_table
from headgate.lake.entry import LEDGER, Entry, decode_entry, entry_path
from headgate.lake.layout import LakeFormat, read_format
from headgate.lake.ledger import Ledger
from headgate.lake.opening import open_storage
from headgate.lake.plain import marker_path
from headgate.lake.published import published_number
from headgate.lake.s3_options import S3Options
from headgate.lake.storage import Storage
from headgate.ports import LedgerState

_ENTRY_NAME = re.compile(re.escape(LEDGER) + r"(\d{20})\.json")
_READ_ONLY = 0  # event types that a reader may add


@dataclass(frozen=True, slots=True, kw_only=True)
class ExistingLake:
    """A lake and what it says of itself."""

    path: str
    storage: Storage
    about: LakeFormat

    def state(self) -> LedgerState:
        """The ledger's end, read anew."""
        return Ledger(self.storage, max_event_types=_READ_ONLY).refresh()

    def entry_numbers(self) -> list[int]:
        """Numbers of all ledger entries that are there, in order."""
        found = (_ENTRY_NAME.fullmatch(path) for path in self.storage.list(LEDGER))
        return sorted(int(match[1]) for match in found if match)

    def entry(self, number: int) -> Entry:
        """One ledger entry.

        Raises:
            PermanentError: it is missing or cannot be read.
        """
        content = self.storage.get(entry_path(number))
        where = f"{self.storage.root}/{entry_path(number)}"
        if content is None:
            raise PermanentError(f"{where} is missing: restore it from a backup")
        try:
            return decode_entry(content)
        except msgspec.DecodeError as error:
            raise PermanentError(f"{where} cannot be read ({error}): restore it from a backup") from error

    def entries(self, after: int, upto: int) -> Iterator[Entry]:
        """Entries `after` + 1 to `upto`, in order."""
        return map(self.entry, range(after + 1, upto + 1))


def is_published(lake: ExistingLake, entry: Entry) -> bool:
    """True where readers see the rows of an entry."""
    if entry.number <= published_number(lake.storage):
        return True
    if lake.about.format == "delta":
        return all(
            shown_number(lake, table) >= entry.number for table in {f.table for f in entry.files} & TABLES.keys()
        )
    return not entry.files or not lake.storage.exists(marker_path(entry.entry_id))


def shown_number(lake: ExistingLake, table: str) -> int:
    """The last ledger number that a Delta table shows."""
    try:
        return open_table(lake.storage, table).transaction_version(APP_ID) or 0
    except DeltaError:
        return 0


def find_lake(path: str, options: S3Options | None = None) -> ExistingLake:
    """Find the lake at a path or URI.

    Args:
        path: of the lake.
        options: of an S3 client, for a lake there.

    Raises:
        ConfigError: there is none.
        LakeTooNewError: a newer Headgate wrote it.
        TransientError: the storage did not answer.
    """
    storage = open_storage(path, options)
    if not storage.is_remote:
        folder = Path(storage.root)
        if not folder.exists():
            raise ConfigError(f"{path}: there is no such folder; `headgate run SOURCE {path}` makes a lake there")
        if not folder.is_dir():
            raise ConfigError(f"{path}: is a file; a lake is a folder")
    about = read_format(storage)
    if about is None:
        kind = "is a folder, but no lake (it" if not storage.is_remote else "there is no lake (the prefix"
        raise ConfigError(f"{path}: {kind} has no _headgate/format.json); name the lake's own folder")
    return ExistingLake(path=path, storage=storage, about=about)
