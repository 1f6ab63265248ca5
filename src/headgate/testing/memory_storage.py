"""A Storage in a dictionary: a lake for tests that takes microseconds, for the formats parquet and json."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

from pyarrow.fs import FileSystem

from headgate.lake.storage import TEMPORARY, Bytes


class MemoryStorage:
    """See Storage; lasts as long as the object, which several simulated processes may share.

    Attributes:
        files: content by path.
    """

    root = "memory"

    def __init__(self) -> None:
        """Begin empty."""
        self.files: dict[str, bytes] = {}
        self._written_us: dict[str, int] = {}
        self._lock = threading.Lock()

    @property
    def is_remote(self) -> bool:
        """It is not."""
        return False

    @property
    def delta_options(self) -> dict[str, str] | None:
        """None: delta-rs cannot look into a dictionary."""
        return None

    def arrow_files(self) -> FileSystem:
        """Nothing of pyarrow reads a dictionary.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("read MemoryStorage.files")

    def put(self, path: str, content: Bytes, *, is_folder_synced: bool = True) -> None:
        """See Storage."""
        with self._lock:
            self._write(path, content)

    def put_if_absent(self, path: str, content: Bytes) -> bool:
        """See Storage."""
        with self._lock:
            if path in self.files:
                return False
            self._write(path, content)
            return True

    def _write(self, path: str, content: Bytes) -> None:
        self.files[path] = bytes(content)
        self._written_us[path] = time.time_ns() // 1_000

    def get(self, path: str) -> bytes | None:
        """See Storage."""
        return self.files.get(path)

    def list(self, prefix: str) -> Iterator[str]:
        """See Storage."""
        with self._lock:
            found = [p for p in self.files if p.startswith(prefix) and not p.startswith(f"{TEMPORARY}/")]
        return iter(found)

    def sizes(self, prefix: str) -> Iterator[tuple[str, int]]:
        """See Storage."""
        return ((path, len(self.files[path])) for path in self.list(prefix))

    def modified(self, prefix: str) -> Iterator[tuple[str, int]]:
        """See Storage."""
        with self._lock:
            found = [(path, self._written_us.get(path, 0)) for path in self.files if path.startswith(prefix)]
        return iter(found)

    def tail(self, path: str, num_bytes: int) -> bytes | None:
        """See Storage."""
        content = self.files.get(path)
        return None if content is None else content[max(0, len(content) - num_bytes) :]

    def exists(self, path: str) -> bool:
        """See Storage."""
        return path in self.files

    def size(self, path: str) -> int | None:
        """See Storage."""
        content = self.files.get(path)
        return None if content is None else len(content)

    def rename(self, path: str, target: str) -> bool:
        """See Storage."""
        with self._lock:
            if path not in self.files:
                return False
            self.files[target] = self.files.pop(path)
            self._written_us[target] = self._written_us.pop(path, 0)
            return True

    def delete(self, path: str) -> None:
        """See Storage."""
        with self._lock:
            self.files.pop(path, None)

    def sweep(self) -> None:
        """Nothing is ever unfinished."""

    def sync_folders(self, paths: Sequence[str]) -> None:
        """Nothing survives the object."""
