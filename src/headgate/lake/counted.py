"""A storage that notes which data files are opened: what a query reads, and what it leaves out."""

from __future__ import annotations

from typing import Any, cast

import pyarrow as pa
from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileSystemHandler, PyFileSystem

from headgate.lake.storage import Storage


class CountedFiles:
    """Files that were opened through a storage's `arrow_files`. May be used by many threads."""

    def __init__(self, storage: Storage) -> None:
        """Nothing was opened yet.

        Args:
            storage: whose files are counted.
        """
        self._inner = storage
        self._opened: set[str] = set()

    @property
    def storage(self) -> Storage:
        """The same storage; what is opened through it is noted."""
        return cast(Storage, _Noting(self._inner, self._opened))

    def number(self, table: str) -> int:
        """How many files of a table were opened."""
        return sum(path.startswith(f"{table}/") for path in self._opened)

    @property
    def tables(self) -> list[str]:
        """Tables of which files were opened, sorted."""
        parts = (path.split("/") for path in self._opened)
        return sorted({"/".join(part[:2]) if part[0] == "analytics" else part[0] for part in parts})


class _Noting:
    def __init__(self, inner: Storage, opened: set[str]) -> None:
        self._inner, self._opened = inner, opened

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def arrow_files(self) -> FileSystem:
        return PyFileSystem(_Handler(self._inner.arrow_files(), self._opened))


class _Handler(FileSystemHandler):  # type: ignore[misc]  # pyarrow has no types
    """Reading only."""

    def __init__(self, files: FileSystem, opened: set[str]) -> None:
        self._files, self._opened = files, opened

    def get_type_name(self) -> str:
        return str(self._files.type_name)

    def normalize_path(self, path: str) -> str:
        return str(self._files.normalize_path(path))

    def get_file_info(self, paths: list[str]) -> list[FileInfo]:
        return list(self._files.get_file_info(paths))

    def get_file_info_selector(self, selector: FileSelector) -> list[FileInfo]:
        return list(self._files.get_file_info(selector))

    def open_input_file(self, path: str) -> pa.NativeFile:
        self._opened.add(path)
        return self._files.open_input_file(path)

    def open_input_stream(self, path: str) -> pa.NativeFile:
        self._opened.add(path)
        return self._files.open_input_stream(path, compression=None)

    def _refused(self, *_: object, **__: object) -> Any:
        raise NotImplementedError("this storage is only read")

    create_dir = delete_dir = delete_dir_contents = delete_root_dir_contents = _refused
    delete_file = move = copy_file = open_output_stream = open_append_stream = _refused
