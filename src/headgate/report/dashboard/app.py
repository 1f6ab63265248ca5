"""The dashboard's addresses: which page answers which path. Nothing that is asked here writes anything."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from typing import TYPE_CHECKING

from headgate.errors import ConfigError, HeadgateError, TransientError
from headgate.report.dashboard.gate import Gate
from headgate.report.dashboard.web import BadRequest, Request, Response, read_request, send, sentence

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

Page = Callable[[Request], Response]
STATIC = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


def static_pages() -> dict[str, Page]:
    """The files of the package by their paths; what is asked for is a name in this table and no path of the disk."""
    found: dict[str, Page] = {}
    for file in resources.files(__package__).joinpath("static").iterdir():
        suffix = file.name[file.name.rfind(".") :]
        if suffix in STATIC:
            answer = Response(body=file.read_bytes(), content_type=STATIC[suffix])
            found[f"/static/{file.name}"] = lambda request, answer=answer: answer  # type: ignore[misc]
    return found


class App:
    """The WSGI application."""

    def __init__(self, gate: Gate, pages: Mapping[str, Page], failed: Callable[[int, str], Response]) -> None:
        """Keep the table of pages.

        Args:
            gate: who may look.
            pages: by path.
            failed: makes the page of a sentence that says what went wrong.
        """
        self._gate, self._pages, self._failed = gate, pages, failed

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        try:
            request = read_request(environ)
        except BadRequest as error:
            return send(sentence(400, f"This request cannot be answered: {error}."), "GET", start_response)
        return send(self._answer(request), request.method, start_response)

    def _answer(self, request: Request) -> Response:
        refusal = self._gate.refusal(request)
        if refusal is not None:
            return refusal
        page = self._pages.get(request.path)
        if page is None:
            return self._failed(404, "There is no such page.")
        try:
            return page(request)
        except BadRequest as error:
            return self._failed(400, f"This request cannot be answered: {error}.")
        except HeadgateError as error:
            status = 503 if isinstance(error, TransientError) else 400 if isinstance(error, ConfigError) else 500
            return self._failed(status, str(error))
