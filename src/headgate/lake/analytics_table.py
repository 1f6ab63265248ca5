"""One typed table: its Delta log, its columns, and the one commit that a run makes to it.

Law: a commit is made only on top of versions that were all read since the rows were chosen. Where one of them changes
which rows are missing, the columns or the files to be replaced, nothing is committed and the run begins anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pyarrow as pa
from deltalake.exceptions import DeltaError, TableNotFoundError

from headgate.core.analytics.align import COMMON
from headgate.core.analytics.kinds import Member, delta_schema, members_of
from headgate.core.analytics.names import OTHER
from headgate.core.analytics.shape import RESCUED
from headgate.core.schema import EVENTS
from headgate.errors import CommitConflict, TransientError
from headgate.lake.analytics_files import PARTITION, DataFile
from headgate.lake.delta_log import (
    WRITER_VERSION,
    Action,
    DeltaLog,
    add,
    commit_info,
    one_line,
    open_table,
    partition_by,
    remove,
    txn,
    version_path,
)
from headgate.lake.storage import Storage

ROOT = "analytics"
APP_ID = "headgate-build"  # of our `txn` actions; their version is the ledger number
CHECKPOINT_EVERY = 100  # commits
DRIFT_KEY = "headgateDrift"
_RESCUED_FIELD = pa.field(RESCUED, pa.string())


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one commit does.

    Attributes:
        number: the ledger number that the table has reached with it.
        members: its columns from now on; None for `_other`.
        added: files with new rows.
        replaced: files that are in the table no longer, in favour of `added` (a date that was built anew).
        rewritten: files whose rows stand in another file from now on, each with that one.
        drift: what `commitInfo` shall say of values without a column.
        table_id: of a table that is made with this commit.
        is_rebuilt: True where the rows of entries that the table has already are built anew.
    """

    number: int
    members: Sequence[Member] | None
    added: Sequence[DataFile]
    replaced: Sequence[DataFile] = ()
    rewritten: Sequence[tuple[DataFile, DataFile]] = ()
    drift: Sequence[tuple[str, str, str, int]] = ()
    table_id: str = ""
    is_rebuilt: bool = False

    @property
    def removed_paths(self) -> set[str]:
        """Files that are no longer in the table."""
        return {file.path for file in (*self.replaced, *(old for old, _ in self.rewritten))}


@dataclass(slots=True, kw_only=True)
class TypedTable:
    """A table as it was found.

    Attributes:
        event_name: whose rows it holds; `_other` for the shared one.
        folder: below `analytics/`.
        log: of the table; version -1 where it is still to be made.
        members: its columns that were made of fields.
        meta: its `metaData` action; None where it is still to be made.
    """

    event_name: str
    folder: str
    log: DeltaLog
    members: tuple[Member, ...] = ()
    meta: dict[str, Any] | None = field(default=None)

    @property
    def path(self) -> str:
        """Its folder in the lake."""
        return f"{ROOT}/{self.folder}"

    @property
    def is_other(self) -> bool:
        """True for the table that event names without one of their own share."""
        return self.folder == OTHER

    def commit(self, change: Change, now_ms: int) -> bool:
        """Write the next version.

        Returns:
            False where another build has taken the table as far; then nothing was written.

        Raises:
            CommitConflict: another writer changed what this change is built on; begin anew.
            TransientError: the storage did not answer; running `build` again is safe, whatever happened.
            PermanentError: the table needs a feature that this version cannot write.
        """
        base, is_new = self.log.number, self.meta is None
        while True:
            seen = self.log.advance()
            if not change.is_rebuilt and self.log.number >= change.number > base:
                return False
            if seen is None or self.log.number != base or _is_in_the_way(seen, change) or (is_new and seen):
                raise CommitConflict(f"{self.path}: another writer changed the table meanwhile")
            if self.log.extend(self._actions(change, now_ms), max(change.number, base)):
                self.log.checkpoint(CHECKPOINT_EVERY)
                return True

    def _actions(self, change: Change, now_ms: int) -> Iterable[Mapping[str, Any]]:
        mode = "Overwrite" if change.is_rebuilt else "Append"
        more: dict[str, Any] = {"headgate": f"{self.log.number}..{change.number}"}
        if change.drift:
            more[DRIFT_KEY] = change.drift
        parameters = {"mode": mode, "partitionBy": partition_by(PARTITION)}
        yield commit_info(now_ms, "WRITE", parameters, is_append=not change.removed_paths, **more)
        written = _schema(change.members)
        schema = msgspec.json.encode(written).decode()
        if self.meta is None:
            yield {"protocol": {"minReaderVersion": 1, "minWriterVersion": WRITER_VERSION}}
            yield {"metaData": self._first_meta(schema, change.table_id, now_ms)}
        elif members_of(written) != self.members:
            yield {"metaData": {**self.meta, "schemaString": schema}}
        yield txn(APP_ID, max(change.number, self.log.number), now_ms)
        for old in change.replaced:
            yield _remove(old, now_ms, is_data_changed=True)
        for old, new in change.rewritten:
            yield _remove(old, now_ms, is_data_changed=False)
            yield _add(new, now_ms, is_data_changed=False)
        for file in change.added:
            yield _add(file, now_ms, is_data_changed=True)

    def _first_meta(self, schema: str, table_id: str, now_ms: int) -> dict[str, Any]:
        return {
            "id": table_id,
            "name": self.event_name,
            "format": {"provider": "parquet", "options": {}},
            "schemaString": schema,
            "partitionColumns": list(PARTITION),
            "configuration": {
                "delta.checkpointInterval": str(CHECKPOINT_EVERY),
                "delta.dataSkippingStatsColumns": "created_datetime,arrived_at",
            },
            "createdTime": now_ms,
        }


def open_typed(storage: Storage, event_name: str, folder: str) -> TypedTable:
    """A table of typed events at its newest version; one that is not there yet is made by its first commit.

    Raises:
        TransientError: it cannot be read now.
        PermanentError: it needs a feature that this version cannot write.
    """
    path = f"{ROOT}/{folder}"
    try:
        opened = open_table(storage, path)
        log = DeltaLog.of(storage, path, APP_ID, opened)
        metadata, schema = opened.metadata(), opened.schema().to_json()
    except TableNotFoundError:
        return TypedTable(event_name=event_name, folder=folder, log=DeltaLog(storage, path, APP_ID))
    except (DeltaError, OSError) as error:
        raise TransientError(f"cannot open the Delta table {storage.root}/{path}: {one_line(error)}") from error
    meta = {
        "id": metadata.id,
        "name": metadata.name,
        "description": metadata.description,
        "format": {"provider": "parquet", "options": {}},
        "schemaString": schema,
        "partitionColumns": metadata.partition_columns,
        "configuration": metadata.configuration,
        "createdTime": metadata.created_time,
    }
    members = members_of(msgspec.json.decode(schema))
    return TypedTable(event_name=event_name, folder=folder, log=log, members=members, meta=meta)


def drift_since(table: TypedTable, version: int) -> list[tuple[str, str, str, int]]:
    """What the commits after a version say of values without a column; a version that was cleaned up says nothing."""
    found: list[tuple[str, str, str, int]] = []
    for number in range(version + 1, table.log.version + 1):
        content = table.log.storage.get(version_path(table.path, number)) or b""
        first = msgspec.json.decode(content.split(b"\n", 1)[0] or b"{}")
        found += [tuple(line) for line in first.get("commitInfo", {}).get(DRIFT_KEY, ())]
    return found


def _schema(members: Sequence[Member] | None) -> dict[str, Any]:
    if members is None:
        return delta_schema(COMMON, (), [EVENTS.field("payload")])
    return delta_schema(COMMON, members, [_RESCUED_FIELD])


def _is_in_the_way(seen: Sequence[Action], change: Change) -> bool:
    """True where others changed the columns, or took away a file that this change takes away."""
    removed = {_quoted(path) for path in change.removed_paths}
    return any(bytes(a.metaData) or (a.remove is not None and a.remove.path in removed) for a in seen)


def _quoted(path: str) -> str:
    return str(add(path, {}, 0, {}, 0)["add"]["path"])


def _add(file: DataFile, now_ms: int, *, is_data_changed: bool) -> dict[str, Any]:
    return add(file.path, file.partition, file.size, file.stats, now_ms, is_data_changed=is_data_changed)


def _remove(file: DataFile, now_ms: int, *, is_data_changed: bool) -> dict[str, Any]:
    return remove(_quoted(file.path), file.partition, file.size, now_ms, is_data_changed=is_data_changed)
