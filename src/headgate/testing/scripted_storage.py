"""A storage that fails on script: before an effect, after it (the answer is lost), or for good."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, TypeVar

from pyarrow.fs import FileSystem

from headgate.errors import TransientError
from headgate.lake.storage import Bytes, Storage

Fault = Literal["before", "after", "silent", "killed"]  # silent: after, and the next look at it fails too

_Answer = TypeVar("_Answer")


class Killed(BaseException):
    """The process ends here, as far as the code under test can tell."""


class ScriptedStorage:
    """Passes every call on to a storage, except where the script says otherwise.

    Attributes:
        calls: every call so far as (method, path), in order.
    """

    def __init__(self, inner: Storage) -> None:
        """Wrap a storage; without script nothing fails."""
        self._inner = inner
        self._script: list[tuple[str, str, Fault]] = []
        self._lock = threading.Lock()
        self.calls: list[tuple[str, str]] = []

    def fail(self, method: str, path: str, fault: Fault) -> None:
        """Let the next call of this method on a path that contains `path` fail, once."""
        self._script.append((method, path, fault))

    @property
    def root(self) -> str:
        """The wrapped storage's root."""
        return self._inner.root

    @property
    def is_remote(self) -> bool:
        """The wrapped storage's."""
        return self._inner.is_remote

    @property
    def delta_options(self) -> dict[str, str] | None:
        """The wrapped storage's."""
        return self._inner.delta_options

    def arrow_files(self) -> FileSystem:
        """The wrapped storage's; reading it does not fail on script."""
        return self._inner.arrow_files()

    def put(self, path: str, content: Bytes, *, is_folder_synced: bool = True) -> None:
        """See Storage."""
        self._do("put", path, lambda: self._inner.put(path, content, is_folder_synced=is_folder_synced))

    def put_if_absent(self, path: str, content: Bytes) -> bool:
        """See Storage."""
        return self._do("put_if_absent", path, lambda: self._inner.put_if_absent(path, content))

    def get(self, path: str) -> bytes | None:
        """See Storage."""
        return self._do("get", path, lambda: self._inner.get(path))

    def list(self, prefix: str) -> Iterator[str]:
        """See Storage."""
        return self._do("list", prefix, lambda: self._inner.list(prefix))

    def sizes(self, prefix: str) -> Iterator[tuple[str, int]]:
        """See Storage."""
        return self._do("sizes", prefix, lambda: self._inner.sizes(prefix))

    def modified(self, prefix: str) -> Iterator[tuple[str, int]]:
        """See Storage."""
        return self._do("modified", prefix, lambda: self._inner.modified(prefix))

    def tail(self, path: str, num_bytes: int) -> bytes | None:
        """See Storage."""
        return self._do("tail", path, lambda: self._inner.tail(path, num_bytes))

    def exists(self, path: str) -> bool:
        """See Storage."""
        return self._do("exists", path, lambda: self._inner.exists(path))

    def size(self, path: str) -> int | None:
        """See Storage."""
        return self._do("size", path, lambda: self._inner.size(path))

    def rename(self, path: str, target: str) -> bool:
        """See Storage; the script names the target."""
        return self._do("rename", target, lambda: self._inner.rename(path, target))

    def delete(self, path: str) -> None:
        """See Storage."""
        self._do("delete", path, lambda: self._inner.delete(path))

    def sweep(self) -> None:
        """See Storage."""
        self._do("sweep", "", self._inner.sweep)

    def sync_folders(self, paths: Sequence[str]) -> None:
        """See Storage."""
        self._do("sync_folders", paths[0] if paths else "", lambda: self._inner.sync_folders(paths))

    def _do(self, method: str, path: str, effect: Callable[[], _Answer]) -> _Answer:
        self.calls.append((method, path))
        fault = self._next_fault(method, path)
        if fault == "before":
            raise TransientError(f"{path}: no answer to {method}, on script")
        if fault == "killed":
            raise Killed(f"{method} {path}")
        answer = effect()
        if fault == "silent":
            self.fail("get", path, "before")
        if fault in ("after", "silent"):
            raise TransientError(f"{path}: the answer to {method} was lost, on script")
        return answer

    def _next_fault(self, method: str, path: str) -> Fault | None:
        with self._lock:
            for i, (scripted, part, fault) in enumerate(self._script):
                if scripted == method and part in path:
                    del self._script[i]
                    return fault
        return None
