"""Receipts of erasures, erasures that were interrupted, and digests that are no longer needed.

Format: `_headgate/erasures/<id>/receipt.json`, one object; its `checksum` is the SHA-256 of the same object without it,
as JSON with sorted keys and no white space. `record_sha256` is that of the record's rows without their digests, which
go when their window has passed: one JSON array a row, sorted, each with a line end.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from headgate.core.erased import ERASED, without_old_digests
from headgate.errors import PermanentError
from headgate.lake.erasures import FOLDER, ROWS, rows_path, write_rows
from headgate.lake.storage import Storage

_RECEIPT = "/receipt.json"
_OF_RECORD = [name for name in ERASED.names if name not in ("digest", "arrived_at")]


class _Receipt(msgspec.Struct):
    id: str
    finished: datetime
    window_us: int
    continues: list[str] = []

    @property
    def finished_us(self) -> int:
        return int(self.finished.timestamp() * 1e6)


def receipt_path(erasure: str) -> str:
    """Where the receipt of an erasure lies."""
    return f"{FOLDER}{erasure}{_RECEIPT}"


def erasures(storage: Storage) -> dict[str, bool]:
    """The erasures of a lake by their ids, oldest first: False where neither its own receipt nor another's ends it.

    Raises:
        TransientError: the storage did not answer.
        PermanentError: a receipt cannot be read.
    """
    ids = sorted(p.removeprefix(FOLDER).removesuffix(ROWS) for p in storage.list(FOLDER) if p.endswith(ROWS))
    finished = _receipts(storage)
    return {erasure: erasure in finished for erasure in ids}


def interrupted(storage: Storage) -> list[str]:
    """Ids of the erasures that were killed and not finished by another; raises as `erasures`."""
    return [erasure for erasure, is_finished in erasures(storage).items() if not is_finished]


def record(storage: Storage, erasure: str) -> pa.Table:
    """ERASED of one erasure.

    Raises:
        PermanentError: it cannot be read.
    """
    content = storage.get(rows_path(erasure))
    try:
        return pq.read_table(pa.BufferReader(content or b"")).cast(ERASED)
    except pa.ArrowException as error:
        where = f"{storage.root}/{rows_path(erasure)}"
        raise PermanentError(f"{where} cannot be read ({error}): restore it from a backup") from error


def record_sha256(rows: pa.Table) -> str:
    """Digest of a record without what is dropped later."""
    lines = sorted(json.dumps(list(row.values())) for row in rows.select(_OF_RECORD).to_pylist())
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def write_receipt(storage: Storage, erasure: str, content: Mapping[str, object]) -> dict[str, object]:
    """Write a receipt with its checksum; gives it back."""
    whole = {**content, "checksum": checksum(content)}
    storage.put(receipt_path(erasure), json.dumps(whole, indent=2).encode() + b"\n")
    return whole


def checksum(content: Mapping[str, object]) -> str:
    """Of a receipt; its own `checksum` is left out."""
    rest = {name: value for name, value in content.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def drop_digests(storage: Storage, now_us: int, window_us: int = 0) -> int:
    """Take out of records the digests whose window has passed; how many records were changed.

    Args:
        storage: of the lake.
        now_us: wall clock in microseconds since 1970 UTC.
        window_us: of de-duplication; that of each erasure, which its receipt tells, counts where it is longer.

    Raises:
        TransientError: the storage did not answer; doing it again is safe.
    """
    changed = 0
    for erasure, receipt in _receipts(storage).items():
        rows = record(storage, erasure)
        kept = without_old_digests(rows, receipt.finished_us, now_us, max(receipt.window_us, window_us))
        if kept["digest"].null_count != rows["digest"].null_count:
            write_rows(storage, erasure, kept)
            changed += 1
    return changed


def _receipts(storage: Storage) -> Mapping[str, _Receipt]:
    """The receipt of each erasure that has ended, of those too that another one finished."""
    found: dict[str, _Receipt] = {}
    for path in storage.list(FOLDER):
        if not path.endswith(_RECEIPT):
            continue
        try:
            receipt = msgspec.json.decode(storage.get(path) or b"", type=_Receipt)
        except msgspec.DecodeError as error:
            raise PermanentError(f"{storage.root}/{path} cannot be read ({error}): restore it from a backup") from error
        found |= dict.fromkeys((receipt.id, *receipt.continues), receipt)
    return found
