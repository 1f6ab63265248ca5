"""Partition folders: escaping of values, and cutting a table into its partitions. Pure.

Law: `unescape(escape(value)) == value`, and no escaped value is hidden, a parent folder or a reader's null.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
import pyarrow as pa

MAX_VALUE_BYTES = 240  # bytes of an escaped value; a folder name holds 255 with `event_type=` before it

_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-")
_NOT_FIRST = frozenset(b"_.")  # readers skip names that start so; `..` is the parent; `__HIVE_…` means null
_NOT_LAST = frozenset(b".")  # Windows and some object-store tools drop it


class Part(NamedTuple):
    """One partition of a sorted table: rows `start` to `start + length`.

    Attributes:
        values: the partition's values in the order of its columns, as sent; dates as ISO text.
        start: first row.
        length: number of rows.
    """

    values: tuple[str, ...]
    start: int
    length: int


def escape(value: str) -> str:
    """Make a folder name of a partition value.

    ASCII letters, digits and `_.-` stay, anything else becomes its UTF-8 bytes percent-encoded; so do `_`
    and `.` in front and `.` at the end. Hive-style readers (pyarrow, DuckDB, polars, Spark) decode it to
    the same value.
    """
    encoded = value.encode()
    last = len(encoded) - 1
    return "".join(
        chr(byte)
        if byte in _PLAIN and not (i == 0 and byte in _NOT_FIRST) and not (i == last and byte in _NOT_LAST)
        else f"%{byte:02X}"
        for i, byte in enumerate(encoded)
    )


def unescape(name: str) -> str:
    """Give the partition value back, exactly as it was sent."""
    return unquote(name, errors="strict")


def fits(value: str) -> bool:
    """True where the value, escaped, is a folder name that every file system holds; '' is none."""
    return 0 < len(escape(value)) <= MAX_VALUE_BYTES


def folder(columns: Sequence[str], values: Sequence[str]) -> str:
    """The Hive-style folder of a partition, without slashes around it; '' for an unpartitioned table."""
    return "/".join(f"{column}={escape(value)}" for column, value in zip(columns, values, strict=True))


def split(table: pa.Table, columns: Sequence[str]) -> tuple[pa.Table, list[Part]]:
    """Sort a table by its partitions, keeping the order of rows within each.

    Args:
        table: any columns; the partition columns are string or date32 (or dictionaries of these) without
            nulls.
        columns: the partition columns, outermost first; none for a table that is one partition.

    Returns:
        The table without its partition columns, sorted, and where in it each partition stands; no partition
        is empty.

    Raises:
        ValueError: a partition column holds a null.
    """
    if table.num_rows == 0:
        return table.drop_columns(list(columns)), []
    if not columns:
        return table, [Part((), 0, table.num_rows)]
    code = np.zeros(table.num_rows, dtype=np.int64)
    dictionaries: list[list[str]] = []
    for column in columns:
        indices, values = _codes(table.column(column), column)
        code = code * len(values) + indices
        dictionaries.append(values)
    rest = table.drop_columns(list(columns)).combine_chunks()
    is_sorted = bool((code[1:] >= code[:-1]).all())
    if not is_sorted:
        order = np.argsort(_narrow(code), kind="stable")
        code, rest = code[order], rest.take(pa.array(order))
    starts = [0, *(np.flatnonzero(np.diff(code)) + 1).tolist()]
    ends = [*starts[1:], table.num_rows]
    parts = [
        Part(_decode(int(code[start]), dictionaries), start, end - start)
        for start, end in zip(starts, ends, strict=True)
    ]
    return rest, parts


def _codes(column: pa.ChunkedArray, name: str) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Each row's number in the list of distinct values, and that list as text."""
    if column.null_count:
        raise ValueError(f"partition column {name} holds a null")
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0)
    encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), [
        str(v) for v in encoded.dictionary.to_pylist()
    ]


def _narrow(code: npt.NDArray[np.int64]) -> npt.NDArray[np.integer]:
    """The smallest type that holds the codes: numpy sorts 16-bit integers by radix, ten times faster."""
    return code.astype(np.uint16) if int(code.max()) < 1 << 16 else code


def _decode(code: int, dictionaries: Sequence[Sequence[str]]) -> tuple[str, ...]:
    values: list[str] = []
    for dictionary in reversed(dictionaries):
        code, index = divmod(code, len(dictionary))
        values.append(dictionary[index])
    return tuple(reversed(values))
