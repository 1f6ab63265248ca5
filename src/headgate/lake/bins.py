"""Which files of a table are worth joining. Pure.

Law: a file is taken only together with others that amount to a quarter of it. So every byte is written a number of
times that grows with the logarithm of its partition, however often small files come, and a second plan after the first
was carried out finds nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from headgate.lake.live import LiveFile

_FACTOR = 4  # a file that is taken may be so many times as large as all smaller ones together
_DATES = ("created_date", "arrival_date")


@dataclass(frozen=True, slots=True)
class Bin:
    """Files of one partition that are joined, in the order in which they were written.

    Attributes:
        files: at least two.
        is_open: of today or later, so that more files come.
    """

    files: Sequence[LiveFile]
    is_open: bool

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def plan(files: Iterable[LiveFile], target_bytes: int, today: str) -> list[Bin]:
    """What is worth joining, closed partitions first.

    Args:
        files: all files of a table.
        target_bytes: a file of this size is large enough.
        today: UTC date, ISO 8601.
    """
    partitions: dict[tuple[tuple[str, str | None], ...], list[LiveFile]] = defaultdict(list)
    for file in files:
        if file.size < target_bytes:
            partitions[file.partition].append(file)
    bins = [
        Bin(sorted(some, key=lambda file: (file.modified_ms, file.name)), _is_open(partition, today))
        for partition, small in partitions.items()
        if len(some := _worthwhile(small)) > 1
    ]
    return sorted(bins, key=lambda b: (b.is_open, b.files[0].path))


def _worthwhile(files: Sequence[LiveFile]) -> Sequence[LiveFile]:
    """All files up to the largest that is not too large for the smaller ones together."""
    ordered = sorted(files, key=lambda file: (file.size, file.name))
    size = count = 0
    for number, file in enumerate(ordered):
        if file.size <= _FACTOR * size:
            count = number + 1
        size += file.size
    return ordered[:count]


def _is_open(partition: tuple[tuple[str, str | None], ...], today: str) -> bool:
    """True where more files may come in order; a partition without a date is never closed."""
    dates = [value for column, value in partition if column in _DATES]
    return not dates or any(value is None or value >= today for value in dates)
