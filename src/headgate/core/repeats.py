"""Which events give a common field twice (the warning `duplicate_key`). Pure.

Looking at every key of every event would cost more than decoding it. A field is given twice only where its name
stands twice between quotes, or once in an escaped spelling; only such rows are read key by key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.envelope import Envelope

_LOOK_BYTES = 1 << 18  # bytes looked at in one numpy pass, so that the masks stay in the cache
_WORD = 8  # bytes
_QUOTE, _BACKSLASH = 0x22, 0x5C

_raw_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def repeated_rows(
    payload: pa.Array,
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    odd: npt.NDArray[np.bool_],
    given: Mapping[str, int],
    envelope: Envelope,
) -> npt.NDArray[np.int64]:
    """Rows whose event gives one of the common fields twice.

    Args:
        payload: event texts, large_binary (n).
        data: the bytes behind them.
        offsets: (n + 1) where each begins in `data`.
        odd: (n) rows that were not decoded; they are left out.
        given: how many decoded rows gave each field.
        envelope: the fields' paths; the leaf of a dotted path is looked for by its last part.

    Returns:
        Indices of rows.
    """
    if odd.all():
        return np.zeros(0, dtype=np.int64)
    candidates = np.zeros(len(payload), dtype=np.bool_)
    names = {path[-1].encode(): field for field, path in envelope.paths.items()}
    odd_texts = [payload[i].as_py() for i in np.flatnonzero(odd).tolist()]
    escaped = _escaped_ascii(data)
    for name, spots in _spots(data, sorted(names)).items():
        in_odd = sum(text.count(b'"' + name + b'"') for text in odd_texts)
        # The usual case: as often as it was given, so once in each row that gives it.
        if len(escaped) or len(spots) - in_odd != given[names[name]]:
            candidates |= _per_row(spots, offsets) > 1
    candidates |= _per_row(escaped, offsets) > 0
    rows = np.flatnonzero(candidates & ~odd)
    return np.array([i for i in rows if gives_twice(payload[int(i)].as_py(), envelope)], dtype=np.int64)


def _per_row(positions: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    if not len(positions):
        return np.zeros(len(offsets) - 1, dtype=np.int64)
    return np.diff(np.searchsorted(positions, offsets))


def _spots(data: npt.NDArray[np.uint8], names: Sequence[bytes]) -> dict[bytes, npt.NDArray[np.int64]]:
    """Where each name stands between quotes. Block by block, so that a block stays in the cache."""
    found = {name: [np.zeros(0, dtype=np.int64)] for name in names}
    by_length = {len(name): [n for n in names if len(n) == len(name)] for name in names}
    overlap = max(by_length) + 2 + _WORD
    for start in range(0, len(data), _LOOK_BYTES):
        block = data[start : start + _LOOK_BYTES + overlap]
        if len(block) < _LOOK_BYTES + overlap:
            block = np.concatenate([block, np.zeros(overlap, dtype=np.uint8)])
        is_quote = block == _QUOTE
        # Eight bytes at a time: unaligned words over the same memory.
        words = np.ndarray(shape=(len(block) - _WORD + 1,), dtype="<u8", buffer=block, strides=(1,))
        for length, same in by_length.items():
            last = min(_LOOK_BYTES, len(block) - length - 1 - _WORD)
            pairs = np.flatnonzero(is_quote[:last] & is_quote[length + 1 : length + 1 + last])
            heads = words[pairs + 1]
            mask = np.uint64((1 << (8 * min(length, _WORD))) - 1)
            for name in same:
                spots = pairs[(heads & mask) == np.uint64(int.from_bytes(name[:_WORD], "little"))]
                for i in range(_WORD, length):
                    spots = spots[block[spots + 1 + i] == name[i]]
                found[name].append(spots + start)
    return {name: np.concatenate(some) for name, some in found.items()}


def _escaped_ascii(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    r"""Positions of `\u0020` to `\u007f`: an ASCII character in disguise, maybe of a field's name."""
    # A regular expression over all of it as one text is five times as fast as looking for backslashes in numpy.
    bounds = pa.py_buffer(np.array([0, len(data)], dtype=np.int64))
    whole = pa.Array.from_buffers(pa.large_binary(), 1, [None, bounds, pa.py_buffer(data)])
    if not pc.match_substring_regex(whole, r"\\u00[2-7]")[0].as_py():
        return np.zeros(0, dtype=np.int64)
    at = np.flatnonzero(data == _BACKSLASH)
    at = at[at < len(data) - 5]
    for i, byte in enumerate(b"u00", start=1):
        at = at[data[at + i] == byte]
    return at[(data[at + 4] >= ord("2")) & (data[at + 4] <= ord("7"))]


def gives_twice(document: bytes, envelope: Envelope) -> bool:
    """True where an object gives one of the common fields twice."""
    for path in envelope.paths.values():
        inner = document
        for part in path[:-1]:
            inner = bytes(memoryview(_raw_members(inner).get(part, b"{}"))) if inner.startswith(b"{") else b"{}"
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
