"""Secrets in URIs, hidden from displays, logs and errors."""

from __future__ import annotations

import re

MASK = "***"
_PASSWORD = re.compile(r"(?<=://)([^/?#@]*?):([^/?#]*)@")
_QUERY_SECRET = re.compile(r"(?i)([?&][^=&#]*(?:password|passwd|secret|token|credential|key)[^=&#]*=)[^&#]*")


def mask_uri(text: str) -> str:
    """Replace the password of a URI, and secrets among its query parameters, by `***`."""
    return _QUERY_SECRET.sub(rf"\g<1>{MASK}", _PASSWORD.sub(rf"\g<1>:{MASK}@", text))
