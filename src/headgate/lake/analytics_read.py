"""The typed tables under `analytics/`, each a Delta table, read as Arrow datasets whatever the lake's own format."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable
from pyarrow.fs import FileSelector, FileType

from headgate.lake import read
from headgate.lake.storage import Storage

ANALYTICS = "analytics"  # folder of the lake, and schema of the views


def folders(storage: Storage) -> list[str]:
    """Names of the folders that hold a table, sorted; nothing below them is listed.

    Raises:
        TransientError: the storage did not answer.
    """
    files = storage.arrow_files()
    with read.waiting_for(storage, ANALYTICS):
        found = files.get_file_info(FileSelector(ANALYTICS, allow_not_found=True))
        names = sorted(one.base_name for one in found if one.type == FileType.Directory)
        logs = files.get_file_info([f"{ANALYTICS}/{name}/_delta_log" for name in names])
    return [name for name, log in zip(names, logs, strict=True) if log.type == FileType.Directory]


def dataset(storage: Storage, table: str, opened: DeltaTable) -> ds.Dataset:
    """One table, with the columns that its log names, in their order; files of other partitions are never opened.

    Args:
        storage: of the lake.
        table: path of the table.
        opened: at the version that is to be shown.
    """
    schema = pa.schema(opened.schema().to_arrow())
    return read.of_log(storage, opened, table, schema, opened.metadata().partition_columns)
