"""Objects on S3 as a source: one, all below a prefix, or a glob of keys.

Law: an object is whole as soon as it is there, and is replaced as a whole. What is open is one version of it, read
in blocks that ask for that version; so no reader sees a mixture of two.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from fnmatch import fnmatchcase
from typing import Protocol

from headgate.errors import ConfigError, PermanentError, SourceMissingError, TransientError
from headgate.source.place import LAKE_MARK, Listed, ReplacedError, is_read
from headgate.source.reader import BLOCK_BYTES

SCHEME = "s3://"
AHEAD_BYTES = 1 << 20  # objects up to this size are fetched ahead, side by side
THREADS = 16  # of them; a request waits for its answer, not for a core


class Described(Protocol):
    """What the service says of an object; see `lake.s3_object.S3Object`."""

    @property
    def path(self) -> str: ...  # noqa: D102
    @property
    def size(self) -> int: ...  # noqa: D102
    @property
    def modified_us(self) -> int: ...  # noqa: D102
    @property
    def version(self) -> str: ...  # noqa: D102


class Bucket(Protocol):
    """A bucket as it is read. Every method raises TransientError where it does not answer, ConfigError or
    PermanentError where waiting cannot help.
    """

    def objects(self, prefix: str) -> Iterator[Described]:
        """All objects whose key starts with `prefix`, page by page."""
        ...

    def look(self, path: str) -> Described | None:
        """One object; None where there is none."""
        ...

    def fetch(self, path: str, start: int, stop: int, version: str | None) -> tuple[bytes, Described] | None:
        """A range of bytes of one version, or of any; None where there is no such object in that version."""
        ...


class BucketFiles:
    """Objects of a bucket; see Files."""

    may_grow = False

    def __init__(self, uri: str, bucket: Bucket) -> None:
        """Ask for nothing yet.

        Args:
            uri: `s3://bucket/key` of an object, `s3://bucket/prefix` for all below it, or a glob of keys, in which
                wildcards mean what they mean in a path.
            bucket: the bucket that the URI names.

        Raises:
            ConfigError: no key can be meant.
        """
        self.name = uri.rstrip("/")
        self._root_uri = SCHEME + uri.removeprefix(SCHEME).partition("/")[0]
        self._bucket = bucket
        self._ahead: dict[Listed, Future[tuple[bytes, Described] | None]] = {}
        self._threads: ThreadPoolExecutor | None = None
        self._key = uri.removeprefix(SCHEME).partition("/")[2]
        self._is_folder = not self._key or self._key.endswith("/")
        self._key = self._key.removesuffix("/")
        if self._key and any(part in ("", ".", "..") for part in self._key.split("/")):
            raise ConfigError(f"{uri}: a key with an empty part, . or .. cannot be read: name a prefix without one")

    def listing(self) -> list[Listed]:
        """See Files. One request for each 1,000 keys below the prefix, and one for a single object."""
        if not self._is_folder and (found := self._bucket.look(self._key)):
            return [self._listed(found, self._key.rpartition("/")[0])]
        if not glob.has_magic(self._key):
            files = self._below(self._key)
            if not (files or self._is_folder) and next(self._bucket.objects(f"{self._key}/"), None) is None:
                raise SourceMissingError(f"no object or prefix at {self.name}: name an existing one, or a glob")
            return sorted(file for file in files if not _is_hidden(file.name))
        parts = self._key.split("/")
        depth = next(number for number, part in enumerate(parts) if glob.has_magic(part))
        pattern = parts[depth:] + (["**"] if self._is_folder else [])
        files = self._below("/".join(parts[:depth]))
        return sorted(file for file in files if matches(file.name.split("/"), pattern))

    def _below(self, folder: str) -> list[Listed]:
        """All files below a prefix that are read, lakes left out."""
        files, lakes = [], set()
        for found in self._bucket.objects(f"{folder}/" if folder else ""):
            file = self._listed(found, folder)
            if file.name.endswith(f"/{LAKE_MARK}"):
                lakes.add(file.name.removesuffix(f"/{LAKE_MARK}"))
            elif file.size and is_read(file.name):  # empty ones mark folders, and hold nothing in any case
                files.append(file)
        return [file for file in files if lakes.isdisjoint(_above(file.name))] if lakes else files

    def _listed(self, found: Described, folder: str) -> Listed:
        return Listed(
            name=found.path[len(folder) + 1 :] if folder else found.path,
            path=f"{self._root_uri}/{found.path}",
            size=found.size,
            modified_us=found.modified_us,
            version=found.version,
        )

    def expect(self, files: Sequence[Listed]) -> None:
        """See Files. Small objects would else wait for one answer after the other."""
        small = [file for file in files if file.size <= AHEAD_BYTES][:THREADS]
        if len(small) > 1 and self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, "objects")
        if self._threads is not None:
            submit = self._threads.submit
            self._ahead = {file: self._ahead.get(file) or submit(self._first, file, BLOCK_BYTES) for file in small}

    def _first(self, file: Listed, first_bytes: int) -> tuple[bytes, Described] | None:
        return self._bucket.fetch(file.path.removeprefix(f"{self._root_uri}/"), 0, first_bytes, None)

    def open(self, file: Listed, first_bytes: int) -> OpenObject:
        """See Files. One request, which brings the first bytes."""
        fetched = self._ahead.pop(file, None)
        answer = fetched.result() if fetched else self._first(file, first_bytes)
        if answer is None:
            raise FileNotFoundError(file.path)
        if not answer[1].version:
            raise PermanentError(f"{file.path} has no ETag: this storage cannot tell objects from those in their place")
        return OpenObject(self._bucket, *answer)


class OpenObject:
    """One version of an object, read in blocks of BLOCK_BYTES, of which one is held; see Opened."""

    def __init__(self, bucket: Bucket, block: bytes, found: Described) -> None:
        """Keep the first block and what it is a part of."""
        self._bucket, self._found = bucket, found
        self._block, self._block_at = memoryview(block), 0
        self._at = 0

    @property
    def size(self) -> int:
        """See Opened."""
        return self._found.size

    @property
    def modified_us(self) -> int:
        """See Opened."""
        return self._found.modified_us

    @property
    def content(self) -> str:
        """See Opened: the ETag."""
        return self._found.version

    def read(self, size: int, /) -> bytes:
        """See Raw."""
        return bytes(self._next(size))

    def readinto(self, buffer: memoryview, /) -> int:
        """See Raw."""
        piece = self._next(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def _next(self, size: int) -> memoryview:
        """The next bytes, at most `size`; none at the end."""
        if not 0 <= self._at - self._block_at < len(self._block) and self._at < self.size:
            stop = min(self._at + BLOCK_BYTES, self.size)
            answer = self._bucket.fetch(self._found.path, self._at, stop, self._found.version)
            if answer is None:
                raise ReplacedError
            if len(answer[0]) != stop - self._at:
                raise TransientError(f"{self._found.path}: another number of bytes came than was asked for")
            self._block, self._block_at = memoryview(answer[0]), self._at
        start = self._at - self._block_at
        piece = self._block[start : start + size]
        self._at += len(piece)
        return piece

    def seek(self, offset: int, /) -> int:
        """See Opened."""
        self._at = offset
        return offset

    def close(self) -> None:
        """See Opened."""
        self._block = memoryview(b"")


def matches(name: Sequence[str], pattern: Sequence[str]) -> bool:
    """True where a path fits a glob, part by part; `**` stands for any number of folders, a last one for all below.

    As in a shell, no wildcard stands for a name that begins with a dot.
    """
    if not pattern:
        return not name
    first, rest = pattern[0], pattern[1:]
    if first == "**":
        hidden = next((number for number, part in enumerate(name) if part.startswith(".")), len(name))
        return any(matches(name[count:], rest) for count in range(hidden + 1))
    if not name or (name[0].startswith(".") and not first.startswith(".")):
        return False
    return fnmatchcase(name[0], first) and matches(name[1:], rest)


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _above(name: str) -> Iterator[str]:
    """The folders in which a file lies."""
    while "/" in name:
        name = name.rpartition("/")[0]
        yield name
