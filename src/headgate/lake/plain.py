"""Publication in Hive-style folders: staged files are renamed into place, entry by entry.

Law: each staged batch has a marker, written before its files and deleted after all of them were renamed. No
marker: the entry was published once, and whatever happened to its files later (compaction, a human) is not
undone.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from headgate.errors import PermanentError
from headgate.lake.entry import Entry, File
from headgate.lake.storage import Storage

STAGING = "_headgate/staging/"
_MOVES_AT_ONCE = 16  # of a remote storage; each takes two round trips


class PlainTables:
    """The four tables of a lake as folders of Parquet or JSON files. Safe where several publish at once."""

    def __init__(self, storage: Storage) -> None:
        """Keep the storage."""
        self._storage = storage

    def create(self) -> None:
        """Nothing to make: folders appear with their first file."""

    def publish(self, entries: Sequence[Entry]) -> None:
        """Show the rows of the entries, in order; a file already in place is left alone.

        Raises:
            TransientError: the storage did not answer; calling again is safe.
            PermanentError: a staged file that was committed is gone.
        """
        for entry in entries:
            marker = marker_path(entry.entry_id)
            files = moved_files(entry)
            if not files:
                continue
            if not self._storage.exists(marker):
                self._check_published(marker, entry, files)
                continue
            self._move(marker, files)
            self._storage.sync_folders([file.published for file in files])
            self._storage.delete(marker)

    def _check_published(self, marker: str, entry: Entry, files: Sequence[File]) -> None:
        """Without a marker an entry was published; one of which no file is in place never was.

        On local disk the kernel's lock keeps others from sweeping what is staged, and files that are gone were taken
        away by somebody.
        """
        if not self._storage.is_remote:
            return
        if any(self._storage.exists(file.published) for file in files) or self._storage.exists(marker):
            return
        raise PermanentError(
            f"ledger entry {entry.number} was committed, and neither {marker} nor any of its {len(files)} files "
            f"is in {self._storage.root}: restore them from a backup, or put the number {entry.number} into "
            "_headgate/published.json to accept the loss (`verify` then names it)"
        )

    def _move(self, marker: str, files: Sequence[File]) -> None:
        """Every file to its place; the marker may go once this returns."""
        if not self._storage.is_remote:
            for file in files:
                self._move_one(marker, file)
            return
        with ThreadPoolExecutor(_MOVES_AT_ONCE) as pool:
            futures = [pool.submit(self._move_one, marker, file) for file in files]
        for future in futures:
            future.result()

    def _move_one(self, marker: str, file: File) -> None:
        if not self._storage.rename(file.path, file.published) and not self._storage.exists(file.published):
            self._check_gone(marker, file.path, file.published)

    def _check_gone(self, marker: str, path: str, target: str) -> None:
        """Both names are gone: fine only where another publisher has finished this entry meanwhile."""
        if self._storage.exists(marker):
            raise PermanentError(
                f"{path} was committed and is gone, and so is {target}: restore either from a backup, or "
                f"delete {marker} in {self._storage.root} to accept the loss (`verify` then names it)"
            )


def moved_files(entry: Entry) -> list[File]:
    """The files that publication moves into place; others lie from the first where they will be read.

    One without rows was erased, after it had been published.
    """
    return [file for file in entry.files if file.target is not None and file.rows]


def marker_path(entry_id: str) -> str:
    """Lies there from before the first file is staged until the last one is published."""
    return f"{STAGING}{entry_id}/unpublished"
