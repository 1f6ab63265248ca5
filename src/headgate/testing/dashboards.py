"""`headgate dashboard` as a real process, and what it answers."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from headgate.testing.processes import PATIENCE_SECONDS, Child, wait_until


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back: redirects are not followed."""

    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """One that runs.

    Attributes:
        child: the process.
        address: its URL, without a token; ends in a slash.
        token: that it wants; None for none.
    """

    child: Child
    address: str
    token: str | None

    @property
    def port(self) -> int:
        """Where it listens."""
        return urlsplit(self.address).port or 0

    def get(self, path: str, *, method: str = "GET", **headers: str) -> Answer:
        """Ask on the loopback interface."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        try:
            connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            found = connection.getresponse()
            named = {name.lower(): value for name, value in found.getheaders()}
            return Answer(status=found.status, headers=named, body=found.read().decode())
        finally:
            connection.close()

    def live(self, query: str = "") -> dict[str, Any]:
        """What `/api/live` says now."""
        found: dict[str, Any] = json.loads(self.get(f"/api/live{query}").body)
        return found


@contextmanager
def dashboard(lake: Path | str, logs: Path, *args: str, env: Mapping[str, str] | None = None) -> Iterator[Dashboard]:
    """Start one on a free port, unless `args` name one, and kill it at the end.

    Args:
        lake: that it shows.
        logs: a folder for its output.
        args: more arguments.
        env: added to its environment.
    """
    given = ["dashboard", str(lake), "--json", *args, *([] if "--port" in args else ["--port", "0"])]
    with Child(given, logs, env=env) as child:
        told: dict[str, Any] = {}

        def is_told() -> bool:
            with suppress(ValueError):
                told.update(json.loads(child.out.read_text()))
            if not told and not child.is_running:
                raise AssertionError(child.errors())
            return bool(told)

        wait_until(is_told, "the address of the dashboard")
        yield Dashboard(child=child, address=told["address"], token=told["token"])
