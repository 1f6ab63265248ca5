"""Where the lake's bytes lie: the `Storage` Protocol.

Law: a file appears under its name whole and durable, or not at all. Paths are relative, with slashes; none
leaves the root. Object storage has no rename and no folders: `rename` may be a copy and a delete.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from pyarrow.fs import FileSystem

from headgate.errors import PermanentError

Bytes = bytes | bytearray | memoryview

TEMPORARY = "_headgate/tmp"  # unfinished files, each locked by whoever writes it


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

    @property
    def is_remote(self) -> bool:
        """True where a call takes a round trip over the network, so that many are better made side by side."""
        ...

    @property
    def delta_options(self) -> dict[str, str] | None:
        """What delta-rs needs beside the root to open a table there, credentials of now among it; None: nothing."""
        ...

    def arrow_files(self) -> FileSystem:
        """The root as a file system of pyarrow, for reading.

        Raises:
            TransientError: there are no credentials at the moment.
        """
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

    def sizes(self, prefix: str) -> Iterator[tuple[str, int]]:
        """The paths of `list`, each with the bytes of its file; what vanishes meanwhile is left out."""
        ...

    def modified(self, prefix: str) -> Iterator[tuple[str, int]]:
        """All files that start with `prefix`, those under `TEMPORARY` too, each with when it was last written.

        In microseconds since 1970 UTC by the storage's clock; what vanishes meanwhile is left out.
        """
        ...

    def tail(self, path: str, num_bytes: int) -> bytes | None:
        """The last bytes of a file that is not empty, all of a shorter one; None where there is no such file."""
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
        """Delete unfinished files whose writers are gone."""
        ...

    def sync_folders(self, paths: Sequence[str]) -> None:
        """Make the names of these files durable, each folder once."""
        ...


def checked(path: str, root: str) -> str:
    """The path, where it is one of a file inside the lake.

    Raises:
        PermanentError: the path would leave the lake.
    """
    if not path or "\0" in path or any(part in ("", ".", "..") for part in path.split("/")):
        raise PermanentError(f"refused a path that could leave the lake {root}: {path!r}")
    return path
