"""Where the lake's bytes lie: the `Storage` Protocol, and local disk by plain system calls.

Law: a file appears under its name whole and durable, or not at all. Paths are relative, with slashes; none
leaves the root. Object storage has no rename and no folders: `rename` may be a copy and a delete.
"""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from headgate.errors import ConfigError, PermanentError
from headgate.lake.storage_errors import storage_error

Bytes = bytes | bytearray | memoryview

TEMPORARY = "_headgate/tmp"  # unfinished files; whatever lies here is nobody's

_SYNC_THREADS = 8  # 200 folders: a quarter of the time of one thread


class Storage(Protocol):
    """Named bytes under one root.

    Guarantee: after `put`, `put_if_absent`, `rename` or `delete` returned, the effect survives a kill and,
    where the disk is honest, a power cut. Every method raises TransientError where the storage does not
    answer.
    """

    @property
    def root(self) -> str:
        """The folder or URI that paths are relative to; what Delta and query engines open."""
        ...

    def put(self, path: str, content: Bytes, *, is_folder_synced: bool = True) -> None:
        """Write a file, in place of an earlier one.

        Args:
            path: where.
            content: what.
            is_folder_synced: False for one of many files; durable after `sync_folders` then.
        """
        ...

    def put_if_absent(self, path: str, content: Bytes) -> bool:
        """Write a file unless there is one; of any number of racing callers one gets True.

        Raises:
            TransientError: the file may or may not have been written; look before trying again.
        """
        ...

    def get(self, path: str) -> bytes | None:
        """The file's content; None where there is no such file."""
        ...

    def list(self, prefix: str) -> Iterator[str]:
        """Paths of all files that start with `prefix`, in no order; those under `TEMPORARY` are left out."""
        ...

    def exists(self, path: str) -> bool:
        """True where there is such a file."""
        ...

    def size(self, path: str) -> int | None:
        """Bytes of the file; None where there is no such file."""
        ...

    def rename(self, path: str, target: str) -> bool:
        """Move a file over `target`; False where there is no such file (any more)."""
        ...

    def delete(self, path: str) -> None:
        """Delete a file; none there is no error."""
        ...

    def sweep(self) -> None:
        """Delete unfinished files; only where no other process writes."""
        ...

    def sync_folders(self, paths: Sequence[str]) -> None:
        """Make the names of these files durable, each folder once."""
        ...


@contextlib.contextmanager
def _mapped(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise storage_error(error, path) from error


class LocalStorage:
    """A folder on local disk. Every file is synced to disk before its name appears, and the name after it."""

    def __init__(self, root: str | Path) -> None:
        """Keep the root; nothing is made before the first write."""
        self._root = os.path.abspath(root)
        self._folders: set[str] = set()

    @property
    def root(self) -> str:
        """The absolute path of the folder."""
        return self._root

    def put(self, path: str, content: Bytes, *, is_folder_synced: bool = True) -> None:
        """Write beside, sync, rename over."""
        full = self._full(path)
        with _mapped(full):
            temporary = self._write_temporary(content)
            try:
                self._into(full, lambda: os.replace(temporary, full))
            except OSError:
                _remove(temporary)
                raise
            if is_folder_synced:
                _sync_folder(os.path.dirname(full))

    def put_if_absent(self, path: str, content: Bytes) -> bool:
        """Write beside, sync, link: the link fails where the name is taken."""
        full = self._full(path)
        with _mapped(full):
            temporary = self._write_temporary(content)
            try:
                self._into(full, lambda: os.link(temporary, full))
            except FileExistsError:
                return False
            finally:
                _remove(temporary)
            _sync_folder(os.path.dirname(full))
        return True

    def get(self, path: str) -> bytes | None:
        """Read the whole file."""
        with _mapped(self._full(path)):
            try:
                with open(self._full(path), "rb") as file:
                    return file.read()
            except FileNotFoundError:
                return None

    def list(self, prefix: str) -> Iterator[str]:
        """Walk the folder that the prefix names."""
        folder, slash, name = prefix.rpartition("/")
        with _mapped(os.path.join(self._root, prefix)):
            for top, folders, names in os.walk(self._full(folder) if folder else self._root):
                relative = os.path.relpath(top, self._root)
                base = "" if relative == "." else f"{relative}/"
                start = f"{folder}{slash}{name}"
                folders[:] = [f for f in folders if f"{base}{f}" != TEMPORARY and _may_hold(f"{base}{f}/", start)]
                yield from (f"{base}{n}" for n in names if f"{base}{n}".startswith(start))

    def exists(self, path: str) -> bool:
        """Ask the file system."""
        return self.size(path) is not None

    def size(self, path: str) -> int | None:
        """Ask the file system."""
        with _mapped(self._full(path)):
            try:
                return os.stat(self._full(path)).st_size
            except FileNotFoundError:
                return None

    def rename(self, path: str, target: str) -> bool:
        """One system call; durable after `sync_folders([target])`."""
        source, full = self._full(path), self._full(target)
        with _mapped(full):
            if not os.path.exists(source):
                return False
            try:
                self._into(full, lambda: os.replace(source, full))
            except FileNotFoundError:
                return False
        return True

    def delete(self, path: str) -> None:
        """Remove the file, and its folder where that is left empty under `_headgate/`."""
        full = self._full(path)
        with _mapped(full):
            _remove(full)
            if path.startswith("_headgate/staging/"):
                with contextlib.suppress(OSError):
                    os.rmdir(os.path.dirname(full))

    def sweep(self) -> None:
        """Delete what was being written when a process was killed."""
        folder = os.path.join(self._root, TEMPORARY)
        with _mapped(TEMPORARY), contextlib.suppress(FileNotFoundError):
            for name in os.listdir(folder):
                _remove(os.path.join(folder, name))

    def sync_folders(self, paths: Sequence[str]) -> None:
        """Sync each folder once; side by side, so that the disk joins their flushes."""
        folders = {os.path.dirname(self._full(path)) for path in paths}
        with ThreadPoolExecutor(_SYNC_THREADS) as pool:
            list(pool.map(_sync_if_there, folders))

    def _full(self, path: str) -> str:
        """The absolute path.

        Raises:
            PermanentError: the path would leave the lake.
        """
        parts = path.split("/")
        if not path or "\0" in path or any(part in ("", ".", "..") for part in parts):
            raise PermanentError(f"refused a path that could leave the lake {self._root}: {path!r}")
        return os.path.join(self._root, *parts)

    def _into(self, full: str, effect: Callable[[], None]) -> None:
        """Do the effect, making the folder it needs first where it is missing."""
        folder = os.path.dirname(full)
        if folder not in self._folders:
            self._make_folder(folder)
        try:
            effect()
        except FileNotFoundError:
            if os.path.isdir(folder):
                raise
            self._make_folder(folder)
            effect()

    def _make_folder(self, folder: str) -> None:
        """Make a folder and sync every folder above it that got a new name."""
        missing = []
        above = folder
        while not os.path.isdir(above):
            missing.append(above)
            above = os.path.dirname(above)
        try:
            os.makedirs(folder, exist_ok=True)
        except FileExistsError as error:  # a file: not to be taken for "the name is taken" by put_if_absent
            raise NotADirectoryError(errno.ENOTDIR, "a file lies where a folder is needed", folder) from error
        for made in missing:
            _sync_folder(os.path.dirname(made))
        self._folders.add(folder)

    def _write_temporary(self, content: Bytes) -> str:
        temporary = os.path.join(self._root, TEMPORARY, uuid.uuid4().hex)
        if os.path.dirname(temporary) not in self._folders:
            self._make_folder(os.path.dirname(temporary))
        try:
            file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileNotFoundError:
            self._make_folder(os.path.dirname(temporary))
            file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(file, view) :]
            os.fsync(file)
        except OSError:
            _remove(temporary)
            raise
        finally:
            os.close(file)
        return temporary


def open_storage(lake: str) -> Storage:
    """The storage behind a lake's path or URI.

    Raises:
        ConfigError: a kind of storage that this version does not speak.
    """
    if "://" in lake and not lake.startswith("file://"):
        raise ConfigError(f"{lake}: this version keeps lakes on local disk only; give a folder")
    return LocalStorage(lake.removeprefix("file://"))


def _may_hold(folder: str, prefix: str) -> bool:
    return folder.startswith(prefix) or prefix.startswith(folder)


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _sync_if_there(folder: str) -> None:
    with _mapped(folder), contextlib.suppress(FileNotFoundError):
        _sync_folder(folder)


def _sync_folder(folder: str) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
