"""Which folder under `analytics/` belongs to which event name, decided once for ever.

Format: `_headgate/analytics/names/<20-digit number>.json`, numbered without gaps and written by put-if-absent like
the ledger; each holds the folders given to names that were new then. So two builds at once agree, and no event name
ever has two tables.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from headgate.core.analytics.names import OTHER, folder_name
from headgate.errors import PermanentError
from headgate.lake.storage import Storage

NAMES = "_headgate/analytics/names/"


class TableNames:
    """The folders known so far."""

    def __init__(self, storage: Storage, max_tables: int) -> None:
        """Read all.

        Args:
            storage: of the lake.
            max_tables: tables of their own that names may have; the others share `_other`.
        """
        self._storage = storage
        self._max_tables = max_tables
        self._number = 0
        self._folders: dict[str, str] = {}
        self._read()

    @property
    def folders(self) -> dict[str, str]:
        """Event name to folder below `analytics/`."""
        return dict(self._folders)

    def settle(self, event_names: Iterable[str], *, is_written: bool = True) -> dict[str, str]:
        """Give a folder to each of these names that has none yet.

        Args:
            event_names: as sent.
            is_written: False where nothing may be written: then it is what would be.

        Returns:
            Event name to folder, of all names.
        """
        wanted = list(event_names)
        while new := self._new(wanted):
            if not is_written:
                return {**self._folders, **new}
            self._storage.put_if_absent(_path(self._number + 1), msgspec.json.encode(new))
            self._read()  # ours, or that of a quicker build
        return self.folders

    def _new(self, event_names: list[str]) -> dict[str, str]:
        taken = {folder.casefold() for folder in self._folders.values()}
        room = self._max_tables - len(taken - {OTHER})
        new: dict[str, str] = {}
        for name in event_names:
            if name in self._folders or name in new:
                continue
            if room > 0:
                new[name] = folder_name(name, taken)
                taken.add(new[name].casefold())
                room -= 1
            else:
                new[name] = OTHER
        return new

    def _read(self) -> None:
        while (content := self._storage.get(_path(self._number + 1))) is not None:
            try:
                self._folders |= msgspec.json.decode(content, type=dict[str, str])
            except msgspec.DecodeError as error:
                where = f"{self._storage.root}/{_path(self._number + 1)}"
                raise PermanentError(f"{where} cannot be read ({error}): restore it from a backup") from error
            self._number += 1


def _path(number: int) -> str:
    return f"{NAMES}{number:020d}.json"
