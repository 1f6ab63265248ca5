"""Objects that wait to be filed, read in batches of bounded size: what Firehose delivered, what was kept beside it.

A delivered object never changes; one that has another size than it had when it was filed is read again. A kept object
may be written anew by a retry, so that it is read at every filing until it is deleted.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from headgate import __version__
from headgate.core.filing import TABLES
from headgate.core.reasons import Reason
from headgate.core.schema import REJECTED
from headgate.core.schema import TABLES as SCHEMAS
from headgate.errors import PermanentError
from headgate.jobs.transform import FIREHOSE
from headgate.lake import parquet
from headgate.lake.delivered import read_lines
from headgate.lake.storage import Storage

MAX_LINE_BYTES = 64 << 20  # an answer of Lambda holds 6 MB; longer ones are no line of ours
MAX_OBJECTS = 10_000  # in a batch; their names stand in a list of the lake
_GZIP = b"\x1f\x8b"
_STRANGE = "a line among what was delivered that no transformation made"


@dataclass(kw_only=True)
class Delivery:
    """Rows that are filed together.

    Attributes:
        is_kept: True for what was kept beside the delivery, which is read more than once.
        objects: names and sizes of the objects whose last row is in it.
        num_bytes: of the rows.
    """

    is_kept: bool
    objects: dict[str, int] = field(default_factory=dict)
    num_bytes: int = 0
    _rows: dict[str, list[pa.Table]] = field(default_factory=lambda: {name: [] for name in TABLES})

    def add(self, table: str, rows: pa.Table) -> None:
        """Add rows of a table."""
        self._rows[table].append(rows)

    def tables(self) -> dict[str, pa.Table]:
        """EVENTS, DUPLICATES and REJECTED by table."""
        return {name: pa.concat_tables([SCHEMAS[name].empty_table(), *rows]) for name, rows in self._rows.items()}


def delivered(storage: Storage, sizes: Mapping[str, int], max_bytes: int) -> Iterator[Delivery]:
    """Read objects that Firehose delivered.

    Args:
        storage: where they lie.
        sizes: names and sizes of those that are to be read.
        max_bytes: of lines in a batch; one line more may be in it.

    Raises:
        PermanentError: an object is none that Firehose delivered for this transformation.
        TransientError: the storage did not answer.
    """
    batch = Delivery(is_kept=False)
    for name in sorted(sizes):
        content = storage.get(name)
        if content is None:
            continue  # its lifecycle is over
        arrived = None
        for lines, start in _pieces(content, f"{storage.root}/{name}", max_bytes):
            arrived = _take(batch, lines, start, arrived, storage.root, name)
            if batch.num_bytes >= max_bytes:
                yield batch
                batch = Delivery(is_kept=False)
        batch.objects[name] = sizes[name]
        if len(batch.objects) >= MAX_OBJECTS:
            yield batch
            batch = Delivery(is_kept=False)
    if batch.objects:  # rows of an object that goes on are never left: its end is behind them
        yield batch


def kept(lake: Storage, max_bytes: int) -> Iterator[Delivery]:
    """Read what was kept beside the delivery.

    Raises:
        PermanentError: an object cannot be read.
        TransientError: the storage did not answer.
    """
    batch = Delivery(is_kept=True)
    for path in sorted(lake.list(FIREHOSE)):
        table = path.rpartition("-")[2].removesuffix(parquet.SUFFIX)
        if table not in TABLES or (content := lake.get(path)) is None:
            continue  # none of ours, or a retry found nothing to keep
        try:
            rows = pq.ParquetFile(pa.BufferReader(content)).read().select(SCHEMAS[table].names).cast(SCHEMAS[table])
        except (pa.ArrowException, OSError, KeyError) as error:
            raise PermanentError(f"{lake.root}/{path} cannot be read ({error}): restore it from a backup") from error
        batch.add(table, rows)
        batch.num_bytes += rows.nbytes
        batch.objects[path] = len(content)
        if batch.num_bytes >= max_bytes:
            yield batch
            batch = Delivery(is_kept=True)
    if batch.objects:
        yield batch


def _take(
    batch: Delivery, lines: list[bytes], start: int, arrived: pa.Scalar | None, root: str, name: str
) -> pa.Scalar:
    """Add lines to a batch; gives the arrival of the object's first event, which strange lines of it bear, too."""
    full = [(line, at) for line, at in zip(lines, _offsets(lines, start), strict=True) if line.strip()]
    read = read_lines([line for line, _ in full])
    if arrived is None:
        if full and not read.events.num_rows:
            raise PermanentError(
                f"{root}/{name} holds no line that the transformation made: file only what Firehose delivered, plain "
                "or as GZIP and without format conversion, and give its error output another prefix"
            )
        arrived = read.events["arrived_at"][0] if full else None
    batch.add("events", read.events)
    if read.strange:
        batch.add("rejected", _rejects([full[row] for row in read.strange], arrived, root, name))
    batch.num_bytes += sum(map(len, lines))
    return arrived


def _offsets(lines: list[bytes], start: int) -> list[int]:
    found = []
    for line in lines:
        found.append(start)
        start += len(line)
    return found


def _rejects(lines: list[tuple[bytes, int]], arrived: pa.Scalar | None, root: str, name: str) -> pa.Table:
    """REJECTED of lines that are not ours, at their offsets in the object."""
    count = len(lines)
    time = pa.array([arrived] * count, REJECTED.field("arrived_at").type)
    columns = {
        "raw": pa.array([line.rstrip(b"\r\n") for line, _ in lines], pa.binary()),
        "reason": pa.array([Reason.MALFORMED_JSON.value] * count),
        "detail": pa.array([_STRANGE] * count),
        "event_type": pa.nulls(count, pa.string()),
        "arrived_at": time,
        "source": pa.array([root] * count),
        "shard": pa.array([name] * count),
        "sequence": pa.array([str(at) for _, at in lines]),
        "headgate_version": pa.array([__version__] * count),
        "arrival_date": time.cast(pa.timestamp("us")).cast(pa.date32()),
    }
    return pa.table(columns).select(REJECTED.names).cast(REJECTED)


def _pieces(content: bytes, name: str, max_bytes: int) -> Iterator[tuple[list[bytes], int]]:
    """Lines of an object in pieces of about `max_bytes`, each with the offset of its first line; at least one piece."""
    raw = io.BytesIO(content)
    file = gzip.GzipFile(fileobj=raw) if content.startswith(_GZIP) else raw
    lines: list[bytes] = []
    start = size = 0
    try:
        while line := file.readline(MAX_LINE_BYTES):
            if len(line) == MAX_LINE_BYTES:
                raise PermanentError(f"{name} holds a line of {MAX_LINE_BYTES:,} bytes or more: Firehose delivers none")
            lines.append(line)
            size += len(line)
            if size >= max_bytes:
                yield lines, start
                lines, start, size = [], start + size, 0
    except (EOFError, OSError, zlib.error) as error:
        raise PermanentError(f"{name} cannot be inflated ({error}): deliver it again, or move it away") from error
    yield lines, start
