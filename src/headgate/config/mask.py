"""Secrets in URIs, hidden from displays, logs and errors."""

from __future__ import annotations

import re

MASK = "***"
_PASSWORD = re.compile(r"(?<=://)([^/?#@:\s]*):\S*@")  # to the last @: a password that is not encoded may hold any sign
_HOSTLESS = re.compile(r"(?<=://):[^@\s]+(?!\S*@)")  # a password behind which the host was forgotten
_QUERY_SECRET = re.compile(r"(?i)([?&][^=&#]*(?:password|passwd|secret|token|credential|key)[^=&#]*=)[^&#]*")


def mask_uri(text: str) -> str:
    """Replace the password of a URI, and secrets among its query parameters, by `***`."""
    text = _HOSTLESS.sub(f":{MASK}", _PASSWORD.sub(rf"\g<1>:{MASK}@", text))
    return _QUERY_SECRET.sub(rf"\g<1>{MASK}", text)
