"""The pages to look through rejects and duplicates: `/rejects`, `/duplicates`, `/reject`, `/duplicate`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

import jinja2

from headgate.errors import TransientError
from headgate.report.dashboard import shown, words
from headgate.report.dashboard.differ import Difference, compare
from headgate.report.dashboard.original import Original, find_original, sent
from headgate.report.dashboard.rows import Filter, Row, RowMoved, Table, one_row, row_page
from headgate.report.dashboard.watch import Watch
from headgate.report.dashboard.web import BadRequest, Request, Response

CLIPPED_BYTES = 700  # of a row in a list
MAX_BYTES = 65_536  # of a row on a page of its own
DUMPED_BYTES = 4_096  # of it as a dump
CLIPPED_DUMP = 96
MAX_TEXT = 512  # characters of what is looked for
READERS = 3  # requests that read tables at a time; the live page keeps threads of its own
_PATIENCE = 8.0  # seconds to wait for one of them
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
        self._readers = threading.BoundedSemaphore(READERS)

    def table(self) -> dict[str, Callable[[Request], Response]]:
        """The pages by their paths."""
        return {
            "/rejects": lambda request: self._list(request, "rejected"),
            "/duplicates": lambda request: self._list(request, "duplicates"),
            "/reject": self._reject,
            "/duplicate": self._duplicate,
        }

    @contextmanager
    def _reading(self) -> Iterator[None]:
        if not self._readers.acquire(timeout=_PATIENCE):
            raise TransientError("others are reading the tables, and the lake answers slowly: try again")
        try:
            yield
        finally:
            self._readers.release()

    def _list(self, request: Request, table: Table) -> Response:
        wanted, problem = filter_of(request.query)
        after = _cursor(request.query)
        note = ""
        with self._reading():
            state = self._watch.look(_PATIENCE).state
            replayed_at = state.replayed_at if state is not None else 0
            try:
                found = row_page(self._watch.lake, table, wanted, after, replayed_at)
            except RowMoved as error:
                note = str(error)
                found = row_page(self._watch.lake, table, wanted, None, replayed_at)
        kept = {name: value for name, value in request.query.items() if name in _FIELDS and value}
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
        with self._reading():
            row = one_row(self._watch.lake, "rejected", *_asked_row(request.query))
        raw = self._bytes_of(row, "rejected")
        return self._page(
            "reject.html",
            page="rejects",
            row=_described(row.columns),
            content=content_of(raw, MAX_BYTES, 0),
            dump=shown.dump(raw[:DUMPED_BYTES]),
            is_binary=shown.is_binary(raw),
            command=self._replay("rejected", Filter(reason=row.columns["reason"])),
        )

    def _duplicate(self, request: Request) -> Response:
        with self._reading():
            row = one_row(self._watch.lake, "duplicates", *_asked_row(request.query))
            original = find_original(self._watch.lake, row.columns)
        copy = sent(self._watch.lake, row.columns)
        difference = None if original.row is None else _compared(original, copy)
        return self._page(
            "duplicate.html",
            page="duplicates",
            row=_described(row.columns),
            original=None if original.row is None else _described(original.row),
            outcome=original.outcome,
            files=original.files,
            difference=difference,
            content=content_of(copy.encode("utf-8", "surrogatepass"), MAX_BYTES, 0),
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
    if most_dumped and shown.is_binary(raw):
        return Content([], shown.dump(raw[:most_dumped]), len(raw), len(raw) > most_dumped)
    return Content(shown.pieces(shown.decoded(raw[:most])), [], len(raw), len(raw) > most)


_FIELDS = ("reason", "type", "conflict", "since", "until", "text")


def filter_of(query: Mapping[str, str]) -> tuple[Filter, str]:
    """The filter of an address, and a sentence about what in it cannot be read."""
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
        event_type=given["type"] or None,
        is_conflict={"yes": True, "no": False}.get(given["conflict"]),
        since_us=times["since"],
        until_us=times["until"],
        text=given["text"] or None,
    ), problem


def _time(text: str) -> int | None:
    """Microseconds since 1970; without an offset it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
        return words.microseconds(moment)
    except (ValueError, OverflowError):
        return None


def _cursor(query: Mapping[str, str]) -> tuple[str, int] | None:
    return _asked_row(query) if "file" in query else None


def _asked_row(query: Mapping[str, str]) -> tuple[str, int]:
    number = query.get("row", "")
    if not query.get("file") or not number.isascii() or not number.isdigit() or len(number) > 18:
        raise BadRequest("the address names no row")
    return query["file"], int(number)


def _compared(original: Original, copy: str) -> Difference:
    assert original.row is not None  # noqa: S101 - asked before
    return compare(str(original.row["payload"]), copy)


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
