"""Texts of many documents as one Arrow array, and what is found out about all of them in whole passes. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.limits import MAX_DEPTH, Limits

JSON_SPACE = " \t\r\n"
MIN_DEEP_BYTES = 2 * MAX_DEPTH  # bytes; a shorter document cannot be nested too deep
_GROUP_ROWS = 128  # rows checked at once where a chunk holds broken text
_LOOK_BYTES = 1 << 18  # bytes looked at in one numpy pass, so that the masks stay in the cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Texts of records as one Arrow array, and what is needed to look into it."""

    array: pa.Array
    offsets: npt.NDArray[np.int64]
    view: memoryview
    data: npt.NDArray[np.uint8]

    def row(self, i: int) -> bytes:
        """One of the texts."""
        return self.view[self.offsets[i] : self.offsets[i + 1]].tobytes()


def trimmed(data: pa.Array) -> Text:
    """The texts of records (large_binary, n) without white space around them."""
    # The same buffers under a text type: trimming is the same for bytes, and is not validated.
    text = pa.Array.from_buffers(pa.large_string(), len(data), data.buffers(), null_count=0, offset=data.offset)
    array = pc.ascii_trim(text, JSON_SPACE)
    return text_of(
        pa.Array.from_buffers(pa.large_binary(), len(array), array.buffers(), null_count=0, offset=array.offset)
    )


def text_of(array: pa.Array) -> Text:
    """Texts (large_binary, n) as they are."""
    _, offsets, values = array.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    view = memoryview(values) if values is not None else memoryview(b"")
    return Text(array=array, offsets=bounds, view=view, data=np.frombuffer(view, dtype=np.uint8))


def suspicious(text: Text, limits: Limits) -> npt.NDArray[np.bool_]:
    """Rows (n, bool) that are to be looked at one by one: broken UTF-8, possibly too deep, too large."""
    lengths = np.diff(text.offsets)
    odd = lengths > limits.max_event_bytes
    if lengths.size and lengths.max() >= MIN_DEEP_BYTES:
        opens = _opening_brackets(text.data)
        # More than MAX_DEPTH in one row stand closer together than the longest row is long.
        if len(opens) > MAX_DEPTH and (opens[MAX_DEPTH:] - opens[:-MAX_DEPTH]).min() < lengths.max():
            odd |= _count_per_row(text, opens) > MAX_DEPTH
    if not _is_text(text.array):
        odd[list(_broken_text(text))] = True
    return odd


def _is_text(values: pa.Array) -> bool:
    try:
        values.cast(pa.large_string())
    except pa.ArrowInvalid:
        return False
    return True


def _broken_text(text: Text) -> Iterator[int]:
    """Rows that are not UTF-8: a vectorised pass tells only that there is one, so it is asked group by group."""
    for start in range(0, len(text.array), _GROUP_ROWS):
        group = text.array.slice(start, _GROUP_ROWS)
        if _is_text(group):
            continue
        for row in range(start, start + len(group)):
            try:
                str(text.view[text.offsets[row] : text.offsets[row + 1]], "utf-8")
            except UnicodeDecodeError:
                yield row


def _opening_brackets(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    found = []
    for start in range(0, len(data), _LOOK_BYTES):
        # [ is 0x5B and { is 0x7B: they differ in one bit.
        found.append(np.flatnonzero((data[start : start + _LOOK_BYTES] & 0xDF) == 0x5B) + start)
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


def _count_per_row(text: Text, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.diff(np.searchsorted(positions, text.offsets))


def depth(document: bytes) -> int:
    """How deep objects and arrays are nested, brackets inside strings left out. Linear, without recursion."""
    if document.count(b"{") + document.count(b"[") <= MAX_DEPTH:
        return 0
    # Escaped backslashes first, then escaped quotes: what quotes are left begin and end strings.
    plain = np.frombuffer(document.replace(b"\\\\", b"").replace(b'\\"', b""), dtype=np.uint8)
    folded = plain & 0xDF  # [ and { become 0x5B, ] and } become 0x5D
    marks = plain[(folded == 0x5B) | (folded == 0x5D) | (plain == 0x22)]
    outside = np.bitwise_xor.accumulate(marks == 0x22) == 0
    steps = np.where((marks & 0xDF) == 0x5B, 1, np.where(marks == 0x22, 0, -1))
    return int(np.cumsum(np.where(outside, steps, 0)).max(initial=0))
