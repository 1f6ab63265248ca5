"""Who may look: the token, the Host header, and the methods. Pure; nothing here reads the lake.

A page of another site can make a browser send requests here. It cannot read the answers, unless a name of that site
is made to point here (DNS rebinding): so names are only answered that are known to be ours. Addresses made of numbers
cannot be bent like that.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from headgate.errors import ConfigError
from headgate.report.dashboard.web import Request, Response, redirect, sentence

MIN_TOKEN_BYTES = 16  # of one that somebody chose
METHODS = ("GET", "HEAD")
OPEN_PATHS = ("/healthz", "/readyz")  # probes have neither token nor name, and learn nothing but yes or no
_COOKIE_KEY = b"headgate dashboard cookie 1"
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[^:\[\]/@\s]+)(?::\d{1,5})?")


def is_loopback(host: str) -> bool:
    """True for an address that only this machine reaches."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_token(token: str) -> str:
    """A token that somebody chose.

    Raises:
        ConfigError: it can be guessed, or no header can carry it.
    """
    if len(token.encode()) < MIN_TOKEN_BYTES:
        raise ConfigError(
            f"HEADGATE_DASHBOARD_TOKEN: expected at least {MIN_TOKEN_BYTES} bytes; leave it out for one that is made"
        )
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ConfigError("HEADGATE_DASHBOARD_TOKEN: expected printable ASCII characters without spaces")
    return token


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What a request must bring.

    Attributes:
        port: of the server; names the cookie, because browsers share cookies between ports.
        names: host names that are answered, beside addresses made of numbers.
        token: that must be known; None where anybody who reaches the server may look.
    """

    port: int
    names: frozenset[str]
    token: str | None = None

    def refusal(self, request: Request) -> Response | None:
        """The answer to a request that goes no further; None where it may."""
        if request.method not in METHODS:
            return sentence(405, "Only GET and HEAD: the dashboard changes nothing.", ("Allow", ", ".join(METHODS)))
        if request.path in OPEN_PATHS:
            return None
        if not self._is_known(request.host):
            return sentence(
                421,
                "This host name is not known here: open the address that was printed, or start with --allow-host NAME.",
            )
        if self.token is None:
            return None
        if "token" in request.query:
            return self._exchanged(request)
        if self._is_admitted(request):
            return None
        return sentence(
            401,
            "A token is needed: open the address that was printed when the dashboard was started, "
            "or send it as 'Authorization: Bearer TOKEN'.",
            ("WWW-Authenticate", 'Bearer realm="headgate"'),
        )

    def _is_known(self, host: str) -> bool:
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = found["name"].strip("[]").lower().rstrip(".")
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self.names
        return True

    def _exchanged(self, request: Request) -> Response:
        """The token of the address against a cookie, so that it stays in no history."""
        assert self.token is not None  # noqa: S101 - asked before
        if not hmac.compare_digest(request.query["token"].encode(), self.token.encode()):
            return sentence(
                401, "This is not the token: open the address that was printed when the dashboard was started."
            )
        rest = {name: value for name, value in request.query.items() if name != "token"}
        path = "/" + quote(request.path.lstrip("/"), safe="/")  # one slash, so that no other host is named
        cookie = f"{self._cookie_name}={self._cookie(self.token)}; Path=/; HttpOnly; SameSite=Strict"
        return redirect(path + (f"?{urlencode(rest)}" if rest else ""), ("Set-Cookie", cookie))

    def _is_admitted(self, request: Request) -> bool:
        assert self.token is not None  # noqa: S101 - asked before
        kind, _, given = request.authorization.partition(" ")
        is_bearer = kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self.token.encode())
        cookie = request.cookies.get(self._cookie_name, "")
        return hmac.compare_digest(cookie.encode(), self._cookie(self.token).encode()) or is_bearer

    @property
    def _cookie_name(self) -> str:
        return f"headgate_{self.port}"

    @staticmethod
    def _cookie(token: str) -> str:
        """Says that the token was known, without telling it."""
        return hmac.new(token.encode(), _COOKIE_KEY, hashlib.sha256).hexdigest()
