"""The derived columns of an event, and positions as text. Pure, columnar."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.columns import one_array
from headgate.core.schema import TIMESTAMP
from headgate.records import NO_SUB, SEQUENCE_BYTES, ShardRange

DAY_US = 86_400_000_000  # microseconds
_LOW_DIGITS = 19  # decimal digits; a number with fewer fits 64 bits
_LOW_BYTES = 8  # a file's offset fits the last 8 of the 24 bytes


def enrich(parts: pa.Table, ranges: Sequence[ShardRange]) -> pa.Table:
    """Add what every saved row carries.

    Args:
        parts: validated DECODED.
        ranges: of the batch; `shard` is an index into them.

    Returns:
        `parts` with created_datetime (timestamp[us, UTC]), created_date and arrival_date (date32), source_name and
        shard_name (dictionary of string) and sequence_text (string, with `#n` inside a record).
    """
    created = pc.cast(parts["created_us"], TIMESTAMP)
    index = pa.array(np.asarray(parts["shard"]))
    added = {
        "created_datetime": created,
        "created_date": _date(np.asarray(pc.fill_null(parts["created_us"], 0))),
        "arrival_date": _date(np.asarray(parts["arrived_at"].cast(pa.int64()))),
        "source_name": pa.DictionaryArray.from_arrays(index, pa.array([r.shard.source for r in ranges], pa.string())),
        "shard_name": pa.DictionaryArray.from_arrays(index, pa.array([r.shard.name for r in ranges], pa.string())),
        "sequence_text": position_texts(sequence_bytes(parts["sequence"]), np.asarray(parts["sub"])),
    }
    for name, column in added.items():
        parts = parts.append_column(name, column)
    return parts


def _date(us: npt.NDArray[np.int64]) -> pa.Array:
    return pa.array((us // DAY_US).astype(np.int32)).cast(pa.date32())


def sequence_bytes(column: pa.ChunkedArray) -> npt.NDArray[np.uint8]:
    """A column of sequences as (n, 24) uint8, without a copy where it is one chunk."""
    array = one_array(column)
    data = array.buffers()[1]
    flat = np.frombuffer(data, dtype=np.uint8) if data is not None else np.zeros(0, dtype=np.uint8)
    start = array.offset * SEQUENCE_BYTES
    return flat[start : start + len(array) * SEQUENCE_BYTES].reshape(-1, SEQUENCE_BYTES)


def position_texts(sequences: npt.NDArray[np.uint8], subs: npt.NDArray[np.int32]) -> pa.Array:
    """Positions as decimal text, `#n` behind those inside a record.

    Args:
        sequences: (n, 24) uint8, big-endian integers.
        subs: (n) sub-numbers, NO_SUB where the record is one document.

    Returns:
        (n) string.
    """
    if not len(sequences):
        return pa.array([], pa.string())
    if not sequences[:, :-_LOW_BYTES].any():
        low = np.ascontiguousarray(sequences[:, -_LOW_BYTES:]).view(">u8").ravel().astype(np.uint64)
        texts = pa.array(low).cast(pa.string())
    else:
        whole = sequences.tobytes()
        steps = range(0, len(whole), SEQUENCE_BYTES)
        texts = pa.array([str(int.from_bytes(whole[i : i + SEQUENCE_BYTES], "big")) for i in steps], pa.string())
    inside = subs != NO_SUB
    if inside.any():
        numbered = pc.binary_join_element_wise(texts, pa.array(subs).cast(pa.string()), "#")
        texts = pc.if_else(pa.array(inside), numbered, texts)
    return texts


def parse_positions(texts: pa.ChunkedArray) -> tuple[npt.NDArray[np.void], npt.NDArray[np.int32]]:
    """The counterpart of `position_texts`.

    Args:
        texts: (n) string, as the tables hold them.

    Returns:
        (n) V24, the sequences, and (n) sub-numbers.
    """
    count = len(texts)
    subs = np.full(count, NO_SUB, dtype=np.int32)
    inside = np.flatnonzero(np.asarray(pc.match_substring(texts, "#")))
    if len(inside):
        split = pc.split_pattern(texts, "#")
        texts = pc.list_element(split, 0)
        subs[inside] = np.asarray(pc.list_element(split.take(pa.array(inside)), 1).cast(pa.int32()))
    out = np.zeros((count, SEQUENCE_BYTES), dtype=np.uint8)
    if (pc.max(pc.binary_length(texts)).as_py() or 0) < _LOW_DIGITS:
        out[:, -_LOW_BYTES:] = np.asarray(texts.cast(pa.uint64())).astype(">u8").view(np.uint8).reshape(-1, _LOW_BYTES)
    else:
        whole = b"".join(int(t).to_bytes(SEQUENCE_BYTES, "big") for t in texts.to_pylist())
        out = np.frombuffer(whole, dtype=np.uint8).reshape(-1, SEQUENCE_BYTES)
    return np.ascontiguousarray(out).view(f"V{SEQUENCE_BYTES}").ravel(), subs
