"""Which events give a common field twice (the warning `duplicate_key`). Pure.

Looking at every key of every event would cost more than decoding it. A field is given twice only where its name
stands twice between quotes, or once in an escaped spelling; only such rows are read key by key.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headgate.core.envelope import Envelope

_LOOK_BYTES = 1 << 18  # bytes looked at in one numpy pass, so that the masks stay in the cache
_WORD = 8  # bytes
_QUOTE, _BACKSLASH = 0x22, 0x5C

_raw_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def repeated_rows(
    payload: pa.Array,
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    wanted: npt.NDArray[np.bool_],
    envelope: Envelope,
) -> npt.NDArray[np.int64]:
    """Rows whose event gives one of the common fields twice.

    Args:
        payload: event texts, large_binary (n).
        data: the bytes behind them.
        offsets: (n + 1) where each begins in `data`.
        wanted: (n) rows to look at: those that were decoded.
        envelope: the fields' paths; the leaf of a dotted path is looked for by its last part.

    Returns:
        Indices of rows.
    """
    candidates = np.zeros(len(payload), dtype=np.bool_)
    names = {path[-1].encode() for path in envelope.paths.values()}
    for length in {len(name) for name in names}:
        pairs = _quote_pairs(data, length)
        for spots in _with_name(data, pairs, sorted(name for name in names if len(name) == length)):
            candidates |= _per_row(spots, offsets) > 1
    candidates |= _per_row(_escaped_ascii(data), offsets) > 0
    rows = np.flatnonzero(candidates & wanted)
    return np.array([i for i in rows if gives_twice(payload[int(i)].as_py(), envelope)], dtype=np.int64)


def _per_row(positions: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    if not len(positions):
        return np.zeros(len(offsets) - 1, dtype=np.int64)
    return np.diff(np.searchsorted(positions, offsets))


def _quote_pairs(data: npt.NDArray[np.uint8], length: int) -> npt.NDArray[np.int64]:
    """Positions of a quote with another one right behind the `length` bytes after it."""
    found = [np.zeros(0, dtype=np.int64)]
    for start in range(0, len(data) - length - 1, _LOOK_BYTES):
        is_quote = data[start : start + _LOOK_BYTES + length + 1] == _QUOTE
        found.append(np.flatnonzero(is_quote[: -length - 1] & is_quote[length + 1 :]) + start)
    return np.concatenate(found)


def _with_name(
    data: npt.NDArray[np.uint8], pairs: npt.NDArray[np.int64], names: Sequence[bytes]
) -> Iterator[npt.NDArray[np.int64]]:
    """For each name (all of one length) those of the pairs of quotes that hold it."""
    length = len(names[0])
    near_end = pairs > len(data) - 1 - _WORD
    # Eight bytes at a time, from unaligned words over the same memory.
    words = np.ndarray(shape=(max(0, len(data) - _WORD + 1),), dtype="<u8", buffer=data, strides=(1,))
    safe = pairs[~near_end]
    heads = words[safe + 1]
    mask = np.uint64((1 << (8 * min(length, _WORD))) - 1)
    for name in names:
        wanted = np.uint64(int.from_bytes(name[:_WORD], "little"))
        spots = safe[(heads & mask) == wanted]
        for i in range(_WORD, length):
            spots = spots[data[spots + 1 + i] == name[i]]
        last = [p for p in pairs[near_end].tolist() if data[p + 1 : p + 1 + length].tobytes() == name]
        yield np.concatenate([spots, np.array(last, dtype=np.int64)])


def _escaped_ascii(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Positions of `\\u0020` to `\\u007f`: an ASCII character in disguise, maybe of a field's name."""
    found = [np.zeros(0, dtype=np.int64)]
    for start in range(0, len(data), _LOOK_BYTES):
        found.append(np.flatnonzero(data[start : start + _LOOK_BYTES] == _BACKSLASH) + start)
    at = np.concatenate(found)
    at = at[at < len(data) - 5]
    for i, byte in enumerate(b"u00", start=1):
        at = at[data[at + i] == byte]
    return at[(data[at + 4] >= ord("2")) & (data[at + 4] <= ord("7"))]


def gives_twice(document: bytes, envelope: Envelope) -> bool:
    """True where an object gives one of the common fields twice."""
    for path in envelope.paths.values():
        inner = document
        for part in path[:-1]:
            inner = (
                bytes(memoryview(_raw_members(inner).get(part, b"{}"))) if inner.startswith(b"{") else b"{}"
            )
        if inner.startswith(b"{") and _has_twice(inner, path[-1]):
            return True
    return False


def _has_twice(document: bytes, name: str) -> bool:
    """True where an object's own keys hold a name twice. The usual spacings are told by their length alone."""
    members = _raw_members(document)
    if name not in members:
        return False
    compact = 1 + sum(len(memoryview(v)) + len(k.encode()) + 4 for k, v in members.items())
    if len(document) in (compact, compact + 2 * len(members) - 1):
        return False
    keys = [key for key, _ in json.loads(document, object_pairs_hook=_Pairs, parse_int=str, parse_float=str)]
    return keys.count(name) > 1


class _Pairs(list[tuple[str, object]]):
    """An object as its pairs, repeated keys and all."""
