"""What one `run` is told beside the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A source, a lake, and how they are meant.

    Attributes:
        source: file, folder, glob, `s3://bucket/prefix`, `kinesis://STREAM` or `-`.
        lake: local folder or `s3://bucket/prefix`.
        once: end when the source is drained; None: files end, nothing else does.
        format: asked for on the command line; None for whatever the lake is.
    """

    source: str
    lake: str
    once: bool | None = None
    format: Literal["delta", "parquet", "json"] | None = None
