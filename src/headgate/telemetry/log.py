"""Log lines on standard error: one fact, one line; text for people, JSON for machines.

Law: whatever a fact holds, a line stays one line, and nothing of it steers a terminal.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import IO, Literal

import pyarrow as pa

from headgate.telemetry.facts import BatchCommitted, BatchFinished, LagMeasured, Published, StageTimed

LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40}
DEBUG_ONLY = (BatchCommitted, LagMeasured, StageTimed, Published)  # one canonical line a batch is enough for the others
NAMES = {BatchFinished: "batch_committed", BatchCommitted: "entry_written"}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_NAME_WIDTH = 16  # characters of the longest names that come often
_COUNT_WIDTH = 9  # characters of a number up to a million
_STYLES = {"DEBUG": "2", "INFO": "32", "WARNING": "33", "ERROR": "31"}  # SGR codes


class LogLines:
    """Writes facts as lines; see `ports.Telemetry`."""

    def __init__(
        self,
        stream: IO[str],
        *,
        level: Literal["debug", "info", "warning", "error"],
        style: Literal["text", "json"],
        now_us: Callable[[], int],
        is_coloured: bool = False,
    ) -> None:
        """Write to a stream the facts of at least this level.

        Args:
            stream: one that cannot be written loses its lines.
            level: the least one.
            style: text for people, json for machines.
            now_us: wall-clock microseconds since 1970.
            is_coloured: text for a terminal that shows colours.
        """
        self._stream, self._style, self._now_us, self._is_coloured = stream, style, now_us, is_coloured
        self._least = LEVELS[level.upper()]

    def emit(self, fact: object) -> None:
        """Write a fact."""
        level = "DEBUG" if isinstance(fact, DEBUG_ONLY) else str(getattr(fact, "level", "INFO"))
        if LEVELS[level] < self._least:
            return
        at = (EPOCH + timedelta(microseconds=self._now_us())).isoformat(timespec="milliseconds")
        name = NAMES.get(type(fact)) or _name(type(fact).__name__)
        values = {
            f.name: _plain(value)
            for f in fields(fact)  # type: ignore[arg-type]
            if not isinstance(value := getattr(fact, f.name), pa.Table)
        }
        if self._style == "json":
            line = json.dumps({"time": at, "level": level, "event": name, **values})  # control characters are escaped
        else:
            said = _batch(fact) if isinstance(fact, BatchFinished) else _pairs(values)
            line = (
                f"{at} {self._shown(f'{level:<7}', _STYLES[level])} {self._shown(f'{name:<{_NAME_WIDTH}}', '1')} {said}"
            )
        with contextlib.suppress(OSError, ValueError):  # a log that is full or closed must not stop the flow
            self._stream.write(f"{line}\n")  # one call: lines of several threads do not mix
            self._stream.flush()

    def _shown(self, text: str, style: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if self._is_coloured else text


def _batch(fact: BatchFinished) -> str:
    """The canonical line for people: numbers below numbers."""
    counts = fact.counts
    parts = [
        f"#{fact.number:<6} {counts.received:>{_COUNT_WIDTH},} received"
        f" = {counts.accepted:>{_COUNT_WIDTH},} accepted + {counts.duplicates:>{_COUNT_WIDTH - 2},} duplicates"
        f" + {counts.rejected:>{_COUNT_WIDTH - 2},} rejected  {fact.took_seconds:6.2f} s",
        _pairs(
            {
                "conflicts": fact.conflicts, "types": fact.types, "bytes": fact.payload_bytes, "files": fact.files,
                "file_bytes": fact.file_bytes, "shards": fact.shards, "lag": _plain(fact.lag),
                "seconds": {stage: round(seconds, 2) for stage, seconds in fact.seconds.items()},
                "rejects": _plain(fact.reasons), "warnings": _plain(fact.warnings),
            }
        ),
    ]  # fmt: skip
    return "  ".join(parts)


def _name(type_name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in type_name).lstrip("_")


def _plain(value: object) -> object:
    if hasattr(value, "_asdict"):
        return value._asdict()
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    return round(value, 4) if isinstance(value, float) else value


def _pairs(values: Mapping[str, object]) -> str:
    return " ".join(f"{key}={_text(value)}" for key, value in values.items())


def _text(value: object) -> str:
    if isinstance(value, dict):
        value = ",".join(f"{k}:{v}" for k, v in value.items()) or "-"
    text = str(value)
    # A control character in a name from the data must not steer a terminal or forge a line.
    if not text.isprintable() or " " in text or '"' in text:
        return json.dumps(text, ensure_ascii=True)
    return text or '""'
