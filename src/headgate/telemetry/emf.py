"""CloudWatch embedded metric format: one line of JSON on standard output an invocation, which CloudWatch reads.

Format: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
A metric of which nothing is known in an invocation is left out of its line, because a line must hold a value for each
metric that it names.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc

from headgate.telemetry.facts import BatchCommitted, RecordsTransformed, StageTimed

NAMESPACE = "Headgate"
DIMENSIONS = ("Function", "Lake")
#: Metric to CloudWatch's unit, in the order of the line.
METRICS = {
    "Received": "Count",
    "Accepted": "Count",
    "Duplicates": "Count",
    "Conflicts": "Count",
    "Rejected": "Count",
    "Warnings": "Count",
    "Bytes": "Bytes",
    "CommitSeconds": "Seconds",
    "Lag": "Seconds",
    "ColdStart": "Count",
    "Failed": "Count",
}
_SUMS = {
    "received": "Received",
    "accepted": "Accepted",
    "duplicates": "Duplicates",
    "conflicts": "Conflicts",
    "rejected": "Rejected",
    "payload_bytes": "Bytes",
}
MAX_DIMENSION = 1024  # characters of a dimension's value that CloudWatch takes


class EmbeddedMetrics:
    """A Telemetry that writes the figures of each invocation as one line."""

    def __init__(self, stream: IO[str], *, lake: str, now_us: Callable[[], int]) -> None:
        """Nothing was invoked yet.

        Args:
            stream: standard output; one that cannot be written loses the line.
            lake: the lake's URI.
            now_us: wall-clock microseconds since 1970.
        """
        self._stream, self._lake, self._now_us = stream, lake, now_us
        self._lock = threading.Lock()
        self._is_cold = True
        self._values: dict[str, float] = {}

    def emit(self, fact: object) -> None:
        """Add up a fact of the invocation under way."""
        with self._lock:
            if isinstance(fact, BatchCommitted | RecordsTransformed) and fact.quality is not None:
                self._add(fact.quality)
            elif isinstance(fact, StageTimed) and fact.stage == "commit":
                self._values["CommitSeconds"] = self._values.get("CommitSeconds", 0.0) + fact.wall_seconds

    @contextlib.contextmanager
    def invocation(self, function: str) -> Iterator[None]:
        """Everything that is told within belongs to one invocation, whose line is written at its end.

        Args:
            function: its name.
        """
        self.begin()
        failed = 1
        try:
            yield
            failed = 0
        finally:
            self.end(function, failed=failed)

    def begin(self) -> None:
        """An invocation begins."""
        with self._lock:
            self._values = {**dict.fromkeys([*_SUMS.values(), "Warnings"], 0), "ColdStart": int(self._is_cold)}
            self._is_cold = False

    def end(self, function: str, *, failed: int) -> None:
        """It ended: write its line; `failed` is 1 where it raised."""
        with self._lock:
            line = self._line(function, {**self._values, "Failed": failed})
        with contextlib.suppress(OSError, ValueError):  # what was committed does not depend on a line
            self._stream.write(f"{line}\n")
            self._stream.flush()

    def _add(self, quality: pa.Table) -> None:
        for column, name in _SUMS.items():
            self._values[name] = self._values.get(name, 0) + (pc.sum(quality[column]).as_py() or 0)
        warned = sum(count for row in quality["warnings"].to_pylist() for _, count in row or ())
        self._values["Warnings"] = self._values.get("Warnings", 0) + warned
        newest_us = pc.max(quality["arrived_max"].cast(pa.int64())).as_py()
        if newest_us is not None:
            self._values["Lag"] = max(0, self._now_us() - newest_us) / 1e6

    def _line(self, function: str, values: dict[str, float]) -> str:
        known = {name: unit for name, unit in METRICS.items() if name in values}
        return json.dumps(
            {
                "_aws": {
                    "Timestamp": self._now_us() // 1000,
                    "CloudWatchMetrics": [
                        {
                            "Namespace": NAMESPACE,
                            "Dimensions": [list(DIMENSIONS)],
                            "Metrics": [{"Name": name, "Unit": unit} for name, unit in known.items()],
                        }
                    ],
                },
                "Function": function[:MAX_DIMENSION],
                "Lake": self._lake[:MAX_DIMENSION],
                **{name: values[name] for name in known},
            }
        )
