"""How a lake is written, and what a table format must be able to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from headgate.lake.entry import Entry
from headgate.lake.stage import JsonStyle


class Tables(Protocol):
    """How a table format makes rows visible."""

    def create(self) -> None:
        """Make what must exist before the first commit. Safe to race."""
        ...

    def publish(self, entries: list[Entry]) -> None:
        """Show the rows of the entries, in order. Safe to repeat and to race."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LakeOptions:
    """Settings of a writer.

    Attributes:
        max_event_types: how many event types the lake may hold.
        config_digest: digest of the effective configuration, kept with each entry.
        json_style: how `--format json` writes.
        stage_threads: threads that encode and sync files.
        writer: added to host, pid and version in each entry.
    """

    max_event_types: int = 1_000
    config_digest: str = ""
    json_style: JsonStyle = field(default_factory=JsonStyle)
    stage_threads: int = 2
    writer: Mapping[str, str] = field(default_factory=dict)
