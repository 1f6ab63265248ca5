"""The HTTP endpoint of a running consumer: `/metrics`, `/healthz`, `/readyz`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import CollectorRegistry

from headgate.telemetry.serving import Application, Limits, Server, listening

if TYPE_CHECKING:
    from wsgiref.types import StartResponse

LIMITS = Limits(threads=2, connections=32, idle_seconds=15)  # a scrape and a probe at a time
TEXT = "text/plain; charset=utf-8"


def endpoint(registry: CollectorRegistry, obstacle: Callable[[], str | None], host: str, port: int) -> Server:
    """The endpoint, its port taken; it answers within its context.

    Args:
        registry: what `/metrics` tells.
        obstacle: why the consumer is not ready; None where it is.
        host: name or address to listen on.
        port: 0 for a free one.

    Raises:
        ConfigError: the port is taken, or the host is none of this machine.
    """
    mend = "name another port with --metrics HOST:PORT or [telemetry] metrics"
    bound = listening(host, port, what="the metrics endpoint", mend=mend)
    return Server("metrics", _answers(registry, obstacle), bound, LIMITS)


def _answers(registry: CollectorRegistry, obstacle: Callable[[], str | None]) -> Application:
    def answer(environ: dict[str, Any]) -> tuple[str, str, bytes]:
        path = environ.get("PATH_INFO", "")
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return "405 Method Not Allowed", TEXT, b"only GET and HEAD\n"
        if path == "/metrics":
            encoder, content_type = choose_encoder(environ.get("HTTP_ACCEPT", ""))
            return "200 OK", content_type, encoder(registry)
        if path == "/healthz":
            return "200 OK", TEXT, b"alive\n"
        if path == "/readyz":
            why = obstacle()
            return ("200 OK", TEXT, b"ready\n") if why is None else ("503 Service Unavailable", TEXT, _line(why))
        if path == "/":
            return "200 OK", TEXT, b"Headgate: /metrics /healthz /readyz\n"
        return "404 Not Found", TEXT, b"not found: /metrics /healthz /readyz\n"

    def app(environ: dict[str, Any], start: StartResponse) -> list[bytes]:
        status, content_type, body = answer(environ)
        start(status, [
            ("Content-Type", content_type), ("Content-Length", str(len(body))), ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
        ])  # fmt: skip
        return [body] if environ["REQUEST_METHOD"] != "HEAD" else []

    return app


def _line(text: str) -> bytes:
    """One line, whatever is in it."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text).encode() + b"\n"
