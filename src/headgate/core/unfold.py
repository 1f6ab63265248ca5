"""Records of several lines, taken apart all together: what a producer sends that joins events with line ends. Pure.

It is the same as what irregular.py finds only where each line is a part of its own (`Unfolded.is_part`) or could be
decoded, so that it is a whole object; decode.py makes sure of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.documents import part_at
from headgate.core.limits import Limits
from headgate.core.texts import Text, text_of, trimmed

_LINE_END, _OBJECT, _ARRAY = 0x0A, 0x7B, 0x5B
_LOOK_BYTES = 1 << 18  # bytes looked at in one numpy pass, so that the masks stay in the cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfolded:
    """Lines of records.

    Attributes:
        records: (n, bool) which records these lines are of.
        text: the lines, without white space around them.
        owners: (lines) the row of each line's record in the chunk.
        subs: (lines, int32) number of the line in its record.
        exact: the lines as they came, with white space and line ends.
        record_ends: (lines) where in `exact.data` each line's record ends.
    """

    records: npt.NDArray[np.bool_]
    text: Text
    owners: npt.NDArray[np.int64]
    subs: npt.NDArray[np.int32]
    exact: Text
    record_ends: npt.NDArray[np.int64]

    def is_part(self, line: int) -> bool:
        """True where a line that could not be decoded is one part, no array, with no white space around it."""
        start, end = self.exact.offsets[line : line + 2].tolist()
        length = int(self.text.offsets[line + 1] - self.text.offsets[line])
        is_inner = end < self.record_ends[line]
        if not length or end - start - length != is_inner or self.exact.data[start] == _ARRAY:
            return False
        return part_at(bytes(self.exact.view[start : self.record_ends[line]]), 0) == length


def unfold(chunk: pa.RecordBatch, limits: Limits) -> Unfolded | None:
    """Take records apart that begin with an object and have line ends inside; None where there is none.

    Args:
        chunk: records, RECORDS, with or without `fault`.
        limits: records larger than `max_record_bytes` are left out.
    """
    text = text_of(chunk.column("data"))
    inner, rows = _inner_line_ends(text)
    if not len(inner):
        return None
    starts, lengths = text.offsets[:-1], np.diff(text.offsets)
    folded = np.zeros(len(chunk), dtype=np.bool_)
    folded[rows] = True
    folded &= lengths <= limits.max_record_bytes
    folded[folded] &= text.data[starts[folded]] == _OBJECT
    if "fault" in chunk.schema.names:
        folded &= ~np.asarray(pc.is_valid(chunk.column("fault")))
    if not folded.any():
        return None
    if not folded.all():
        text = text_of(chunk.column("data").filter(pa.array(folded)))
        inner, rows = _inner_line_ends(text)
    counts = np.bincount(rows, minlength=len(text.array)) + 1
    offsets = np.sort(np.concatenate([text.offsets, inner + 1]))
    lines = pa.Array.from_buffers(
        pa.large_binary(), len(offsets) - 1, [None, pa.py_buffer(offsets), text.array.buffers()[2]]
    )
    first = np.cumsum(counts) - counts
    exact = text_of(lines)
    return Unfolded(
        records=folded,
        text=trimmed(lines),
        owners=np.repeat(np.flatnonzero(folded), counts),
        subs=(np.arange(len(lines)) - np.repeat(first, counts)).astype(np.int32),
        exact=exact,
        record_ends=np.repeat(exact.offsets[first + counts], counts),
    )


def _inner_line_ends(text: Text) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Where line ends stand that do not end a record, and the rows that they stand in."""
    if not len(text.array):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    first, last = int(text.offsets[0]), int(text.offsets[-1])
    found = []
    for start in range(first, last, _LOOK_BYTES):
        found.append(np.flatnonzero(text.data[start : min(start + _LOOK_BYTES, last)] == _LINE_END) + start)
    ends = np.concatenate(found) if found else np.zeros(0, dtype=np.int64)
    rows = np.searchsorted(text.offsets, ends, side="right") - 1
    is_inner = ends + 1 < text.offsets[rows + 1]
    return ends[is_inner], rows[is_inner]
