"""Every byte of a lake, also as it is inside compressed files: for tests of what must not be there."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from headgate.lake.storage import Storage


def contents(storage: Storage) -> Iterator[tuple[str, bytes]]:
    """Each file's path and bytes, and the same path again with what the file holds unpacked.

    Args:
        storage: of the lake; all its files are read, `_headgate` and Delta logs included.
    """
    for path in storage.list(""):
        content = storage.get(path) or b""
        yield path, path.encode() + b" " + content
        if path.endswith(".gz"):
            content = gzip.decompress(content)
            yield path, content
        if path.endswith((".jsonl", ".jsonl.gz")):
            for line in content.splitlines():
                yield path, base64.b64decode(json.loads(line).get("raw") or "")
        if path.endswith(".parquet"):
            for row in pq.ParquetFile(pa.BufferReader(content)).read().to_pylist():
                yield path, b" ".join(v if isinstance(v, bytes) else str(v).encode() for v in row.values())
