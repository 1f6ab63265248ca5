"""A real browser for pages: what they look like, what goes wrong in them, what they ask the network for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Page, Request, sync_playwright

CHROMIUM = "/usr/bin/chromium"  # Debian's package
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE, DESKTOP = (390, 844), (1_280, 900)  # CSS pixels

#: Rules of axe whose breach keeps somebody from reading the page.
_GRAVE = ("serious", "critical")


@dataclass(slots=True)
class Opened:
    """A page, and what happened in it.

    Attributes:
        page: of Playwright.
        errors: of its console, and exceptions of its scripts.
        requests: addresses that it asked for, without its own.
    """

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @property
    def is_too_wide(self) -> bool:
        """True where the body scrolls sideways."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))

    def faults(self) -> list[str]:
        """Serious and critical findings of axe, a sentence each."""
        found = Axe().run(self.page, options={"resultTypes": ["violations"]}).response["violations"]
        return [
            f"{one['id']}: {one['help']}: {node['html'][:200]}"
            for one in found
            if one["impact"] in _GRAVE
            for node in one["nodes"]
        ]

    def shot(self, path: Path, *, is_full: bool = False) -> None:
        """Write a picture of it as PNG."""
        self.page.screenshot(path=path, full_page=is_full)


@contextmanager
def browsing() -> Iterator[Browser]:
    """A browser, ended on leaving. Starting takes some seconds: share it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(
    browser: Browser,
    url: str,
    *,
    scheme: Literal["light", "dark"] = "light",
    size: tuple[int, int] = DESKTOP,
    is_script_allowed: bool = True,
    headers: dict[str, str] | None = None,
) -> Iterator[Opened]:
    """A page in a context of its own, loaded.

    Args:
        browser: of `browsing`.
        url: of the page.
        scheme: what the user prefers.
        size: of the window, CSS pixels.
        is_script_allowed: whether scripts run; axe needs them.
        headers: sent with every request.
    """
    context = browser.new_context(
        color_scheme=scheme,
        viewport={"width": size[0], "height": size[1]},
        java_script_enabled=is_script_allowed,
        extra_http_headers=headers or {},
        bypass_csp=False,
    )
    try:
        page = context.new_page()
        found = Opened(page)
        page.on("console", lambda message: _note(found, message.type, message.text))
        page.on("pageerror", lambda error: found.errors.append(str(error)))

        def asked(request: Request) -> None:
            if request.url != url:
                found.requests.append(request.url)

        page.on("request", asked)
        page.goto(url, wait_until="load")
        yield found
    finally:
        context.close()


def _note(found: Opened, kind: str, text: str) -> None:
    if kind in ("error", "warning"):
        found.errors.append(text)
