"""Local files as a source: one file, a folder with all below it, or a glob."""

from __future__ import annotations

import errno
import glob
import io
import os
import stat
from collections.abc import Iterator, Sequence

from headgate.errors import ConfigError, SourceMissingError, TransientError
from headgate.source.place import LAKE_MARK, Listed, is_read


class LocalFiles:
    """What a path names on this machine; see Files."""

    may_grow = True

    def __init__(self, path: str) -> None:
        """Look at nothing yet; `path` is a file, a folder or a glob."""
        self._path = path
        self.name = as_text(os.path.abspath(path))

    def listing(self) -> list[Listed]:
        """See Files, and `list_files`."""
        return list_files(self._path)

    def expect(self, files: Sequence[Listed]) -> None:
        """See Files: nothing is far away."""

    def open(self, file: Listed, first_bytes: int) -> LocalFile:
        """See Files."""
        return LocalFile(file.path)


class LocalFile(io.FileIO):
    """An open local file; see Opened. It is the file, not its path, that is open."""

    content = None

    def __init__(self, path: str) -> None:
        """Open it."""
        super().__init__(path)
        status = os.fstat(self.fileno())
        self.size, self.modified_us = status.st_size, status.st_mtime_ns // 1000


def list_files(source: str) -> list[Listed]:
    """Find the files of a source, sorted by name.

    Args:
        source: path of a file (of any name), a folder, or a glob (`**` for any number of folders). Lakes below it
            are left out.

    Raises:
        SourceMissingError: a path without wildcards where nothing is.
        ConfigError: a path of what is no file.
        TransientError: a folder that cannot be listed.
    """
    if os.path.isdir(source):
        paths, root = _walk(source), source
    elif os.path.exists(source) or not glob.has_magic(source):
        if not os.path.lexists(source):
            raise SourceMissingError(f"no file or folder at {source}: name an existing one, or a glob in quotes")
        if os.path.exists(source) and not os.path.isfile(source):
            raise ConfigError(f"{source} is a pipe or device, no file: give SOURCE - and read it from standard input")
        paths, root = iter([source]), os.path.dirname(source) or "."
    else:
        root = glob_root(source)
        matches = glob.iglob(source, recursive=True)
        paths = _outside_lakes((path for path in matches if is_read(path) and os.path.isfile(path)), root)
    found = (_stat(path, os.path.relpath(path, root)) for path in paths)
    return sorted(file for file in found if file)


def as_text(path: str) -> str:
    """The path itself; where it is no UTF-8, a text that begins with `//`, as no other path does."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return "//" + os.fsencode(path.replace("\\", "\\\\")).decode("utf-8", "backslashreplace")
    return path


def glob_root(pattern: str) -> str:
    """The folder above a glob's first wildcard: shards are named relative to it."""
    root = os.path.dirname(pattern)
    while glob.has_magic(root):
        root = os.path.dirname(root)
    return root or "."


def _walk(folder: str) -> Iterator[str]:
    def fail(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise TransientError(f"cannot list {error.filename}: {error.strerror}; is it readable?") from error

    for parent, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [f for f in folders if not f.startswith(".") and not _is_lake(os.path.join(parent, f))]
        for name in names:
            if is_read(name):
                yield os.path.join(parent, name)


def _is_lake(folder: str) -> bool:
    """True for a lake: one below its source would be fed with its own files, for ever while following."""
    return os.path.exists(os.path.join(folder, LAKE_MARK))


def _outside_lakes(paths: Iterator[str], root: str) -> Iterator[str]:
    known: dict[str, bool] = {}

    def is_inside(folder: str) -> bool:
        if folder not in known:
            above = os.path.dirname(folder)
            known[folder] = folder not in (root, above) and (_is_lake(folder) or is_inside(above))
        return known[folder]

    return (path for path in paths if not is_inside(os.path.dirname(path)))


def _stat(path: str, name: str) -> Listed | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            return None  # a link to itself leads nowhere, like one to a file that is gone
        raise TransientError(f"cannot look at {path}: {error.strerror}; is its folder readable?") from error
    if not stat.S_ISREG(status.st_mode):
        return None  # a pipe would be waited for for ever, and gives its bytes only once
    return Listed(as_text(name), path, status.st_size, status.st_mtime_ns // 1000, f"{status.st_dev}:{status.st_ino}")
