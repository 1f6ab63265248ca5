"""What a lake is made of: its state, and how well its files are laid out. Nothing is written, no lease is taken."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote

from headgate.config.compaction import Compaction
from headgate.core.schema import TABLES
from headgate.errors import PermanentError
from headgate.jobs.existing import ExistingLake
from headgate.jobs.status import Status, status
from headgate.lake.analytics_registry import Registry, read_registry
from headgate.lake.live import read_live

SMALL_BYTES = 8 << 20  # a file below costs a reader more in opening than in reading
FULL_BYTES: int = Compaction().target_file_bytes
_LARGEST = 5  # event types and partitions that are named


class _Found(NamedTuple):
    partition: tuple[tuple[str, str | None], ...]
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TableHealth:
    """How the files of one table are laid out.

    Attributes:
        table: its name.
        rows: None where only counting them would tell.
        files: that readers open.
        size_bytes: of all files.
        small_files: smaller than SMALL_BYTES.
        joinable: files fewer that `compact` would leave, about; 0 where it has nothing to do, or cannot.
        partitions: that hold a file.
        most_files: in one partition, and `fullest`, which that is.
        skew: bytes of the largest partition / bytes of one in the middle; 1 where all are alike.
        by_type: bytes of the largest event types; of `events` only.
    """

    table: str
    rows: int | None
    files: int
    size_bytes: int
    small_files: int
    joinable: int
    partitions: int
    most_files: int
    fullest: str
    skew: float
    by_type: Mapping[str, int]

    @property
    def mean_bytes(self) -> float:
        """Of a file."""
        return self.size_bytes / self.files if self.files else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedTable:
    """A typed table, as far as `build` tells: `drift` are values that are in no column, by (field, expected, found)."""

    name: str
    columns: int
    untyped: Sequence[str]
    drift: Mapping[tuple[str, str, str], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class LakeFacts:
    """All of it.

    Attributes:
        status: what `headgate status` tells.
        tables: how each table is laid out.
        built: the ledger entry up to which typed tables are built; None where `build` never ran.
        typed: the typed tables.
    """

    status: Status
    tables: Sequence[TableHealth]
    built: int | None
    typed: Sequence[TypedTable]


def lake_facts(lake: ExistingLake) -> LakeFacts:
    """Look at a lake.

    Raises:
        TransientError: the storage did not answer.
        PermanentError: a part of the lake cannot be read.
    """
    found = status(lake)
    registry = read_registry(lake.storage)
    return LakeFacts(
        status=found,
        tables=[_health(lake, table, found.tables[table].rows) for table in TABLES],
        built=None if registry is None else registry.built,
        typed=_typed(registry),
    )


def _health(lake: ExistingLake, table: str, rows: int | None) -> TableHealth:
    files = list(_files(lake, table))
    by_partition: defaultdict[tuple[tuple[str, str | None], ...], list[int]] = defaultdict(list)
    by_type: Counter[str] = Counter()
    for partition, size in files:
        by_partition[partition].append(size)
        if table == "events":
            by_type[dict(partition).get("event_type") or ""] += size
    sums = sorted(sum(sizes) for sizes in by_partition.values())
    fullest = max(by_partition, key=lambda one: len(by_partition[one]), default=())
    is_joined = lake.about.format == "delta"
    return TableHealth(
        table=table,
        rows=rows,
        files=len(files),
        size_bytes=sum(sums),
        small_files=sum(size < SMALL_BYTES for _, size in files),
        joinable=sum(map(_fewer, by_partition.values())) if is_joined else 0,
        partitions=len(by_partition),
        most_files=len(by_partition[fullest]) if files else 0,
        fullest="/".join(f"{column}={value}" for column, value in fullest),
        skew=sums[-1] / max(1, sums[len(sums) // 2]) if sums else 1.0,
        by_type=dict(by_type.most_common(_LARGEST)),
    )


def _fewer(sizes: Sequence[int]) -> int:
    """Files fewer once those that are not full are joined."""
    small = [size for size in sizes if size < FULL_BYTES]
    return max(0, len(small) - max(1, -(-sum(small) // FULL_BYTES))) if small else 0


def _files(lake: ExistingLake, table: str) -> Iterator[_Found]:
    if lake.about.format == "delta":
        try:
            for file in read_live(lake.storage, table).files:
                yield _Found(file.partition, file.size)
        except PermanentError:
            if lake.state().number:
                raise
        return
    for path, size in lake.storage.sizes(f"{table}/"):
        folders = (part.partition("=") for part in path.split("/")[1:-1])
        yield _Found(tuple((name, unquote(value)) for name, sign, value in folders if sign), size)


def _typed(registry: Registry | None) -> list[TypedTable]:
    if registry is None:
        return []
    return [
        TypedTable(
            name=name,
            columns=len(facts.fields),
            untyped=list(facts.untyped),
            drift={(d.field, d.expected, d.found): d.count for d in facts.drift},
        )
        for name, facts in sorted(registry.tables.items())
    ]
