"""What a delivery stream delivered and what its transformation kept beside it, by none of the writing code."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from headgate.testing.firehose_driver import DeliveryStream

_KEPT = {"events": "event_uuid", "duplicates": "event_uuid", "rejected": "reason"}


class Position(NamedTuple):
    """Where an event stood."""

    shard: str
    sequence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What a delivery and the objects beside it hold, each position once.

    Attributes:
        delivered: ids of delivered lines.
        events: ids of accepted events that were kept for `build`.
        duplicates: ids.
        rejected: reasons.
        raw: how often each reason and raw bytes were rejected.
        lines: delivered lines in all, repeats included.
    """

    delivered: Mapping[Position, str]
    events: Mapping[Position, str]
    duplicates: Mapping[Position, str]
    rejected: Mapping[Position, str]
    raw: Counter[tuple[str, bytes]]
    lines: int

    def breaches(self, truth: Mapping[str, Any]) -> list[str]:
        """Everything that is not as promised, beside what a generator knows."""
        accepted = {**self.delivered, **self.events}
        ids = Counter(canonical(text) for text in accepted.values())
        found: dict[str, object] = {
            "accepted": len(accepted),
            "duplicates": len(self.duplicates),
            "rejected": len(self.rejected),
            "received": len({**accepted, **self.duplicates, **self.rejected}),
            "rejected_by_reason": dict(Counter(self.rejected.values())),
        }
        wrong = {name: value for name, value in found.items() if value != truth[name]}
        said = [f"{name}: found {value}, the truth is {truth[name]}" for name, value in wrong.items()]
        if twice := [text for text, count in ids.items() if count > 1]:
            said.append(f"{len(twice)} ids accepted twice, for example {twice[:3]}")
        if orphans := {canonical(text) for text in self.duplicates.values()} - ids.keys():
            said.append(f"{len(orphans)} duplicates have no original, for example {sorted(orphans)[:3]}")
        return said

    @property
    def ids(self) -> list[str]:
        """Accepted ids, each UUID in one spelling, sorted."""
        return sorted(canonical(text) for text in {**self.delivered, **self.events}.values())


def kept(stream: DeliveryStream, lake: Path) -> Kept:
    """Read what was delivered, and what a transformation kept in its lake."""
    lines = [json.loads(line) for content in stream.files.values() for line in content.splitlines()]
    delivered = {
        Position(line["_headgate"]["shard"], line["_headgate"]["sequence"]): str(line["event_uuid"]) for line in lines
    }
    rows = {table: _kept_rows(lake, table, column) for table, column in _KEPT.items()}
    raws = {
        Position(shard, sequence): (str(reason), bytes(raw))
        for shard, sequence, reason, raw in _select(lake, "rejected", "shard, sequence, reason, raw")
    }
    return Kept(
        delivered=delivered,
        events=rows["events"],
        duplicates=rows["duplicates"],
        rejected=rows["rejected"],
        raw=Counter(raws.values()),
        lines=len(lines),
    )


def _kept_rows(lake: Path, table: str, column: str) -> dict[Position, str]:
    return {
        Position(shard, sequence): str(value)
        for shard, sequence, value in _select(lake, table, f"shard, sequence, {column}")
    }


def _select(lake: Path, table: str, columns: str) -> list[tuple[Any, ...]]:
    files = [str(path) for path in (lake / "_headgate" / "firehose").rglob(f"*-{table}.parquet")]
    if not files:
        return []
    with duckdb.connect() as connection:
        return connection.execute(f"SELECT {columns} FROM read_parquet($files)", {"files": files}).fetchall()  # noqa: S608


def canonical(text: str) -> str:
    """A UUID in the one spelling that all its spellings share; any other id as it is."""
    stripped = text.lower().removeprefix("urn:uuid:").translate({ord(c): None for c in "{}-"})
    is_uuid = len(stripped) == 32 and set(stripped) <= set("0123456789abcdef")
    return stripped if is_uuid else text
