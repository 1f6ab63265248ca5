"""The files that a SOURCE names: one file, a folder with all below it, or a glob."""

from __future__ import annotations

import errno
import glob
import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from headgate.errors import ConfigError, TransientError

ENDINGS = (".json", ".jsonl", ".ndjson")
COMPRESSIONS = (".gz", ".zst")


class Listed(NamedTuple):
    """One file as the listing found it; `name` is its path relative to the source, see `as_text`."""

    name: str
    path: str
    size: int
    modified_us: int
    inode: tuple[int, int]


def is_read(path: str) -> bool:
    """True where a folder's or glob's file is one that is read: JSON by its ending, not hidden."""
    base = os.path.basename(path)
    for ending in COMPRESSIONS:
        base = base.removesuffix(ending)
    return base.endswith(ENDINGS) and not base.startswith(".")


def is_document_file(path: str) -> bool:
    """True for `.json`, compressed or not: it may hold documents over several lines."""
    for ending in COMPRESSIONS:
        path = path.removesuffix(ending)
    return path.endswith(".json")


def list_files(source: str) -> list[Listed]:
    """Find the files of a source, sorted by name.

    Args:
        source: path of a file (of any name), a folder, or a glob (`**` for any number of folders). Lakes below it
            are left out.

    Raises:
        ConfigError: a path without wildcards where nothing is.
        TransientError: a folder that cannot be listed.
    """
    if os.path.isdir(source):
        paths, root = _walk(source), source
    elif os.path.exists(source) or not glob.has_magic(source):
        if not os.path.lexists(source):
            raise ConfigError(f"no file or folder at {source}: name an existing one, or a glob in quotes")
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
    return os.path.exists(os.path.join(folder, "_headgate", "format.json"))


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
    return Listed(as_text(name), path, status.st_size, status.st_mtime_ns // 1000, (status.st_dev, status.st_ino))
