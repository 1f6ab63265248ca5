"""One partition's rows as a Parquet file: zstd level 1, dictionaries only where values repeat.

Statistics are kept for times only, so that no minimum or maximum of a text shows in a file's footer or the
log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from headgate.core.partition import Part
from headgate.core.schema import TABLES

SUFFIX = ".parquet"

_REPEATING = frozenset(
    {
        "event_name",
        "event_type",
        "event_subtype",
        "source",
        "shard",
        "original_shard",
        "reason",
        "headgate_version",
        "entry_id",
    }
)
_MAX_DICTIONARY = 128  # values; each file of a batch carries the whole dictionary
_TIMES = frozenset(f.name for schema in TABLES.values() for f in schema if pa.types.is_timestamp(f.type))


def prepare(table: pa.Table) -> pa.Table:
    """Encode repeating columns once for the whole batch: sorting and writing them then costs little."""
    for i, name in enumerate(table.column_names):
        column = table.column(i)
        if name not in _REPEATING and not pa.types.is_dictionary(column.type):
            continue
        array = column.combine_chunks()
        encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
        if len(encoded.dictionary) <= _MAX_DICTIONARY:
            table = table.set_column(i, name, encoded)
        elif encoded is array:
            table = table.set_column(i, name, array.dictionary_decode())
    return table


def encode(rows: pa.Table) -> pa.Buffer:
    """The rows of one partition, without its partition columns, as a file.

    Args:
        rows: columns as in core/schema.py; repeating ones may be dictionaries, and are read back as plain
            text.
    """
    names = rows.column_names
    nested = {field.name for field in rows.schema if pa.types.is_map(field.type)}
    repeating = [name for name in names if name in _REPEATING]
    sink = pa.BufferOutputStream()
    pq.write_table(
        rows,
        sink,
        # a dictionary page is too small to gain from zstd, whose set-up costs more than the page
        compression={
            leaf: "none" if name in _REPEATING else "zstd"
            for name in names
            for leaf in ((f"{name}.key_value.key", f"{name}.key_value.value") if name in nested else (name,))
        },
        use_dictionary=repeating or False,
        write_statistics=[name for name in names if name in _TIMES] or False,
        store_schema=False,
    )
    return sink.getvalue()


def repeating_of(schema: pa.Schema) -> list[str]:
    """The columns whose values repeat, so that a dictionary is worth it."""
    return [name for name in schema.names if name in _REPEATING]


def times_of(schema: pa.Schema) -> list[str]:
    """The columns that hold times."""
    return [field.name for field in schema if pa.types.is_timestamp(field.type)]


def bounds(rows: int, found: Mapping[str, tuple[int, int] | None]) -> dict[str, Any]:
    """Delta's statistics of one file, as `time_statistics` gives them.

    Args:
        rows: number of rows.
        found: least and greatest time in microseconds by column; None where a column has none.
    """
    known = {name: pair for name, pair in found.items() if pair is not None}
    return {
        "numRecords": rows,
        "minValues": {name: _instants(np.array([low // 1_000]))[0] for name, (low, _) in known.items()},
        "maxValues": {name: _instants(np.array([-(-high // 1_000)]))[0] for name, (_, high) in known.items()},
        "nullCount": dict.fromkeys(known, 0),
    }


def time_statistics(table: pa.Table, parts: Sequence[Part]) -> list[dict[str, Any]]:
    """Delta's statistics of each partition's file: rows, and bounds of its times in ms, rounded outwards.

    Args:
        table: sorted as `core.partition.split` gives it.
        parts: where the partitions stand in it; they cover it without gaps.
    """
    written: list[dict[str, Any]] = [
        {"numRecords": part.length, "minValues": {}, "maxValues": {}, "nullCount": {}} for part in parts
    ]
    starts = [part.start for part in parts]
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        if name not in _TIMES or column.null_count or not parts:
            continue  # bounds are optional, and a column with nulls has none here
        values = column.cast(pa.int64()).to_numpy()
        minima = _instants(np.minimum.reduceat(values, starts) // 1_000)
        maxima = _instants(-(-np.maximum.reduceat(values, starts) // 1_000))
        for stats, low, high in zip(written, minima, maxima, strict=True):
            stats["minValues"][name], stats["maxValues"][name], stats["nullCount"][name] = low, high, 0
    return written


def _instants(milliseconds: npt.NDArray[np.int64]) -> list[str]:
    texts = pa.array(milliseconds, pa.timestamp("ms")).cast(pa.string()).to_pylist()
    return [f"{text.replace(' ', 'T')}Z" for text in texts]
