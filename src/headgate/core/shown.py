"""Text of strangers made fit to be looked at: nothing in it moves, hides or turns what stands around it. Pure."""

from __future__ import annotations

import unicodedata

#: Unicode categories that move or hide text.
HOSTILE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def safe(text: str) -> str:
    r"""The text with everything escaped that a terminal might obey (`\x1b`), or that hides or turns text."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(c) if unicodedata.category(c) in HOSTILE else c for c in text)


def safe_bytes(raw: bytes, most: int) -> str:
    """Bytes of strangers as text of at most so many characters; what is no UTF-8 and line breaks are escaped."""
    text = safe(raw[: 4 * most].decode("utf-8", "backslashreplace"))
    return cut(text, most) if len(raw) <= 4 * most else f"{text[: most - 1]}…"


def cut(text: str, most: int) -> str:
    """The text in at most so many characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
