"""One Delta table's log, read and extended without delta-rs; its actions as the protocol spells them.

Law: the log is extended only at the version after the last one read, by put-if-absent, and every version in between
was read for our `txn`. So two commits of the same number are impossible, whoever races; and where the answer to a
write was lost, the next try reads that very version and finds our `txn` in it. delta-rs finds the state on
opening and writes the checkpoints.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from headgate.errors import PermanentError, TransientError
from headgate.lake.storage import Storage

WRITER_VERSION = 2  # protocol; what is written here needs nothing newer
_DECORATION = re.compile(r"\x1b\[\d*m|↳")
_LONGEST_REASON = 300  # characters


class Transaction(msgspec.Struct):
    """`txn`: how far an application has come."""

    appId: str  # noqa: N815  the protocol's spelling
    version: int


class Protocol(msgspec.Struct):
    """`protocol`: what a writer must know."""

    minWriterVersion: int  # noqa: N815  the protocol's spelling


class Removed(msgspec.Struct):
    """`remove`: a file that is no longer in the table; its path is URL-encoded."""

    path: str


class Action(msgspec.Struct):
    """One line of the log, as far as it matters here; metaData and commitInfo as JSON text, empty for none."""

    txn: Transaction | None = None
    protocol: Protocol | None = None
    remove: Removed | None = None
    metaData: msgspec.Raw = msgspec.Raw()  # noqa: N815
    commitInfo: msgspec.Raw = msgspec.Raw()  # noqa: N815


class DeltaLog:
    """How far one table's log was read. One instance belongs to one thread at a time.

    Attributes:
        storage: of the lake.
        table: its folder.
        app_id: of our `txn` actions.
        version: the last one read; -1 before the first.
        number: version of the last `txn` of ours that was read; 0 where there is none.
    """

    def __init__(self, storage: Storage, table: str, app_id: str, *, version: int = -1, number: int = 0) -> None:
        """Begin at a version whose state is known; -1 for a table that is still to be made."""
        self.storage, self.table, self.app_id = storage, table, app_id
        self.version, self.number = version, number

    @classmethod
    def open(cls, storage: Storage, table: str, app_id: str) -> DeltaLog:
        """The newest state by delta-rs, which finds it from the last checkpoint.

        Raises:
            PermanentError: there is no such table, or it needs a feature that this version cannot write.
            TransientError: it cannot be read now.
        """
        uri = f"{storage.root}/{table}"
        try:
            return cls.of(storage, table, app_id, open_table(storage, table))
        except TableNotFoundError as error:
            raise PermanentError(f"{uri} is no Delta table: restore its _delta_log from a backup") from error
        except UnreadableLogError:
            raise
        except (DeltaError, OSError) as error:
            raise TransientError(f"cannot open the Delta table {uri}: {one_line(error)}") from error

    @classmethod
    def of(cls, storage: Storage, table: str, app_id: str, opened: DeltaTable) -> DeltaLog:
        """The state of a table that delta-rs has opened.

        Raises:
            PermanentError: it needs a feature that this version cannot write.
        """
        check_protocol(table, opened.protocol().min_writer_version)
        number = opened.transaction_version(app_id) or 0
        return cls(storage, table, app_id, version=opened.version(), number=number)

    def advance(self) -> list[Action] | None:
        """Read every version after the last one read.

        Returns:
            What others wrote; None where the last one read is no longer there: the log was cleaned up, open anew.

        Raises:
            PermanentError: the table needs a feature by now that this version cannot write.
        """
        if self.version >= 0 and not self.storage.exists(version_path(self.table, self.version)):
            return None
        found: list[Action] = []
        while (content := self.storage.get(version_path(self.table, self.version + 1))) is not None:
            for action in map(_ACTION.decode, content.splitlines()):
                if action.protocol is not None:
                    check_protocol(self.table, action.protocol.minWriterVersion)
                if action.txn is not None and action.txn.appId == self.app_id:
                    self.number = max(self.number, action.txn.version)
                found.append(action)
            self.version += 1
        return found

    def extend(self, actions: Iterable[Mapping[str, Any]], number: int) -> bool:
        """Write the next version.

        Args:
            actions: its lines.
            number: that of the `txn` among them.

        Returns:
            False where somebody was quicker: `advance`, look what it was, and try again.

        Raises:
            TransientError: nobody knows; `advance` tells.
        """
        content = b"".join(msgspec.json.encode(action) + b"\n" for action in actions)
        if not self.storage.put_if_absent(version_path(self.table, self.version + 1), content):
            return False
        self.version, self.number = self.version + 1, number
        return True

    def checkpoint(self, every: int) -> None:
        """Write a checkpoint where one is due, so that readers start from it; a failure is no matter."""
        if self.version and not self.version % every:
            write_checkpoint(self.storage, self.table)


_ACTION = msgspec.json.Decoder(Action)


class UnreadableLogError(PermanentError, DeltaError):
    """The log of a table is damaged. Reaction: stop, and restore it; readers may go on without the table."""


_DAMAGED = ("Json error", "found gap")  # what delta-rs says of a log that was read and makes no sense


def open_table(storage: Storage, table: str, version: int | None = None) -> DeltaTable:
    """A table of a lake by delta-rs, at its newest version or another one.

    Raises:
        TableNotFoundError: there is none.
        UnreadableLogError: its log is damaged.
        OSError: it cannot be read.
        TransientError: the same of a remote lake, where it mostly is the network.
    """
    uri = f"{storage.root}/{table}"
    try:
        return DeltaTable(uri, version=version, storage_options=storage.delta_options)
    except TableNotFoundError:
        raise
    except (DeltaError, OSError) as error:
        is_damaged = any(said in str(error) for said in _DAMAGED)
        if is_damaged or (isinstance(error, DeltaError) and not storage.is_remote):
            said = f"the log of the Delta table {uri} cannot be read ({one_line(error)})"
            raise UnreadableLogError(f"{said}: restore its _delta_log from a backup") from error
        if not storage.is_remote:
            raise
        raise TransientError(f"cannot open the Delta table {uri}: {one_line(error)}") from error


def write_checkpoint(storage: Storage, table: str) -> None:
    """Write a checkpoint, so that readers start from it; a failure is no matter, the next follows."""
    try:
        open_table(storage, table).create_checkpoint()
    except (DeltaError, OSError, TransientError):
        return


def one_line(error: Exception) -> str:
    """What delta-rs says over many coloured lines, for a message."""
    return " ".join(_DECORATION.sub(" ", str(error)).partition("\n   0: ")[0].split())[:_LONGEST_REASON]


def version_path(table: str, version: int) -> str:
    """Where a version of a table's log lies in the lake."""
    return f"{table}/_delta_log/{version:020d}.json"


def commit_info(
    now_ms: int, operation: str, parameters: Mapping[str, str], *, is_append: bool, **more: Any
) -> dict[str, Any]:
    """The action that says who wrote what; `more` is ours."""
    return {
        "commitInfo": {
            "timestamp": now_ms,
            "operation": operation,
            "operationParameters": parameters,
            "isBlindAppend": is_append,
            "engineInfo": "headgate",
            **more,
        }
    }


def partition_by(columns: Sequence[str]) -> str:
    """Partition columns as `commitInfo` names them."""
    return msgspec.json.encode(columns).decode()


def txn(app_id: str, number: int, now_ms: int) -> dict[str, Any]:
    """The action that says how far an application has come."""
    return {"txn": {"appId": app_id, "version": number, "lastUpdated": now_ms}}


def add(
    path: str,
    partition: Mapping[str, str],
    size: int,
    stats: Mapping[str, Any],
    now_ms: int,
    *,
    is_data_changed: bool = True,
) -> dict[str, Any]:
    """The action that shows a file.

    Args:
        path: within the table, not encoded.
        partition: values as sent, by column.
        size: bytes.
        stats: Delta statistics.
        now_ms: when it was written.
        is_data_changed: False where the same rows stood in another file before.
    """
    return {
        "add": {
            "path": quote(path, safe="/="),
            "partitionValues": partition,
            "size": size,
            "modificationTime": now_ms,
            "dataChange": is_data_changed,
            "stats": msgspec.json.encode(stats).decode(),
        }
    }


def remove(
    encoded_path: str, partition: Mapping[str, str], size: int, now_ms: int, *, is_data_changed: bool = True
) -> dict[str, Any]:
    """The action that hides a file.

    Args:
        encoded_path: within the table, as the log has it.
        partition: its values, by column.
        size: bytes.
        now_ms: when.
        is_data_changed: False where the same rows stand in another file from now on.
    """
    return {
        "remove": {
            "path": encoded_path,
            "deletionTimestamp": now_ms,
            "dataChange": is_data_changed,
            "extendedFileMetadata": True,
            "partitionValues": partition,
            "size": size,
        }
    }


def check_protocol(table: str, min_writer_version: int) -> None:
    """Refuse a table that asks for more than is written here."""
    if min_writer_version > WRITER_VERSION:
        raise PermanentError(
            f"the Delta table {table} asks for writer version {min_writer_version}, Headgate writes version "
            f"{WRITER_VERSION}: another tool switched a feature on; switch it off or use a newer Headgate"
        )
