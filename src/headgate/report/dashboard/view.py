"""What page and script show alike: texts, times, lists of cells and paths by name. Pure; made in live.py and panels.py.

The page is made of a view, and the script puts later views into the same places: as text, never as markup.
"""

from __future__ import annotations

from typing import Any

import msgspec

from headgate.report.dashboard.shown import plain


class Cell(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One cell of a list.

    Attributes:
        text: what stands in it.
        href: where it leads.
        us: a time, microseconds since 1970, told as its age beside the text.
        path: of a small chart.
        bar: from 0 to 100, a bar as long as that.
        kind: its look: `number`, `quiet`, `good`, `warn`, `bad`, `mono`.
    """

    text: str = ""
    href: str = ""
    us: int = 0
    path: str = ""
    bar: float | None = None
    kind: str = ""


Row = list[Cell]


class View(msgspec.Struct, kw_only=True):
    """Everything that changes on the live page.

    Attributes:
        version: another one where anything else differs, times of reading excepted.
        lake: path or URI.
        as_of_us: when the lake was last read.
        now_us: the clock of this machine; ages are told against it, because a browser's clock may be another.
        problem: why it is not read; empty where it is.
        note: what is still being read, or could not be; empty where nothing is.
        texts: by place.
        times: by place, microseconds since 1970; 0 for none.
        paths: by place, of SVG.
        lists: by place.
        flags: by place; a place looks another way where False.
        points: of the chart: time, accepted, duplicates, rejected of each step.
        step_seconds: of the chart.
    """

    version: str = ""
    lake: str = ""
    as_of_us: int = 0
    now_us: int = 0
    problem: str = ""
    note: str = ""
    texts: dict[str, str] = {}
    times: dict[str, int] = {}
    paths: dict[str, str] = {}
    lists: dict[str, list[Row]] = {}
    flags: dict[str, bool] = {}
    points: list[tuple[int, int, int, int]] = []
    step_seconds: int = 0


def text(value: str, **looks: Any) -> Cell:
    """A cell of a text from the data."""
    return Cell(text=plain(value), **looks)


def number(value: str, **looks: Any) -> Cell:
    """A cell of a number that is ready to be read."""
    return Cell(text=value, **{"kind": "number", **looks})
