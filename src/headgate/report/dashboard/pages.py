"""The live page and what programs ask for: `/`, `/api/live`, `/metrics`, `/healthz`, `/readyz`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from urllib.parse import urlencode

import jinja2
import msgspec
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import CollectorRegistry

from headgate.report.dashboard import words
from headgate.report.dashboard.live import add_health, add_ledger, hint, ledger_hints
from headgate.report.dashboard.metrics import LakeMetrics
from headgate.report.dashboard.panels import add_window, window_hints
from headgate.report.dashboard.past import RANGES
from headgate.report.dashboard.shown import pieces, plain, shell_word
from headgate.report.dashboard.view import View
from headgate.report.dashboard.watch import Watch
from headgate.report.dashboard.web import BadRequest, Request, Response, json_response, sentence

FIRST_PATIENCE = 0.7  # seconds that a page waits for the first answer of a lake
METRICS = "text/plain; version=0.0.4; charset=utf-8"


def templates() -> jinja2.Environment:
    """The templates; everything that is put into them is escaped."""
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("headgate.report.dashboard", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    found.filters |= {"plain": plain, "pieces": pieces, "exact": words.exact, "count": words.count, "size": words.size}
    return found


class Pages:
    """The live pages of one lake."""

    def __init__(self, watch: Watch, environment: jinja2.Environment, metric_types: int) -> None:
        """Keep what is watched.

        Args:
            watch: of the lake.
            environment: of `templates`.
            metric_types: event types with a label of their own in metrics.
        """
        self._watch, self._templates = watch, environment
        self._registry = CollectorRegistry()
        self._registry.register(LakeMetrics(watch, metric_types))
        self._is_first = True

    def table(self) -> dict[str, Callable[[Request], Response]]:
        """The pages by their paths."""
        return {
            "/": self.overview,
            "/api/live": self.api_live,
            "/metrics": self.metrics,
            "/healthz": lambda request: sentence(200, "alive"),
            "/readyz": self.ready,
        }

    def overview(self, request: Request) -> Response:
        """The live page, with the figures of the moment."""
        key, is_every_type = self._asked(request)
        view = self._view(key, is_every_type=is_every_type)
        query = urlencode({"range": key, **({"types": "all"} if is_every_type else {})})
        page = self._templates.get_template("overview.html").render(
            v=view,
            key=key,
            ranges=list(RANGES),
            query=query,
            page="overview",
            ago=partial(words.ago, now_us=view.now_us),
        )
        if self._is_first:
            self._is_first = False
            self._watch.first_page_was_sent()
        return Response(body=page.encode())

    def api_live(self, request: Request) -> Response:
        """The live view as JSON; nothing of it where the caller has it already."""
        key, is_every_type = self._asked(request)
        view = self._view(key, is_every_type=is_every_type)
        headers = (
            ("ETag", f'"{view.version}"'),
            ("Headgate-As-Of", str(view.as_of_us)),
            ("Headgate-Now", str(view.now_us)),
        )
        if request.if_none_match == f'"{view.version}"':
            return Response(status=304, headers=headers)
        return json_response(view, headers=headers)

    def metrics(self, request: Request) -> Response:
        """The figures of the lake for Prometheus."""
        self._watch.look(FIRST_PATIENCE, is_watching=False)
        return Response(body=generate_latest(self._registry), content_type=METRICS)

    def failed(self, status: int, said: str) -> Response:
        """A page of one sentence that says what went wrong."""
        title = {404: "Nothing here", 503: "The lake does not answer"}.get(status, "That did not work")
        page = self._templates.get_template("error.html").render(
            lake=plain(self._watch.lake.path), page="", status=status, title=title, sentence=plain(said)
        )
        return Response(status=status, body=page.encode("utf-8", "replace"))

    def ready(self, request: Request) -> Response:
        """Yes where the lake answers."""
        self._watch.look(FIRST_PATIENCE, is_watching=False)
        is_ready = self._watch.seen.state is not None and self._watch.freshness.problem is None
        return sentence(200, "ready") if is_ready else sentence(503, "the lake has not answered (yet)")

    def _asked(self, request: Request) -> tuple[str, bool]:
        key = request.query.get("range", self._watch.usual_range)
        if key not in RANGES:
            raise BadRequest(f"range is one of {', '.join(RANGES)}")
        return key, request.query.get("types") == "all"

    def _view(self, key: str, *, is_every_type: bool) -> View:
        seen = self._watch.look(FIRST_PATIENCE)
        window, note = self._watch.window(key)
        fresh, now_us = self._watch.freshness, self._watch.now_us()
        view = View(lake=plain(self._watch.lake.path), problem=plain(fresh.problem or ""))
        add_ledger(view, seen, now_us)
        add_health(view, seen.health)
        add_window(view, window, now_us, is_every_type=is_every_type)
        lake = shell_word(self._watch.lake.path)
        hints = [*ledger_hints(lake, seen.state, seen.health, now_us), *window_hints(window, lake)]
        is_known = seen.state is not None and window is not None and seen.health is not None
        view.lists["hints"] = hints or [
            hint("good" if is_known else "info", "Nothing to do." if is_known else "Looking…")
        ]
        view.note = plain("; ".join(filter(None, (note, self._watch.health_note))))
        view.version = hashlib.sha256(msgspec.json.encode(view)).hexdigest()[:16]
        view.as_of_us, view.now_us = fresh.as_of_us, now_us
        return view
