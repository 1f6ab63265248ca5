"""Who may look at the dashboard: token, cookie, Host header, methods; and what every answer carries."""

from __future__ import annotations

import pytest

from headgate.errors import ConfigError
from headgate.report.dashboard.gate import Gate, check_token, is_loopback
from headgate.report.dashboard.web import BadRequest, Request, Response, read_request, send

TOKEN = "0123456789abcdefXYZ"
GATE = Gate(port=8750, names=frozenset({"localhost", "lake.example.com"}), token=TOKEN)
OPEN = Gate(port=8750, names=frozenset({"localhost"}))
HOST = "127.0.0.1:8750"


def status(gate: Gate, **asked: object) -> int:
    refusal = gate.refusal(Request(**{"host": HOST, **asked}))
    return 200 if refusal is None else refusal.status


def cookie_of(response: Response | None) -> dict[str, str]:
    assert response is not None
    name, _, value = dict(response.headers)["Set-Cookie"].split(";")[0].partition("=")
    return {name: value}


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8750", "LOCALHOST:1", "127.0.0.1", "[::1]:8750", "10.0.0.9:80"]
)
def test_own_names_and_addresses_of_numbers_are_answered(host: str) -> None:
    assert status(OPEN, host=host) == 200


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "localhost.evil.example", "evil.example:8750", "a b", "localhost:x", "u@localhost", "["],
)
def test_other_names_are_not_answered(host: str) -> None:
    assert status(OPEN, host=host) == 421


def test_probes_need_neither_name_nor_token() -> None:
    assert [status(GATE, host="whatever", path=path) for path in ("/healthz", "/readyz", "/")] == [200, 200, 421]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", ""])
def test_only_reading_methods_are_answered(method: str) -> None:
    assert status(OPEN, method=method) == 405


def test_without_the_token_nothing_is_shown() -> None:
    wrong = [
        {},
        {"query": {"token": ""}},
        {"query": {"token": TOKEN[:-1]}},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": "Bearer "},
        {"authorization": "Bearer ñ"},
        {"cookies": {"headgate_8750": TOKEN}},
        {"cookies": {"headgate_8750": ""}},
    ]
    assert [status(GATE, **asked) for asked in wrong] == [401] * len(wrong)


def test_the_token_becomes_a_cookie_and_leaves_the_address() -> None:
    response = GATE.refusal(Request(host=HOST, path="/rejects", query={"token": TOKEN, "reason": "a b"}))
    assert response is not None
    headers = dict(response.headers)
    assert (response.status, headers["Location"]) == (303, "/rejects?reason=a+b")
    assert {"HttpOnly", "SameSite=Strict"} <= {part.strip() for part in headers["Set-Cookie"].split(";")}
    assert TOKEN not in headers["Set-Cookie"]
    assert status(GATE, cookies=cookie_of(response)) == 200


def test_the_redirect_names_no_other_host() -> None:
    response = GATE.refusal(Request(host=HOST, path="//evil.example/x", query={"token": TOKEN}))
    assert response is not None
    assert dict(response.headers)["Location"] == "/evil.example/x"


def test_a_bearer_may_ask_for_everything() -> None:
    assert status(GATE, authorization=f"Bearer {TOKEN}", path="/metrics") == 200


def test_the_cookie_of_another_token_is_none() -> None:
    other = Gate(port=8750, names=frozenset(), token="another-token-0123456")
    cookie = cookie_of(other.refusal(Request(host=HOST, query={"token": "another-token-0123456"})))
    assert status(GATE, cookies=cookie) == 401


@pytest.mark.parametrize("token", ["", "short", "x" * 15, "with space " * 3, "ünprintable-0123456789"])
def test_a_token_that_can_be_guessed_or_not_be_sent_is_refused(token: str) -> None:
    with pytest.raises(ConfigError):
        check_token(token)


def test_loopback_is_what_only_this_machine_reaches() -> None:
    names = ["127.0.0.1", "127.8.8.8", "::1", "localhost", "0.0.0.0", "10.1.1.1", "::", "example.com"]
    assert [is_loopback(name) for name in names] == [True] * 4 + [False] * 4


@pytest.mark.parametrize(
    "environ",
    [
        {"QUERY_STRING": "a=" + "x" * 5_000},
        {"QUERY_STRING": "&".join(f"a{i}=1" for i in range(50))},
        {"QUERY_STRING": "a=%ff"},
        {"QUERY_STRING": "a=%00"},
        {"PATH_INFO": "/\xff\xfe"},
        {"PATH_INFO": "/a\0b"},
    ],
)
def test_an_address_that_cannot_be_read_is_refused(environ: dict[str, str]) -> None:
    with pytest.raises(BadRequest):
        read_request(environ)


@pytest.mark.parametrize(
    "foreign",
    [
        'a={"x":"y z"}',
        "theme=dark mode",
        "x[1]=2",
        "sess=\xe9",
        "=",
        "",
        "alone",
        'q="open',
        "a=b=c",
        "expires=Thu, 01 Jan",
        "$Version=1",
        "a b=1",
    ],
)
def test_cookies_of_other_servers_of_the_host_lock_nobody_out(foreign: str) -> None:
    ((name, value),) = cookie_of(GATE.refusal(Request(host=HOST, query={"token": TOKEN}))).items()
    for header in (f"{foreign}; {name}={value}", f"{name}={value}; {foreign}", f"{foreign};{name}={value};{foreign}"):
        assert status(GATE, cookies=read_request({"HTTP_COOKIE": header}).cookies) == 200, header


def test_broken_cookies_are_none() -> None:
    assert read_request({"HTTP_COOKIE": "=;;; a=b\x01; {"}).path == "/"


def test_every_answer_says_what_a_browser_may_do() -> None:
    sent: dict[str, str] = {}

    def start(status: str, headers: list[tuple[str, str]]) -> None:
        sent.update(headers)

    assert send(Response(body=b"x"), "HEAD", start) == []
    assert "unsafe" not in sent["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in sent["Content-Security-Policy"]
    assert (sent["X-Content-Type-Options"], sent["Referrer-Policy"]) == ("nosniff", "no-referrer")
    assert (sent["Cache-Control"], sent["X-Frame-Options"]) == ("no-store", "DENY")
