"""The page in a real browser: hostile texts stay text, nothing is asked of the network, everybody can read it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from headgate.claims.memory import MemoryClaimStore
from headgate.jobs.existing import find_lake
from headgate.lake.local import LocalStorage
from headgate.report.collect import collect
from headgate.report.findings import Finding
from headgate.report.page import render
from headgate.testing.browser import DESKTOP, PHONE, browsing, opened
from headgate.testing.faulty_stream import EVENTS, START_US, faulty_hour, good_hour, record
from headgate.testing.memory_source import Record, Stream
from headgate.testing.world import Attempt, World

HOSTILE = (
    "<script>window.hit=1</script>",
    '"><img src=x onerror=window.hit=1>',
    "{{7*7}}",
    "{% raw %}",
    "\x1b[31mred\x1b]8;;http://x\x07",
    "=HYPERLINK(1)",
    "\u202egnp.exe\u2066",
    "nul\x00byte",
    "</style><script>window.hit=1</script>",
    "javascript:window.hit=1",
    "&lt;b&gt;",
)
RAW = [
    b"<script>window.hit=1</script>\x00\x1b[2J\xff\xfe",
    b"\xed\xa0\x80 lone",
    '"\u202e'.encode(),
    b'{"a": "\\ud800"}',
]
SIGHTS = [("light", DESKTOP), ("dark", DESKTOP), ("dark", PHONE)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as found:
        yield found


def hostile_records() -> list[Record]:
    records = []
    for i, name in enumerate(HOSTILE):
        for copy in range(3):
            event = {"event_uuid": f"{name}{i}", "event_name": name, "created_at": START_US / 1e6, "copy": copy // 2}
            records.append(Record(data=json.dumps(event).encode(), arrived_us=START_US + i))
    return records + [Record(data=raw, arrived_us=START_US) for raw in RAW]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page on which every text that comes from others is hostile."""
    folder = tmp_path_factory.mktemp("lake")
    stream = Stream(shards={name: hostile_records()[i :: len(HOSTILE)] for i, name in enumerate(HOSTILE)})
    claims = MemoryClaimStore()
    World(stream, LocalStorage(folder), "delta", lambda: claims).run(Attempt(fields=HOSTILE[1:2]))
    found = collect(find_lake(str(folder)), now_us=START_US + 60_000_000)
    counts = dict.fromkeys(HOSTILE, 200)
    total = replace(found.total, reasons=counts, rule_passes=counts, rule_failures=counts, warnings=counts)
    findings = [Finding(level="warn", topic="t", sentence=text, advice=text, command=text) for text in HOSTILE]
    page = folder / "hostile.html"
    page.write_text(render(replace(found, lake="/".join(HOSTILE), total=total, findings=findings)), encoding="utf-8")
    return page


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the stream with known faults, and a long name."""
    folder = tmp_path_factory.mktemp("lake")
    long = [record(0, i, "a_very_long_name_" * 12) for i in range(0, EVENTS, 40)]
    stream = Stream(shards={"s": sorted([*good_hour(), *long], key=lambda r: r.arrived_us) + faulty_hour()})
    claims = MemoryClaimStore()
    World(stream, LocalStorage(folder), "delta", lambda: claims).run(Attempt(fields=("user.id",), batch_events=3_000))
    page = folder / "faulty.html"
    page.write_text(render(collect(find_lake(str(folder)), now_us=START_US + 9_000_000_000)), encoding="utf-8")
    return page


def test_hostile_texts_are_shown_as_text(browser: Browser, hostile: Path) -> None:
    text = hostile.read_text(encoding="utf-8")
    assert "<script" not in text
    assert not set("\x1b\x07\x00\u202e\u2066\x9b") & set(text)
    with opened(browser, hostile.as_uri()) as found:
        said = found.page.inner_text("body")
        for shown in (
            "<script>window.hit=1</script>", "{{7*7}}", "onerror=window.hit=1>", "\\x1b[31mred", "nul\\x00byte",
            "\\u202egnp.exe\\u2066", "&lt;b&gt;", "=HYPERLINK(1)", "\\xff\\xfe",
        ):  # fmt: skip
            assert shown in said, shown
        assert found.page.evaluate("window.hit") is None
        assert found.page.query_selector_all("script, img, iframe, a:not([href^='#'])") == []
        assert (found.errors, found.requests) == ([], [])


@pytest.mark.parametrize(("scheme", "size"), SIGHTS, ids=["light", "dark", "dark phone"])
def test_everybody_can_read_it(browser: Browser, faulty: Path, scheme: str, size: tuple[int, int]) -> None:
    with opened(browser, faulty.as_uri(), scheme=scheme, size=size) as found:
        assert found.faults() == []
        assert not found.is_too_wide
        assert (found.errors, found.requests) == ([], [])


def test_hostile_texts_do_not_make_it_wider_than_a_phone(browser: Browser, hostile: Path) -> None:
    with opened(browser, hostile.as_uri(), size=PHONE) as found:
        assert not found.is_too_wide


def test_a_style_or_script_that_gets_in_is_refused_by_the_browser(
    browser: Browser, faulty: Path, tmp_path: Path
) -> None:
    text = faulty.read_text(encoding="utf-8")
    broken = tmp_path / "broken.html"
    evil = '<img src="http://127.0.0.1:9/x"><script>window.hit=1</script><style>body{display:none}</style></main>'
    broken.write_text(text.replace("</main>", evil), encoding="utf-8")
    with opened(browser, broken.as_uri()) as found:
        assert found.page.evaluate("window.hit") is None
        assert found.page.is_visible("h1")
        assert len(found.errors) >= 3


def test_it_can_be_printed_and_needs_no_script(browser: Browser, faulty: Path) -> None:
    with opened(browser, faulty.as_uri(), is_script_allowed=False) as found:
        assert len(found.page.pdf()) > 20_000
        assert found.page.inner_text("h1").endswith(faulty.parent.name)
        found.page.emulate_media(media="print", color_scheme="dark")
        assert not found.page.is_visible("nav")
