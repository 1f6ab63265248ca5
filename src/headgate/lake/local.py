"""A lake on local disk, by plain system calls."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pyarrow.fs import FileSystem, LocalFileSystem, SubTreeFileSystem

from headgate.disk_errors import storage_error
from headgate.lake.storage import TEMPORARY, Bytes, checked

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_SYNC_THREADS = 8  # 200 folders: a quarter of the time of one thread


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

    @property
    def is_remote(self) -> bool:
        """It is not."""
        return False

    @property
    def delta_options(self) -> dict[str, str] | None:
        """None are needed."""
        return None

    def arrow_files(self) -> FileSystem:
        """The folder."""
        return SubTreeFileSystem(self._root, LocalFileSystem())

    def put(self, path: str, content: Bytes, *, is_folder_synced: bool = True) -> None:
        """Write beside, sync, rename over."""
        full = self._full(path)
        with _mapped(full), self._written(content) as temporary:
            self._into(full, lambda: os.replace(temporary, full))
            if is_folder_synced:
                _sync_folder(os.path.dirname(full))

    def put_if_absent(self, path: str, content: Bytes) -> bool:
        """Write beside, sync, link: the link fails where the name is taken."""
        full = self._full(path)
        with _mapped(full):
            try:
                with self._written(content) as temporary:
                    self._into(full, lambda: os.link(temporary, full))
            except FileExistsError:
                return False
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
        return self._walk(prefix, TEMPORARY)

    def _walk(self, prefix: str, left_out: str) -> Iterator[str]:
        folder, slash, name = prefix.rpartition("/")
        with _mapped(os.path.join(self._root, prefix)):
            for top, folders, names in os.walk(self._full(folder) if folder else self._root):
                relative = os.path.relpath(top, self._root)
                base = "" if relative == "." else f"{relative}/"
                start = f"{folder}{slash}{name}"
                folders[:] = [f for f in folders if f"{base}{f}" != left_out and _may_hold(f"{base}{f}/", start)]
                yield from (f"{base}{n}" for n in names if f"{base}{n}".startswith(start))

    def sizes(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Walk the folder and ask for each file."""
        for path in self.list(prefix):
            size = self.size(path)
            if size is not None:
                yield path, size

    def modified(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Walk the folder and ask for each file."""
        for path in self._walk(prefix, ""):
            with _mapped(self._full(path)), contextlib.suppress(FileNotFoundError):
                yield path, os.stat(self._full(path)).st_mtime_ns // 1_000

    def tail(self, path: str, num_bytes: int) -> bytes | None:
        """Read from there on."""
        with _mapped(self._full(path)):
            try:
                with open(self._full(path), "rb") as file:
                    file.seek(max(0, os.fstat(file.fileno()).st_size - num_bytes))
                    return file.read()
            except FileNotFoundError:
                return None

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
        """Delete what was being written when a process was killed; what another one is writing is locked."""
        folder = os.path.join(self._root, TEMPORARY)
        with _mapped(folder), contextlib.suppress(FileNotFoundError):
            for name in os.listdir(folder):
                _remove_unlocked(os.path.join(folder, name))

    def sync_folders(self, paths: Sequence[str]) -> None:
        """Sync each folder once; side by side, so that the disk joins their flushes."""
        folders = {os.path.dirname(self._full(path)) for path in paths}
        with ThreadPoolExecutor(_SYNC_THREADS) as pool:
            list(pool.map(_sync_if_there, folders))

    def _full(self, path: str) -> str:
        """The absolute path."""
        return os.path.join(self._root, *checked(path, self._root).split("/"))

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

    @contextlib.contextmanager
    def _written(self, content: Bytes) -> Iterator[str]:
        """A file with the content, on disk, under a name that is gone afterwards."""
        temporary, file = self._open_temporary()
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(file, view) :]
            os.fsync(file)
            yield temporary
        finally:
            _remove(temporary)
            os.close(file)

    def _open_temporary(self) -> tuple[str, int]:
        """A new file, open and locked: the lock is there as long as its writer lives, and tells `sweep` so."""
        while True:
            temporary = os.path.join(self._root, TEMPORARY, uuid.uuid4().hex)
            file = self._create(temporary)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                if os.fstat(file).st_nlink:
                    return temporary, file
            except OSError:
                os.close(file)
                _remove(temporary)
                raise
            os.close(file)  # a sweep was quicker than the lock

    def _create(self, temporary: str) -> int:
        """Make an empty file, and the folder where it is missing."""
        folder = os.path.dirname(temporary)
        if folder not in self._folders:
            self._make_folder(folder)
        try:
            return os.open(temporary, _NEW, 0o644)
        except FileNotFoundError:
            self._make_folder(folder)
            return os.open(temporary, _NEW, 0o644)


def _may_hold(folder: str, prefix: str) -> bool:
    return folder.startswith(prefix) or prefix.startswith(folder)


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _remove_unlocked(path: str) -> None:
    """Remove an unfinished file unless its writer lives."""
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove(path)
    except BlockingIOError:
        pass
    finally:
        os.close(file)


def _sync_if_there(folder: str) -> None:
    with _mapped(folder), contextlib.suppress(FileNotFoundError):
        _sync_folder(folder)


def _sync_folder(folder: str) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
