"""The dashboard in a real browser, over a lake that is written at 1,000 events a second, and over hostile data."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page

from headgate.claims.memory import MemoryClaimStore
from headgate.lake.local import LocalStorage
from headgate.testing.browser import PHONE, Opened, browsing, opened
from headgate.testing.commands import ok
from headgate.testing.dashboards import Dashboard, dashboard
from headgate.testing.flowing_files import FlowingFiles, flowing_events
from headgate.testing.memory_source import Record, Stream
from headgate.testing.processes import PATIENCE_SECONDS, Child, wait_until
from headgate.testing.world import Attempt, World

RATE = 1_000  # events a second
NOW_US = 1_795_000_000_000_000
HOSTILE = (
    "<script>window.hit=1</script>",
    '"><img src=x onerror=window.hit=1>',
    "{{7*7}}",
    "\x1b[31mred\x1b]8;;http://x\x07",
    "=HYPERLINK(1)",
    "\u202egnp.exe\u2066",
    "nul\x00byte",
    "javascript:window.hit=1",
    "$(touch hit)`id`",
)
RAWS = [
    b"<script>window.hit=1</script>\x00\x1b[2J\xff\xfe",
    b"<script>window.hit=1</script>{{7*7}}",
    b'"><img src=x onerror=window.hit=1>\x1b[2J',
    '"\u202e=cmd|calc'.encode(),
    b"\xff\xfe\x00\x01" * 30,
]
NEVER_SHOWN = "\x1b\u202e\u2066\x07"
SHOWN = (
    "<script>window.hit=1</script>",
    "<img src=x onerror=window.hit=1>",
    "{{7*7}}",
    "\\x1b[31mred",
    "\\u202egnp.exe",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as found:
        yield found


@contextmanager
def flowing(folder: Path) -> Iterator[None]:
    """Events arrive in a folder at RATE, from a thread."""
    rng = random.Random(4)
    lines, _ = flowing_events(120 * RATE, rng, types=30)
    files = FlowingFiles(lines, folder, rng, lines_a_second=RATE)
    is_over = threading.Event()

    def write() -> None:
        files.start()
        while not is_over.wait(0.05):
            files.step()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A lake into which a run commits every second."""
    folder = tmp_path_factory.mktemp("written")
    args = ["run", folder / "in", folder / "lake", "--follow", "--flush-seconds", "1"]
    with flowing(folder / "in"), Child(args, folder / "logs"):
        format_file = folder / "lake" / "_headgate" / "format.json"
        wait_until(format_file.exists, "the lake")
        wait_until(lambda: ok("status", folder / "lake")["number"] > 1, "commits")
        yield folder / "lake"


@pytest.fixture(scope="module")
def live(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    with dashboard(written, tmp_path_factory.mktemp("logs")) as found:
        yield found


def moves(page: Page, times: int = 1) -> None:
    """The number of received events grows."""
    for _ in range(times):
        before = page.inner_text("[data-text=received]")
        wait_until(lambda before=before: page.inner_text("[data-text=received]") != before, "another number")


def says(page: Page, text: str) -> None:
    wait_until(lambda: text in page.inner_text("[data-says]"), f"the page says {text}")


def is_clean(found: Opened) -> None:
    """No error of scripts or policies, nothing from elsewhere, nothing that keeps somebody out."""
    assert found.errors == []
    assert found.faults() == []
    own = found.page.url.split("/")[2]
    assert [url for url in found.requests if url.split("/")[2] != own] == []


def test_numbers_move_in_two_browsers_at_once(browser: Browser, live: Dashboard) -> None:
    with opened(browser, live.address) as one, opened(browser, live.address, scheme="dark") as other:
        moves(one.page, 3)
        moves(other.page)
        for found in (one, other):
            page = found.page
            page.wait_for_selector("[data-list=types] tr", timeout=PATIENCE_SECONDS * 1e3)
            page.wait_for_selector("[data-list=tables] tr", timeout=PATIENCE_SECONDS * 1e3)
            says(page, "live")
            assert "/s" in page.inner_text(".tile.received")
            assert page.inner_text("[data-text=conserved]") == "conserved: nothing is missing"
            assert page.locator("[data-list=commits] tr").count() > 1
            assert page.get_attribute("[data-path=chart_accepted]", "d")
            is_clean(found)


def test_the_chart_tells_its_numbers_to_keys_and_pointers(browser: Browser, live: Dashboard) -> None:
    with opened(browser, live.address) as found:
        page = found.page
        moves(page)
        page.focus("[data-chart]")
        page.keyboard.press("ArrowLeft")
        assert "accepted" in page.inner_text("[data-readout]")
        page.hover("[data-chart] svg")
        assert page.get_attribute("[data-cursor]", "d")


def test_a_dashboard_that_is_started_again_is_found_again(browser: Browser, written: Path, tmp_path: Path) -> None:
    with dashboard(written, tmp_path / "1") as first:
        port = str(first.port)
        context = opened(browser, first.address)
        found = context.__enter__()
        try:
            moves(found.page)
            first.child.kill()
            says(found.page, "away")
            with dashboard(written, tmp_path / "2", "--port", port):
                says(found.page, "live")
                moves(found.page)
                assert [error for error in found.errors if "ERR_" not in error] == []
        finally:
            context.__exit__(None, None, None)


def test_without_scripts_the_page_has_the_figures_of_the_moment(browser: Browser, live: Dashboard) -> None:
    live.get("/")
    wait_until(lambda: live.live()["lists"]["types"], "the history")
    with opened(browser, live.address, is_script_allowed=False) as found:
        assert int(found.page.inner_text("[data-text=received]").replace(",", "")) > 0
        assert found.page.locator("[data-list=types] tr").count() > 3


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    """A lake in which every text that comes from others is hostile, its own name too."""
    folder = tmp_path_factory.mktemp("hostile") / "la'ke <b>{{7*7}}"
    records = []
    for i, name in enumerate(HOSTILE):
        for copy in range(3):
            event = {"event_uuid": f"{name}{i}", "event_name": name, "created_at": NOW_US / 1e6, "text": name}
            records.append(Record(data=json.dumps({**event, "copy": copy // 2}).encode(), arrived_us=NOW_US + i))
    records += [Record(data=raw, arrived_us=NOW_US) for raw in RAWS]
    stream = Stream(shards={name: records[i :: len(HOSTILE)] for i, name in enumerate(HOSTILE)})
    claims = MemoryClaimStore()
    World(stream, LocalStorage(folder), "delta", lambda: claims).run(Attempt(fields=HOSTILE[1:2]))
    with dashboard(folder, tmp_path_factory.mktemp("logs")) as found:
        wait_until(lambda: not (view := found.live("?range=all"))["note"] and view["lists"]["tables"], "the history")
        yield found


def is_harmless(found: Opened) -> str:
    """Nothing of the data ran or moved text; returns what can be read."""
    text = str(found.page.evaluate("document.documentElement.textContent"))
    assert found.page.evaluate("window.hit") is None
    assert not set(NEVER_SHOWN) & set(text)
    assert found.page.locator("main img, main script, main iframe").count() == 0
    is_clean(found)
    return text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_hostile_texts_are_text_on_every_page(browser: Browser, hostile: Dashboard, scheme: str) -> None:
    texts = ""
    with opened(browser, f"{hostile.address}?range=all&types=all", scheme=scheme) as found:
        found.page.wait_for_selector("[data-list=types] tr", timeout=PATIENCE_SECONDS * 1e3)
        texts += is_harmless(found)
        for page in ("rejects", "duplicates"):
            found.page.goto(hostile.address + page)
            texts += is_harmless(found)
            for number in range(2 if scheme == "light" else 1):
                found.page.locator("a.closer").nth(number).click()
                found.page.wait_for_load_state()
                texts += is_harmless(found)
                found.page.go_back()
    for wanted in SHOWN:
        assert wanted in texts


def test_what_is_asked_for_comes_back_as_text(browser: Browser, hostile: Dashboard) -> None:
    with opened(browser, f"{hostile.address}rejects") as found:
        for text in HOSTILE:
            if "\0" in text:
                continue
            query = urlencode({"reason": text, "text": text, "since": text, "type": text})
            found.page.goto(f"{hostile.address}rejects?{query}")
            assert found.page.evaluate("window.hit") is None
            assert not set(NEVER_SHOWN) & set(found.page.inner_text("main"))
        assert found.errors == []


@pytest.mark.parametrize("page", ["", "rejects", "duplicates"])
def test_a_phone_shows_every_page_without_scrolling_sideways(browser: Browser, hostile: Dashboard, page: str) -> None:
    with opened(browser, f"{hostile.address}{page}?range=all", size=PHONE) as found:
        assert not found.is_too_wide


def test_the_replay_command_is_copied_as_it_is_shown(browser: Browser, hostile: Dashboard) -> None:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"], viewport=None)
    try:
        page = context.new_page()
        page.goto(f"{hostile.address}rejects?reason=malformed_json")
        page.click("[data-copy]")
        wait_until(lambda: page.inner_text("[data-copy]") == "Copied", "the copy")
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied == page.inner_text("[data-command]")
        assert copied.startswith("headgate replay '")
        assert copied.endswith(" --reason malformed_json")
    finally:
        context.close()
