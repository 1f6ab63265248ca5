"""Requests and responses of the dashboard, between WSGI and the pages.

Law: whatever the request is, the response carries the headers that keep a browser from doing more than showing it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import msgspec

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

MAX_QUERY_BYTES = 4_096  # of the whole query string
MAX_FIELDS = 16  # in a query string
HTML = "text/html; charset=utf-8"
TEXT = "text/plain; charset=utf-8"
JSON = "application/json"

#: Of every response. Scripts and styles come from files of this server alone, and nobody may frame or keep a page.
SECURITY_HEADERS = (
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
    ("Cache-Control", "no-store"),
)


class BadRequest(Exception):
    """A request that no browser sends for a link of ours. The message is for whoever sent it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was asked, as far as anything here looks at it.

    Attributes:
        method: `GET`, ...
        path: decoded.
        query: decoded; of a field given twice the last one.
        host: the Host header, empty where there is none.
        cookies: by name.
        authorization: that header.
        if_none_match: that header.
    """

    method: str = "GET"
    path: str = "/"
    query: Mapping[str, str] = field(default_factory=dict)
    host: str = ""
    cookies: Mapping[str, str] = field(default_factory=dict)
    authorization: str = ""
    if_none_match: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What is answered; the headers of SECURITY_HEADERS are added."""

    status: int = 200
    body: bytes = b""
    content_type: str = HTML
    headers: tuple[tuple[str, str], ...] = ()


def sentence(status: int, text: str, *headers: tuple[str, str]) -> Response:
    """An answer of one sentence, as plain text."""
    return Response(status=status, body=f"{text}\n".encode(), content_type=TEXT, headers=headers)


def json_response(content: object, *, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """An answer for programs."""
    return Response(status=status, body=msgspec.json.encode(content), content_type=JSON, headers=headers)


def redirect(path: str, *headers: tuple[str, str]) -> Response:
    """To another path of this server."""
    return Response(status=303, content_type=TEXT, headers=(("Location", path), *headers))


def read_request(environ: WSGIEnvironment) -> Request:
    """The request of a WSGI environment.

    Raises:
        BadRequest: it cannot be read.
    """
    raw_query = str(environ.get("QUERY_STRING", ""))
    if len(raw_query) > MAX_QUERY_BYTES:
        raise BadRequest(f"the query is longer than {MAX_QUERY_BYTES:,} bytes")
    try:
        path = str(environ.get("PATH_INFO", "")).encode("latin-1").decode()
        query = dict(parse_qsl(raw_query, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"))
    except ValueError as error:
        raise BadRequest("the address is not UTF-8, or has too many fields") from error
    if "\0" in path or any("\0" in value for value in query.values()):
        raise BadRequest("the address holds a null character")
    return Request(
        method=str(environ.get("REQUEST_METHOD", "")),
        path=path or "/",
        query=query,
        host=str(environ.get("HTTP_HOST", "")),
        cookies=_cookies(str(environ.get("HTTP_COOKIE", ""))),
        authorization=str(environ.get("HTTP_AUTHORIZATION", "")),
        if_none_match=str(environ.get("HTTP_IF_NONE_MATCH", "")),
    )


def send(response: Response, request_method: str, start_response: StartResponse) -> Iterable[bytes]:
    """Hand a response to the server; the body of a HEAD is left out."""
    status = HTTPStatus(response.status)
    headers = [("Content-Type", response.content_type), *SECURITY_HEADERS, *response.headers]
    if response.status != HTTPStatus.NOT_MODIFIED:
        headers.append(("Content-Length", str(len(response.body))))
    start_response(f"{status.value} {status.phrase}", headers)
    return [] if request_method == "HEAD" or response.status == HTTPStatus.NOT_MODIFIED else [response.body]


def _cookies(header: str) -> dict[str, str]:
    """Cookies by name, each by itself: other servers of this host send theirs, whatever stands in them."""
    pairs = (pair.partition("=") for pair in header.split(";"))
    return {name.strip(): value.strip() for name, _, value in pairs}
