"""The settings of `headgate compact`."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from headgate.config.duration import duration_us

MIB = 1 << 20  # bytes


class Compaction(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Small files of a Delta lake joined to large ones, removed files deleted."""

    auto: Annotated[bool, Meta(description="Compact beside `run`, in a process of its own, when files pile up.")] = (
        False
    )
    small_files: Annotated[
        int, Meta(ge=2, description="Files written by a run after which `auto` compacts once more.")
    ] = 5000
    target_file_bytes: Annotated[
        int, Meta(ge=MIB, le=1024 * MIB, description="Bytes at which a file is large enough.")
    ] = 128 * MIB
    retention: Annotated[
        str,
        Meta(
            description="How long removed files are kept, for time travel and for queries under way; at least an hour."
        ),
    ] = "7d"

    def __post_init__(self) -> None:
        """Refuse a text that is no duration."""
        duration_us(self.retention)

    @property
    def retention_us(self) -> int:
        """`retention` in microseconds."""
        return duration_us(self.retention)
