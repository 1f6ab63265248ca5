"""Log lines on standard error: one fact, one line; text for people, JSON for machines."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import IO, Literal

from headgate.ports import Telemetry
from headgate.telemetry.facts import Published, StageTimed

LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40}
DEBUG_ONLY = (StageTimed, Published)  # one canonical line a batch is enough for the others
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class LogLines:
    """Writes facts as lines; see `ports.Telemetry`."""

    def __init__(
        self,
        stream: IO[str],
        *,
        level: Literal["debug", "info", "warning", "error"],
        style: Literal["text", "json"],
        now_us: Callable[[], int],
    ) -> None:
        """Write to a stream the facts of at least this level."""
        self._stream, self._style, self._now_us = stream, style, now_us
        self._least = LEVELS[level.upper()]

    def emit(self, fact: object) -> None:
        """Write a fact."""
        level = "DEBUG" if isinstance(fact, DEBUG_ONLY) else str(getattr(fact, "level", "INFO"))
        if LEVELS[level] < self._least:
            return
        at = (EPOCH + timedelta(microseconds=self._now_us())).isoformat(timespec="milliseconds")
        name = _name(type(fact).__name__)
        values = {f.name: _plain(getattr(fact, f.name)) for f in fields(fact)}  # type: ignore[arg-type]
        if self._style == "json":
            line = json.dumps({"time": at, "level": level, "event": name, **values}, ensure_ascii=False)
        else:
            pairs = " ".join(f"{key}={_text(value)}" for key, value in values.items())
            line = f"{at} {level:<7} {name} {pairs}"
        with contextlib.suppress(OSError):  # a log that cannot be written must not stop the flow
            print(line, file=self._stream, flush=True)


class Tee:
    """Hands every fact to several."""

    def __init__(self, *sinks: Telemetry) -> None:
        """Keep the sinks."""
        self._sinks = list(sinks)

    def add(self, sink: Telemetry) -> None:
        """One more from now on."""
        self._sinks.append(sink)

    def emit(self, fact: object) -> None:
        """Pass a fact on."""
        for sink in self._sinks:
            sink.emit(fact)


def _name(type_name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in type_name).lstrip("_")


def _plain(value: object) -> object:
    if hasattr(value, "_asdict"):
        return value._asdict()
    if isinstance(value, Mapping):
        return dict(value)
    return round(value, 4) if isinstance(value, float) else value


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ",".join(f"{k}:{v}" for k, v in value.items()) or "-"
    text = str(value)
    # A control character in a name from the data must not steer a terminal or forge a line.
    if not text.isprintable() or " " in text or '"' in text:
        return json.dumps(text, ensure_ascii=True)
    return text or '""'
