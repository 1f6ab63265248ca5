"""The pages to look through rejects and duplicates: `/rejects`, `/duplicates`, `/reject`, `/duplicate`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlencode

import jinja2

from headgate.report.dashboard import shown, words
from headgate.report.dashboard.differ import MAX_BYTES, compare
from headgate.report.dashboard.original import find_original, sent
from headgate.report.dashboard.rows import Filter, Row, RowMoved, Table, one_row, row_page
from headgate.report.dashboard.watch import Watch
from headgate.report.dashboard.web import BadRequest, Request, Response

CLIPPED_BYTES = 700  # of a row in a list
DUMPED_BYTES = 4_096  # of a reject as a dump; as text, as of a duplicate, MAX_BYTES
CLIPPED_DUMP = 96
MAX_TEXT = 512  # characters of what is looked for
READERS = 3  # requests for these pages that are answered at a time
WAITING = 2  # that wait for one of them; others are refused at once, so that the live page keeps a thread
_WAIT_SECONDS = 2.0  # at most; also told as the time after which to ask again
_PATIENCE = 8.0  # seconds to wait for the ledger's first answer
_KINDS: dict[Table, str] = {"rejected": "rejects", "duplicates": "duplicates"}


class Content(NamedTuple):
    """Bytes as they are shown: as text in pieces, or as a dump, and how many there are in all."""

    pieces: list[shown.Piece]
    dump: list[shown.Dump]
    num_bytes: int
    is_clipped: bool


class RowPages:
    """Pages over the rows of one lake."""

    def __init__(self, watch: Watch, environment: jinja2.Environment) -> None:
        """Keep what is watched."""
        self._watch, self._templates = watch, environment
        self._readers, self._places = threading.BoundedSemaphore(READERS), threading.BoundedSemaphore(WAITING)

    def table(self) -> dict[str, Callable[[Request], Response]]:
        """The pages by their paths."""
        pages: dict[str, Callable[[Request], Response]] = {
            "/rejects": lambda request: self._list(request, "rejected"),
            "/duplicates": lambda request: self._list(request, "duplicates"),
            "/reject": self._reject,
            "/duplicate": self._duplicate,
        }
        return {path: partial(self._in_turn, page) for path, page in pages.items()}

    def _in_turn(self, page: Callable[[Request], Response], request: Request) -> Response:
        """Answer, or refuse where too many others are being answered; a request that waits holds a thread, too."""
        if not self._readers.acquire(blocking=False) and not self._is_let_in():
            said = f"{READERS} other requests are reading the tables. Load this page again in a few seconds."
            refusal = self._page("error.html", page="", status=503, title="Too many at once", sentence=said)
            return replace(refusal, status=503, headers=(("Retry-After", f"{_WAIT_SECONDS:.0f}"),))
        try:
            return page(request)
        finally:
            self._readers.release()

    def _is_let_in(self) -> bool:
        if not self._places.acquire(blocking=False):
            return False
        try:
            return self._readers.acquire(timeout=_WAIT_SECONDS)
        finally:
            self._places.release()

    def _list(self, request: Request, table: Table) -> Response:
        wanted, problem = filter_of(request.query)
        after = _cursor(request.query)
        note = ""
        state = self._watch.look(_PATIENCE).state
        replayed_at = state.replayed_at if state is not None else 0
        try:
            found = row_page(self._watch.lake, table, wanted, after, replayed_at)
        except RowMoved as error:
            note = str(error)
            found = row_page(self._watch.lake, table, wanted, None, replayed_at)
        kept = {name: value for name, value in request.query.items() if name in _FIELDS and value}
        if wanted.event_type:
            kept.pop("untyped", None)
        following = ""
        if found.after is not None:
            following = "?" + urlencode({**kept, "file": found.after[0], "row": str(found.after[1])})
        return self._page(
            "rows.html",
            page=_KINDS[table],
            table=table,
            rows=[self._listed(row, table) for row in found.rows],
            found=found,
            following=following,
            given={name: kept.get(name, "") for name in _FIELDS},
            query=urlencode(kept),
            problem=problem,
            note=note,
            is_first=after is None,
            reasons=self._known("reasons") if table == "rejected" else [],
            types=self._known("types"),
            command=self._replay(table, wanted),
            is_wider=bool(wanted.event_type is not None or wanted.text),
        )

    def _listed(self, row: Row, table: Table) -> dict[str, Any]:
        """What is told of a row in the list."""
        raw = self._bytes_of(row, table)
        return {
            **_described(row.columns),
            "link": f"/{'reject' if table == 'rejected' else 'duplicate'}?"
            + urlencode({"file": row.file, "row": str(row.number)}),
            "content": content_of(raw, CLIPPED_BYTES, CLIPPED_DUMP),
        }

    def _bytes_of(self, row: Row, table: Table) -> bytes:
        if table == "rejected":
            return bytes(row.columns["raw"] or b"")
        return sent(self._watch.lake, row.columns).encode("utf-8", "surrogatepass")

    def _reject(self, request: Request) -> Response:
        row = one_row(self._watch.lake, "rejected", *_asked_row(request.query))
        raw = self._bytes_of(row, "rejected")
        return self._page(
            "reject.html",
            page="rejects",
            row=_described(row.columns),
            content=content_of(raw, MAX_BYTES, 0),
            most=MAX_BYTES,
            dump=shown.dump(raw[:DUMPED_BYTES]),
            most_dumped=DUMPED_BYTES,
            is_binary=shown.is_binary(raw[:MAX_BYTES]),
            command=self._replay("rejected", Filter(reason=row.columns["reason"])),
        )

    def _duplicate(self, request: Request) -> Response:
        row = one_row(self._watch.lake, "duplicates", *_asked_row(request.query))
        original = find_original(self._watch.lake, row.columns)
        copy = sent(self._watch.lake, row.columns)
        theirs = None if original.row is None else str(original.row["payload"])
        return self._page(
            "duplicate.html",
            page="duplicates",
            row=_described(row.columns),
            original=None if original.row is None else _described(original.row),
            outcome=original.outcome,
            files=original.files,
            difference=None if theirs is None else compare(theirs, copy),
            num_bytes=0 if theirs is None else len(theirs.encode("utf-8", "surrogatepass")),
            content=content_of(copy.encode("utf-8", "surrogatepass"), MAX_BYTES, 0),
            most=MAX_BYTES,
            command=f"headgate replay {shown.shell_word(self._watch.lake.path)} --orphans --dry-run",
        )

    def _replay(self, table: Table, wanted: Filter) -> str:
        """The command that judges these rejects again; what a person may paste into a shell."""
        if table != "rejected":
            return ""
        parts = ["headgate", "replay", self._watch.lake.path]
        if wanted.reason:
            parts += ["--reason", wanted.reason]
        if wanted.since_us is not None:
            parts += ["--since", words.exact(wanted.since_us)]
        if wanted.until_us is not None:
            parts += ["--until", words.exact(wanted.until_us)]
        return " ".join(shown.shell_word(part) for part in parts)

    def _known(self, what: str) -> list[str]:
        """Reasons or types to choose from, as far as the history was read."""
        if what == "types":
            state = self._watch.seen.state
            return sorted(state.event_types) if state is not None else []
        window = self._watch.any_window()
        return sorted(name for name, count in window.total.reasons.items() if count > 0) if window else []

    def _page(self, template: str, **values: Any) -> Response:
        lake = shown.plain(self._watch.lake.path)
        return Response(
            body=self._templates.get_template(template).render(lake=lake, **values).encode("utf-8", "replace")
        )


def content_of(raw: bytes, most: int, most_dumped: int) -> Content:
    """Bytes for a page, at most so many; a dump where they are no text and `most_dumped` is not 0."""
    if most_dumped and shown.is_binary(raw[:MAX_BYTES]):
        return Content([], shown.dump(raw[:most_dumped]), len(raw), len(raw) > most_dumped)
    return Content(shown.pieces(shown.decoded(raw[:most])), [], len(raw), len(raw) > most)


_FIELDS = ("reason", "type", "untyped", "conflict", "since", "until", "text")


def filter_of(query: Mapping[str, str]) -> tuple[Filter, str]:
    """The filter of an address, and a sentence about what in it cannot be read.

    `untyped=yes` is for rows of which no type could be read; where a type is given, too, the type is meant.
    """
    given = {name: query.get(name, "").strip() for name in _FIELDS}
    if any(len(value) > MAX_TEXT for value in given.values()):
        raise BadRequest(f"a field is longer than {MAX_TEXT} characters")
    times: dict[str, int | None] = {}
    problem = ""
    for name in ("since", "until"):
        times[name] = None
        if given[name]:
            times[name] = _time(given[name])
            if times[name] is None:
                problem = (
                    f"{shown.plain(given[name])}: expected a time such as 2026-11-20T12:00 (UTC) or with an offset."
                )
    return Filter(
        reason=given["reason"] or None,
        event_type=given["type"] or ("" if given["untyped"] == "yes" else None),
        is_conflict={"yes": True, "no": False}.get(given["conflict"]),
        since_us=times["since"],
        until_us=times["until"],
        text=given["text"] or None,
    ), problem


def _time(text: str) -> int | None:
    """Microseconds since 1970; without an offset it is UTC. None where it is no time, or none that UTC can write."""
    try:
        us = words.microseconds(datetime.fromisoformat(text))
        words.exact(us)
    except (ValueError, OverflowError):
        return None
    return us


def _cursor(query: Mapping[str, str]) -> tuple[str, int] | None:
    return _asked_row(query) if "file" in query else None


def _asked_row(query: Mapping[str, str]) -> tuple[str, int]:
    number = query.get("row", "")
    if not query.get("file") or not number.isascii() or not number.isdigit() or len(number) > 18:
        raise BadRequest("the address names no row")
    return query["file"], int(number)


def _described(columns: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a row but its bytes, as text that is safe to show."""
    found: dict[str, Any] = {}
    for name, value in columns.items():
        if name in ("raw", "payload"):
            continue
        if isinstance(value, datetime):
            found[name] = value.isoformat(sep=" ").replace("+00:00", "")
        else:
            found[name] = value if value is None or isinstance(value, bool) else shown.plain(str(value))
    return found
