"""Batches that are staged and not yet committed: their files may have been swept while the process slept."""

from __future__ import annotations

from collections.abc import Callable

from headgate.errors import CommitConflict
from headgate.lake.storage import Storage
from headgate.records import Staged

STALE_US = 12 * 3_600_000_000  # age of staged files at which they are looked for; orphans are deleted after a day


class StagedBatches:
    """When each batch was staged. May be used by many threads."""

    def __init__(self, storage: Storage, now_us: Callable[[], int]) -> None:
        """Nothing is staged yet."""
        self._storage, self._now_us = storage, now_us
        self._since: dict[str, int] = {}

    def add(self, entry_id: str) -> None:
        """The batch is staged now."""
        self._since[entry_id] = self._now_us()

    def drop(self, entry_id: str) -> None:
        """It is committed, or thrown away."""
        self._since.pop(entry_id, None)

    def check(self, staged: Staged) -> None:
        """Look for the files of a batch that was staged long ago (a machine that slept, a storage that was down).

        Raises:
            CommitConflict: they are gone; the batch must be staged again.
        """
        if self._now_us() - self._since.get(staged.entry_id, 0) < STALE_US:
            return
        if gone := [file.path for file in staged.files if not self._storage.exists(file.path)]:
            raise CommitConflict(f"{gone[0]} was staged long ago and is gone: the batch is staged again")
