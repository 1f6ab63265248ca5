"""The records of erasures: which rows were taken out of the tables, and the secret of their digests.

Format: `_headgate/erasures/<id>/rows.parquet` (ERASED), written before the first row goes, so that a row is in its
table or in a record at any moment, or in both while an erasure is under way; `_headgate/erasures/<id>/receipt.json`
once all is done, which names the killed ones that were finished with it; `_headgate/erasures/secret` (64 hexadecimal
digits), made once.

Law: a record is never taken back. What says that a row was erased is the record *and* its absence from the table.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headgate.core.erased import ERASED, Erased
from headgate.errors import PermanentError
from headgate.lake.storage import Storage

FOLDER = "_headgate/erasures/"
_SECRET = f"{FOLDER}secret"
ROWS = "/rows.parquet"
_SECRET_BYTES = 32


def rows_path(erasure: str) -> str:
    """Where the rows of an erasure lie."""
    return f"{FOLDER}{erasure}{ROWS}"


def write_rows(storage: Storage, erasure: str, rows: pa.Table) -> None:
    """Write the record of an erasure, or write it anew; durable when this returns.

    Args:
        storage: of the lake.
        erasure: its id, a safe name.
        rows: ERASED.
    """
    sink = pa.BufferOutputStream()
    pq.write_table(rows.cast(ERASED), sink, compression="zstd", store_schema=False, write_statistics=False)
    storage.put(rows_path(erasure), memoryview(sink.getvalue()))


def recorded(storage: Storage, ids: Collection[str] | None = None) -> Iterator[pa.Table]:
    """ERASED, erasure by erasure; a row may stand in several.

    Args:
        storage: of the lake.
        ids: of these erasures only; None for all.

    Raises:
        TransientError: the storage did not answer.
        PermanentError: a record cannot be read.
    """
    for path in storage.list(FOLDER) if ids is None else map(rows_path, ids):
        if path.endswith(ROWS) and (content := storage.get(path)) is not None:
            try:
                yield pq.read_table(pa.BufferReader(content)).cast(ERASED)
            except pa.ArrowException as error:
                raise PermanentError(
                    f"{storage.root}/{path} cannot be read ({error}): restore it from a backup"
                ) from error


def erased_rows(storage: Storage) -> pa.Table:
    """ERASED of all erasures, each row once; without an erasure it costs one listing of an empty prefix.

    Raises:
        TransientError: the storage did not answer.
        PermanentError: a record cannot be read.
    """
    tables = [ERASED.empty_table(), *recorded(storage)]
    if len(tables) < 3:
        return tables[-1]
    names = [name for name in ERASED.names if name != "digest"]
    rows = pa.concat_tables(tables).group_by(names).aggregate([("digest", "max")])
    return rows.rename_columns([*names, "digest"]).select(ERASED.names).cast(ERASED)


def has_digests(rows: pa.Table) -> bool:
    """True where ids of erased events are still claimed."""
    return bool(pc.any(pc.is_valid(rows["digest"])).as_py())


def erased_events(storage: Storage) -> Erased | None:
    """What keeps the ids of erased events claimed; None where there are none.

    Raises:
        TransientError: the storage did not answer.
        PermanentError: a record or the secret cannot be read.
    """
    rows = erased_rows(storage)
    rows = rows.filter(pc.is_valid(rows["digest"]))
    return Erased(rows=rows, secret=secret_of(storage)) if rows.num_rows else None


def secret_of(storage: Storage, *, is_made: bool = False) -> bytes:
    """The secret of the digests.

    Args:
        storage: of the lake.
        is_made: make it where there is none.

    Raises:
        PermanentError: there is none, or it cannot be read.
    """
    if is_made:
        storage.put_if_absent(_SECRET, secrets.token_hex(_SECRET_BYTES).encode())
    written = storage.get(_SECRET) or b""
    try:
        secret = bytes.fromhex(written.decode())
    except ValueError:
        secret = b""
    if len(secret) != _SECRET_BYTES:
        raise PermanentError(
            f"{storage.root}/{_SECRET} is missing or damaged, so that erased ids cannot be known again: "
            "restore it from a backup"
        )
    return secret
