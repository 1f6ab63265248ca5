"""Where the files of a source lie: the `Files` Protocol, and which names are read."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from headgate.source.inflate import Raw

ENDINGS = (".json", ".jsonl", ".ndjson")
COMPRESSIONS = (".gz", ".zst")
LAKE_MARK = "_headgate/format.json"  # a folder that has it is a lake


class ReplacedError(Exception):
    """Another file has taken the place of the one that is open: it is opened anew, and looked at from its start."""


class Listed(NamedTuple):
    """One file as a listing found it.

    Attributes:
        name: its path relative to the source.
        path: where it lies, for its place and for people.
        size: bytes.
        modified_us: microseconds since 1970.
        version: another one where another file has this path; `Opened.content` where the place has that.
    """

    name: str
    path: str
    size: int
    modified_us: int
    version: str


class Opened(Raw, Protocol):
    """An open file.

    Guarantee: all bytes are of one file, whatever happens to its path meanwhile. What cannot be read raises OSError
    or TransientError; ReplacedError where no more bytes of this file can be had.
    """

    @property
    def size(self) -> int:
        """Bytes when it was opened."""
        ...

    @property
    def modified_us(self) -> int:
        """Its modification time when it was opened."""
        ...

    @property
    def content(self) -> str | None:
        """A name that no file with other bytes has; None where bytes may be added in place."""
        ...

    def seek(self, offset: int, /) -> int:
        """Go to an offset, which is returned."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Files(Protocol):
    """The files of a source, in a place."""

    @property
    def name(self) -> str:
        """What names the place, and the source unless it has another name: absolute path or URI."""
        ...

    @property
    def may_grow(self) -> bool:
        """True where files are written piece by piece; False where a file is whole as soon as it is there."""
        ...

    def listing(self) -> list[Listed]:
        """All files, sorted by name; lakes below the source are left out.

        Raises:
            SourceMissingError: nothing is there.
            ConfigError: what is named cannot be a source.
            TransientError: the place does not answer, or cannot be listed.
        """
        ...

    def expect(self, files: Sequence[Listed]) -> None:
        """These are opened next, most likely: what is far away may be fetched ahead."""
        ...

    def open(self, file: Listed, first_bytes: int) -> Opened:
        """Open whatever has this path now.

        Args:
            file: as a listing found it.
            first_bytes: how many will be read for certain.

        Raises:
            FileNotFoundError: nothing has this path any more.
            OSError: it cannot be opened.
            TransientError: the same, said in a sentence.
        """
        ...


def is_read(path: str) -> bool:
    """True where a folder's or glob's file is one that is read: JSON by its ending, not hidden."""
    base = posixpath.basename(path)
    for ending in COMPRESSIONS:
        base = base.removesuffix(ending)
    return base.endswith(ENDINGS) and not base.startswith(".")


def is_document_file(path: str) -> bool:
    """True for `.json`, compressed or not: it may hold documents over several lines."""
    for ending in COMPRESSIONS:
        path = path.removesuffix(ending)
    return path.endswith(".json")
