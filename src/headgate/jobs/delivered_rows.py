"""Delivered rows judged against the tables of a lake: what is new, what is there, whose copy a row is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.columns import one_array
from headgate.core.filed import UNKNOWN, filed_tables
from headgate.core.filing import KNOWN, NONE, Judged, judge, known_of, known_of_erased, once, places, without_erased
from headgate.core.keys import fingerprints, keys_of
from headgate.jobs.lookup import Lookup
from headgate.lake.erasures import erased_rows, has_digests, secret_of
from headgate.lake.lake import TableLake

#: A record that came without its arrival bears the time of the invocation, of which retries follow within minutes.
ARRIVAL_SLACK_US = 3600 * 1_000_000  # microseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is to be filed of some rows.

    Attributes:
        tables: EVENTS, DUPLICATES and REJECTED to be filed.
        repeated: rows at positions that are filed already, or stand twice among the rows.
        accepted_again: events that became duplicates of another with their id.
        waiting: duplicates that wait for their original.
    """

    tables: dict[str, pa.Table]
    repeated: int
    accepted_again: int
    waiting: int


def judge_rows(lake: TableLake, rows: Mapping[str, pa.Table], window_us: int, settled_us: int) -> Found:
    """Judge rows.

    Args:
        lake: all of its ledger is published.
        rows: EVENTS, DUPLICATES and REJECTED by table.
        window_us: of de-duplication, microseconds.
        settled_us: a duplicate that arrived before this is filed also without an original.

    Raises:
        TransientError: the lake did not answer.
    """
    tables = once(dict(rows))
    low, high = _span(tables)
    first, last = low - ARRIVAL_SLACK_US, high + ARRIVAL_SLACK_US
    lookup = Lookup(lake.storage, lake.about.format)
    try:
        tables = {name: lookup.without_known(some, first, last) for name, some in tables.items()}
        keys = _keys(tables)
        there = lookup.events_with(keys, low - window_us, high + window_us)
        # Read last: a row is recorded before it is taken out of the table in which it was looked for.
        erased = erased_rows(lake.storage)
        tables = {name: without_erased(some, erased) for name, some in tables.items()}
        events, duplicates = tables["events"], tables["duplicates"]
        known = pa.concat_tables([there, _known_erased(lake, erased, keys)])
        judged = judge(known, events, duplicates, window_us, settled_us)
        prints = _fingerprints(lookup, known, events, duplicates, judged)
    finally:
        lookup.close()
    owners = pa.concat_tables([known, known_of(events)])
    return Found(
        tables=filed_tables(events, duplicates, tables["rejected"], judged, owners, prints),
        repeated=_count(rows) - _count(tables),
        accepted_again=int((~judged.accepted).sum()),
        waiting=int((~judged.is_filed).sum()),
    )


def _keys(tables: Mapping[str, pa.Table]) -> npt.NDArray[np.uint8]:
    """Of the ids of events and duplicates."""
    return np.concatenate([keys_of(one_array(tables[name]["event_uuid"])) for name in ("events", "duplicates")])


def _known_erased(lake: TableLake, erased: pa.Table, keys: npt.NDArray[np.uint8]) -> pa.Table:
    """KNOWN of the erased events with these ids; of one that is still in its table it says the same again."""
    if not len(keys) or not has_digests(erased):
        return KNOWN.empty_table()
    return known_of_erased(erased, keys, secret_of(lake.storage))


def _count(tables: Mapping[str, pa.Table]) -> int:
    return sum(rows.num_rows for rows in tables.values())


def _span(tables: Mapping[str, pa.Table]) -> tuple[int, int]:
    """First and last arrival of the rows, microseconds."""
    bounds = [pc.min_max(rows["arrived_at"].cast(pa.int64())).as_py() for rows in tables.values() if rows.num_rows]
    return min((b["min"] for b in bounds), default=0), max((b["max"] for b in bounds), default=0)


def _fingerprints(
    lookup: Lookup, known: pa.Table, events: pa.Table, duplicates: pa.Table, judged: Judged
) -> npt.NDArray[np.uint64]:
    """Of payloads: of known events, the batch's events and its duplicates, as far as originals are named anew."""
    found = np.zeros(known.num_rows + events.num_rows + duplicates.num_rows, dtype=np.uint64)
    named = np.unique(np.concatenate([judged.original[judged.original != NONE], judged.mended[judged.mended != NONE]]))
    if not len(named):
        return found
    payloads = [one_array(rows["payload"]) for rows in (events, duplicates)]
    found[known.num_rows :] = np.concatenate([fingerprints(some) for some in payloads])
    before = named[named < known.num_rows]
    if len(before):
        asked = known.take(pa.array(before))
        held = lookup.payloads(asked)
        at = pc.index_in(places(asked), one_array(places(held)))
        prints = np.append(fingerprints(one_array(held["payload"])), UNKNOWN)  # erased
        found[before] = prints[np.asarray(at.fill_null(-1))]
    return found
