"""`headgate dashboard`: the lake live in the browser."""

from __future__ import annotations

import ipaddress
import os
import secrets
import signal
import socket
import sys
import threading
import traceback
import webbrowser
from collections.abc import Iterable
from types import FrameType
from typing import TYPE_CHECKING

import click

from headgate.clock import SystemClock
from headgate.config import environment, load
from headgate.entrypoints.cli import common_options
from headgate.entrypoints.output import print_json
from headgate.report.dashboard.app import App, static_pages
from headgate.report.dashboard.gate import Gate, check_token, is_loopback
from headgate.report.dashboard.pages import Pages, templates
from headgate.report.dashboard.rowpages import RowPages
from headgate.report.dashboard.watch import Watch
from headgate.report.dashboard.web import send, sentence
from headgate.telemetry.serving import Application, Limits, Server, listening
from headgate.wiring.existing import existing_lake

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

DEFAULT_PORT = 8750
LIMITS = Limits(threads=6, connections=400, idle_seconds=20)  # browsers open another connection
TOKEN_VARIABLE = "HEADGATE_DASHBOARD_TOKEN"  # noqa: S105  the name of a variable
_TOKEN_BYTES = 32


@click.command(
    epilog="""\b
Examples:
  headgate dashboard lake/
  headgate dashboard lake/ --open
  headgate dashboard s3://bucket/lake --port 0 --json
  HEADGATE_DASHBOARD_TOKEN=... headgate dashboard lake/ --host 0.0.0.0 --allow-host lake.example.com
"""
)
@click.argument("lake")
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=DEFAULT_PORT, show_default=True, help="0 takes any that is free."
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; beyond this machine a token is needed.",
)
@click.option(
    "--allow-host",
    "allowed",
    multiple=True,
    metavar="NAME",
    help="Another name under which browsers come (repeatable).",
)
@click.option("--open", "is_opened", is_flag=True, help="Open it in the browser.")
@common_options
def command(lake: str, port: int, host: str, allowed: tuple[str, ...], is_opened: bool, as_json: bool) -> None:
    """Show a lake live in the browser.

    What came in and what became of it, per second and over time, by event type, with reasons, latency and lag; and
    rejects and duplicates to look through. It reads the lake, beside a run or without one, and writes nothing.

    On another address than this machine's own a token is needed: HEADGATE_DASHBOARD_TOKEN, or one that is made and
    printed. Traffic is not encrypted: put a proxy with TLS before it, or come through a tunnel. Ctrl-C ends it.
    """
    env = environment()
    token = env.get(TOKEN_VARIABLE)
    if token is not None:
        check_token(token)
    elif not is_loopback(host):
        token = secrets.token_urlsafe(_TOKEN_BYTES)
    config = load(None, env, {})
    found = existing_lake(lake, config)
    mend = "choose another --host or --port; --port 0 takes any that is free"
    bound = listening(host, port, what="the dashboard", mend=mend)
    port = bound.getsockname()[1]
    own = {socket.gethostname().lower(), host.lower()} if not is_loopback(host) else set()
    names = frozenset({"localhost", *own, *(name.lower() for name in allowed)})
    watch = Watch(found, SystemClock().now_us)
    app = _app(watch, Gate(port=port, names=names, token=token), config.telemetry.metric_event_types)
    server = Server("dashboard", _guarded(app), bound, LIMITS)
    stopped = _on_signals()
    watch.start()
    server.start()
    address = _address(host, port)
    url = address if token is None else f"{address}?token={token}"
    if as_json:
        print_json(
            {
                "url": url,
                "address": address,
                "host": host,
                "port": port,
                "token": token,
                "lake": lake,
                "pid": os.getpid(),
            }
        )
    else:
        click.echo(f"{url}\nshows {lake}; Ctrl-C ends it")
    sys.stdout.flush()
    if is_opened:
        webbrowser.open(url)
    stopped.wait()
    sys.stdout.flush()
    os._exit(0)  # at once: threads that wait for a storage would be waited for; there is nothing to be saved


def _app(watch: Watch, gate: Gate, metric_types: int) -> App:
    made = templates()
    pages = Pages(watch, made, metric_types)
    return App(gate, {**static_pages(), **pages.table(), **RowPages(watch, made).table()}, pages.failed)


def _guarded(app: Application) -> Application:
    """What nobody foresaw is told on the terminal; the browser gets a sentence."""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            return app(environ, start_response)
        except Exception:
            traceback.print_exc()
            said = "This is a bug in Headgate; the terminal of the dashboard shows more."
            return send(sentence(500, said), "GET", start_response)

    return answer


def _address(host: str, port: int) -> str:
    """The URL of a server that listens there, as a browser on this machine opens it."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"http://{host}:{port}/"
    if address.is_unspecified:
        return f"http://{socket.gethostname()}:{port}/"
    return f"http://[{address}]:{port}/" if address.version == 6 else f"http://{address}:{port}/"


def _on_signals() -> threading.Event:
    """Is set by Ctrl-C and SIGTERM."""
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    return stopped
