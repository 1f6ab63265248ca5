"""Names that tables and columns may have, made of those that producers chose. Pure.

Law: two names never share one. What differs only in case counts as the same, because Delta and SQL take it so.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection

OTHER = "_other"  # the table of event names that have none of their own; no folder of a name begins so
MAX_FOLDER = 120  # characters; with a date's folder and a file's name it fits every object store
MAX_COLUMN = 120  # characters
_DIGEST = 8  # hexadecimal digits; longer where that is taken
_NOT_IN_FOLDER = re.compile(r"[^A-Za-z0-9_.-]")
_NOT_IN_COLUMN = re.compile(r"[ ,;{}()\n\t=.`\"]")  # Delta's own list, the dot of paths, and quotes


def folder_name(event_name: str, taken: Collection[str]) -> str:
    """The folder of an event name's table: `_` is written `__`, `:` is written `_`.

    Args:
        event_name: as sent.
        taken: folders of other names, case-folded.

    Returns:
        ASCII letters, digits and `_.-`; with a digest where that is not the whole name, or is taken.
    """
    plain = event_name.replace("_", "__").replace(":", "_")
    safe = _NOT_IN_FOLDER.sub("-", plain)
    if plain[0] in "_.-":
        safe = f"x{safe}"
    return _unique(event_name, safe, taken, MAX_FOLDER, is_exact=safe == plain and plain[-1] != ".", joint="-")


def column_name(field: str, taken: Collection[str]) -> str:
    """The column of an event's field: its own name wherever a table can hold it.

    Args:
        field: as sent; may be empty.
        taken: columns beside it, case-folded.
    """
    safe = "".join(c if c.isprintable() else "_" for c in _NOT_IN_COLUMN.sub("_", field)) or "_empty"
    return _unique(field, safe, taken, MAX_COLUMN, is_exact=True, joint="_")


def _unique(name: str, safe: str, taken: Collection[str], longest: int, *, is_exact: bool, joint: str) -> str:
    if is_exact and len(safe) <= longest and safe.casefold() not in taken:
        return safe
    digest = hashlib.sha256(name.encode()).hexdigest()
    for length in range(_DIGEST, len(digest) + 1):
        candidate = f"{safe[: longest - length - 1]}{joint}{digest[:length]}"
        if candidate.casefold() not in taken:
            return candidate
    raise ValueError(f"no name is left for {name!r}")  # 57 columns would have to bear parts of its digest
