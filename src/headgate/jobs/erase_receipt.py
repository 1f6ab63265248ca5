"""What the receipt of an erasure says: what, when, how many, which versions; never whose rows they were."""

from __future__ import annotations

import hmac
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from headgate import __version__
from headgate.core.erase_match import Places
from headgate.core.filing import TABLES
from headgate.jobs.erase_found import EraseSettings, Found
from headgate.lake.erase_receipt import record_sha256
from headgate.lake.erase_tables import Removed


@dataclass(frozen=True, slots=True, kw_only=True)
class TableErased:
    """What was done to one table.

    Attributes:
        rows: that are gone, with those of interrupted erasures.
        rewritten: files of which rows are left; `deleted`: those of which none is.
        version_from: of a Delta log before; None for a plain table.
        version_to: of the log afterwards.
        versions_cleaned: of the log of which statistics were taken out; `checkpoints_deleted`, old ones.
    """

    rows: int
    rewritten: int = 0
    deleted: int = 0
    version_from: int | None = None
    version_to: int | None = None
    versions_cleaned: int = 0
    checkpoints_deleted: int = 0


@dataclass(kw_only=True)
class Done:
    """What was done so far.

    Attributes:
        removed: by table.
        cleaned: log versions and checkpoints, by table.
        hidden: files deleted that no reader sees.
        left: paths of such files that a writer may still commit.
        entries: of the ledger that were changed.
        records: of erasures of which digests were dropped.
    """

    removed: dict[str, Removed] = field(default_factory=dict)
    cleaned: dict[str, tuple[int, int]] = field(default_factory=dict)
    hidden: int = 0
    left: list[str] = field(default_factory=list)
    entries: int = 0
    records: int = 0


def receipt_of(
    erasure: str,
    found: Found,
    done: Done,
    settings: EraseSettings,
    secret: bytes,
    *,
    rows: pa.Table,
    before: Sequence[pa.Table],
    number: int,
    times: tuple[datetime, datetime],
) -> dict[str, object]:
    """The receipt without its checksum.

    Args:
        erasure: its id.
        found: what was found.
        done: what was done.
        settings: what was looked for.
        secret: of the lake's digests.
        rows: ERASED, its own record.
        before: ERASED of the erasures that it finished.
        number: of the ledger entry up to which was looked.
        times: when it began and ended.
    """
    tables = {
        table: asdict(_table(table, found, done, [rows, *before]))
        for table in found.tables
        if table in TABLES or done.removed[table].left
    }
    return {
        "id": erasure,
        "began": times[0].isoformat(),
        "finished": times[1].isoformat(),
        "writer": {"host": socket.gethostname(), "version": __version__},
        "ledger_number": number,
        "window_us": settings.window_us,
        "where_hmac": _keyed(secret, b"where", None if settings.where is None else settings.where.encode()),
        "contains_hmac": _keyed(secret, b"contains", settings.contains or None),
        "tables": tables,
        "kept_rows": found.rows.get("kept", 0),
        "hidden_files_deleted": done.hidden,
        "ledger_entries_cleaned": done.entries,
        "records_cleaned": done.records,
        "left": done.left,
        "continues": list(found.continues),
        "record_sha256": record_sha256(rows),
    }


def _table(table: str, found: Found, done: Done, records: Sequence[pa.Table]) -> TableErased:
    removed = done.removed[table]
    cleaned, checkpoints = done.cleaned.get(table, (0, 0))
    count = found.rows.get(table, 0)
    if table in TABLES:
        recorded = pa.concat_tables(records)
        count = len(Places().plus(recorded.filter(pc.equal(recorded["table"], table))))
    return TableErased(
        rows=count,
        rewritten=removed.rewritten,
        deleted=removed.deleted,
        version_from=removed.version_from,
        version_to=removed.version_to,
        versions_cleaned=cleaned,
        checkpoints_deleted=checkpoints,
    )


def _keyed(secret: bytes, what: bytes, text: bytes | None) -> str | None:
    """HMAC-SHA-256 of what was looked for, which names a person; None where it was not given."""
    return None if text is None else hmac.new(secret, what + b"\0" + text, "sha256").hexdigest()
