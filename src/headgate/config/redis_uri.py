"""What the URI of claims in Redis looks like."""

from __future__ import annotations

from urllib.parse import urlsplit

EXPECTED = (
    "Expected redis://[user:password@]host:port/db or rediss://...; in the password, / ? # @ : and % must be "
    "percent-encoded"
)


def check_redis_uri(uri: str) -> None:
    """Refuse what is no URI of a Redis database.

    Raises:
        ValueError: says what is expected, and quotes nothing.
    """
    try:
        parts = urlsplit(uri)
        is_right = parts.scheme in ("redis", "rediss") and bool(parts.hostname) and (parts.port or 1) > 0
        is_right = is_right and (parts.path.strip("/") or "0").isdecimal() and not parts.fragment
    except ValueError:
        is_right = False
    if not is_right:
        raise ValueError(EXPECTED)
