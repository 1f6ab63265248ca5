r"""Text and bytes of the data as they are shown: nothing in them moves, hides or turns what stands around them. Pure.

HTML is escaped by the templates; here it is about what survives that: control characters, marks that turn the
direction of text, characters without width, and bytes that are no text at all. They are shown as `\x1b`, `\u202e`.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from headgate.core.shown import HOSTILE

HEX_WIDTH = 16  # bytes in a line of a dump
_COMBINING = frozenset({"Mn", "Me"})
_MAX_COMBINING = 4  # marks on one character; more of them paint over other lines
_BINARY_SHARE = 0.1  # of bytes that are no text, from which on a dump says more
_BYTE = re.compile("[\udc80-\udcff]")


class Piece(NamedTuple):
    """A run of characters: as they are, or the escape that stands for one of them."""

    text: str
    is_escape: bool = False


class Dump(NamedTuple):
    """One line of bytes: where it begins, in hexadecimal digits, and as printable ASCII."""

    offset: str
    digits: str
    text: str


def plain(text: str) -> str:
    """A text with escapes in place of what is not to be shown as it is."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(piece.text for piece in pieces(text))


def pieces(text: str) -> list[Piece]:
    """A text, in which the bytes of `surrogateescape` are bytes, as pieces."""
    found: list[Piece] = []
    run: list[str] = []
    marks = 0
    for character in text:
        category = "Ll" if " " <= character <= "~" else unicodedata.category(character)
        marks = marks + 1 if category in _COMBINING else 0
        if category in HOSTILE or marks > _MAX_COMBINING:
            if run:
                found.append(Piece("".join(run)))
                run = []
            found.append(Piece(_escape(character), is_escape=True))
        else:
            run.append(character)
    return [*found, Piece("".join(run))] if run else found


def decoded(raw: bytes) -> str:
    r"""Bytes as text; those that are none stand as lone surrogates, which `pieces` shows as `\xff`."""
    return raw.decode("utf-8", "surrogateescape")


def is_binary(raw: bytes) -> bool:
    """True for bytes that a dump shows better than text."""
    text = decoded(raw)
    odd = len(_BYTE.findall(text)) + sum(text.count(chr(code)) for code in range(32) if code not in (9, 10, 13))
    return odd > _BINARY_SHARE * max(1, len(text))


def dump(raw: bytes) -> list[Dump]:
    """Bytes as a dump, 16 in a line."""
    lines = []
    for start in range(0, len(raw), HEX_WIDTH):
        line = raw[start : start + HEX_WIDTH]
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in line)
        lines.append(Dump(f"{start:08x}", line.hex(" "), text))
    return lines


def shell_word(text: str) -> str:
    r"""A text as one word of a shell (bash, zsh, ksh); what is not printable is spelled as `$'\x1b'`."""
    if text and all((c.isalnum() and c.isascii()) or c in "@%+=:,./-_" for c in text):
        return text
    if text.isprintable() and not any(unicodedata.category(c) in HOSTILE for c in text):
        return "'" + text.replace("'", "'\"'\"'") + "'"
    spelled = "".join(
        _escape(c) if not c.isprintable() or unicodedata.category(c) in HOSTILE else "\\" + c if c in "\\'" else c
        for c in text
    )
    return f"$'{spelled}'"


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was no text
        return f"\\x{code - 0xDC00:02x}"
    short = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)
    if short:
        return short
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
