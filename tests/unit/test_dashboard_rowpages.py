"""Pages of rejects and duplicates: what an address asks for, and that they leave threads to the live page."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from headgate.entrypoints.commands.dashboard import LIMITS
from headgate.report.dashboard import rowpages
from headgate.report.dashboard.pages import templates
from headgate.report.dashboard.rowpages import READERS, WAITING, RowPages, filter_of
from headgate.report.dashboard.rows import Filter, Row
from headgate.report.dashboard.web import BadRequest, Request, Response
from headgate.testing.processes import wait_until

LONG = 60.0  # seconds; nothing waits that long
ASKED = Request(path="/reject", query={"file": "rejected/a.parquet", "row": "0"})


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({}, Filter()),
        ({"reason": "", "type": " ", "conflict": "", "since": "", "until": "", "text": "", "untyped": ""}, Filter()),
        ({"reason": " malformed_json "}, Filter(reason="malformed_json")),
        ({"type": "shop"}, Filter(event_type="shop")),
        ({"untyped": "yes"}, Filter(event_type="")),
        ({"untyped": "no"}, Filter()),
        ({"untyped": "yes", "type": "shop"}, Filter(event_type="shop")),
        ({"conflict": "yes"}, Filter(is_conflict=True)),
        ({"conflict": "no"}, Filter(is_conflict=False)),
        ({"conflict": "perhaps"}, Filter()),
        ({"since": "1970-01-01T00:00:01"}, Filter(since_us=1_000_000)),
        ({"until": "1970-01-01T01:00:01.5+01:00"}, Filter(until_us=1_500_000)),
        ({"text": "a b"}, Filter(text="a b")),
        ({"file": "x", "row": "1", "other": "y"}, Filter()),
    ],
)
def test_an_address_is_a_filter(query: dict[str, str], wanted: Filter) -> None:
    assert filter_of(query) == (wanted, "")


@pytest.mark.parametrize("name", ["since", "until"])
@pytest.mark.parametrize("text", ["yesterday", "9999-12-31T23:59:59-23:00", "0001-01-01T00:00:00+23:00", "\u202e"])
def test_a_time_that_cannot_be_written_is_told(name: str, text: str) -> None:
    wanted, problem = filter_of({name: text, "reason": "x"})
    assert wanted == Filter(reason="x")
    assert "expected a time" in problem
    assert "\u202e" not in problem


def test_the_ends_of_time_are_times() -> None:
    wanted, problem = filter_of({"since": "0001-01-01T00:00:00Z", "until": "9999-12-31T23:59:59.999999Z"})
    assert (wanted.since_us, wanted.until_us) == (-62_135_596_800_000_000, 253_402_300_799_999_999)
    assert problem == ""


def test_a_field_of_any_length_is_refused() -> None:
    with pytest.raises(BadRequest):
        filter_of({"untyped": "x" * 600})


class Stalled:
    """A table whose rows come when they are let go."""

    def __init__(self) -> None:
        self.goes_on = threading.Event()
        self.reading = 0
        self._lock = threading.Lock()

    def one_row(self, *asked: object) -> Row:
        with self._lock:
            self.reading += 1
        assert self.goes_on.wait(LONG)
        columns = {"reason": "malformed_json", "detail": "", "raw": b"{"}
        return Row(file="rejected/a.parquet", number=0, columns=columns)


@pytest.fixture
def stalled(monkeypatch: pytest.MonkeyPatch) -> Stalled:
    found = Stalled()
    monkeypatch.setattr(rowpages, "one_row", found.one_row)
    monkeypatch.setattr(rowpages, "_WAIT_SECONDS", LONG)
    return found


def page() -> Callable[[Request], Response]:
    watch = SimpleNamespace(lake=SimpleNamespace(path="lake/"))
    return RowPages(watch, templates()).table()["/reject"]


def test_who_finds_every_reader_taken_is_refused_at_once(stalled: Stalled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rowpages, "WAITING", 0)
    reject = page()
    with ThreadPoolExecutor(READERS) as pool:
        answers = [pool.submit(reject, ASKED) for _ in range(READERS)]
        try:
            wait_until(lambda: stalled.reading == READERS, "readers at work")
            refused = reject(ASKED)
        finally:
            stalled.goes_on.set()
        assert [answer.result(LONG).status for answer in answers] == [200] * READERS
    assert refused.status == 503
    assert int(dict(refused.headers)["Retry-After"]) > 0
    assert b"Load this page again" in refused.body
    assert reject(ASKED).status == 200


def test_a_few_wait_for_a_reader(stalled: Stalled) -> None:
    reject = page()
    with ThreadPoolExecutor(READERS + WAITING) as pool:
        answers = [pool.submit(reject, ASKED) for _ in range(READERS + WAITING)]
        try:
            wait_until(lambda: stalled.reading == READERS, "readers at work")
        finally:
            stalled.goes_on.set()
        assert [answer.result(LONG).status for answer in answers] == [200] * (READERS + WAITING)


def test_the_live_page_keeps_a_thread() -> None:
    assert LIMITS.threads > READERS + WAITING
