"""The event of which a duplicate is a copy, found by its position; the files that arrived next to the copy first."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.columns import one_array
from headgate.core.keys import keys_of
from headgate.jobs.existing import ExistingLake
from headgate.lake import jsonl
from headgate.lake.erasures import erased_rows
from headgate.report.dashboard.tables import TableFile, TooLarge, files_of, last_rows

MAX_FILES = 600
MAX_SECONDS = 3.0


class Original(NamedTuple):
    """What became of the search: the row of `events`, or why there is none. `files` were looked into.

    `none` is said where every file was looked into, `gave up` where one was not.
    """

    row: dict[str, Any] | None
    outcome: Literal["found", "erased", "none", "gave up"]
    files: int


def find_original(lake: ExistingLake, copy: Mapping[str, Any]) -> Original:
    """Look for the original of a row of `duplicates`.

    Args:
        lake: whose row.
        copy: its columns.

    Raises:
        TransientError: the storage did not answer.
        PermanentError: `events` cannot be read.
    """
    key = _key(copy["event_uuid"])
    files = sorted(files_of(lake, "events"), key=lambda file: _distance(file, copy))
    until, opened, is_skipped = time.monotonic() + MAX_SECONDS, 0, False
    for file in files:
        if opened >= MAX_FILES or time.monotonic() > until:
            return Original(None, "gave up", opened)
        try:
            found = last_rows(
                lake,
                "events",
                file,
                lambda block: _is_it(block, copy, key),
                large=("payload",),
                before=None,
                count=1,
                until=until,
            )
        except TooLarge:
            is_skipped = True
            continue
        opened += 1
        if found.numbers:
            row = found.rows.to_pylist()[0]
            return Original({**row, "payload": sent(lake, row)}, "found", opened)
        is_skipped = is_skipped or found.below > 0
    if _is_erased(lake, copy):
        return Original(None, "erased", opened)
    return Original(None, "gave up" if is_skipped else "none", opened)


def sent(lake: ExistingLake, row: Mapping[str, Any]) -> str:
    """The event's own text of a row of `events` or `duplicates`; of a json lake, which keeps lines, rebuilt."""
    payload = str(row["payload"])
    return jsonl.original(payload.encode()) if lake.about.format == "json" else payload


def _distance(file: TableFile, copy: Mapping[str, Any]) -> tuple[bool, bool, int]:
    """Small for a file that probably holds it: same type, same date, arrived next to the copy."""
    arrived = round(copy["arrived_at"].timestamp() * 1e6)
    away = max(0, file.oldest_us - arrived, arrived - file.newest_us)
    created = str(file.partition.get("created_date", ""))
    return file.partition.get("event_type") != copy["event_type"], created != str(copy["created_date"]), away


def _is_it(block: pa.Table, copy: Mapping[str, Any], key: bytes) -> npt.NDArray[np.bool_]:
    """The row at the original's position with the id of the copy; positions of two sources may be the same."""
    at = pc.and_(
        pc.equal(block["sequence"], copy["original_sequence"]), pc.equal(block["shard"], copy["original_shard"])
    )
    mask = np.array(pc.fill_null(at, False))
    for number in np.flatnonzero(mask):
        mask[number] = _key(block["event_uuid"][int(number)].as_py()) == key
    return mask


def _key(event_uuid: str) -> bytes:
    return keys_of(one_array(pa.chunked_array([pa.array([event_uuid], pa.string())]))).tobytes()


def _is_erased(lake: ExistingLake, copy: Mapping[str, Any]) -> bool:
    gone = erased_rows(lake.storage)
    is_it = (
        (pc.field("table") == "events")
        & (pc.field("shard") == copy["original_shard"])
        & (pc.field("sequence") == copy["original_sequence"])
    )
    return bool(gone.filter(is_it).num_rows)
