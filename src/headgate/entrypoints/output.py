"""What commands print: results for people or for machines, numbers, and progress on a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Protocol

import click

from headgate.core.words import minutes
from headgate.core.words import size as size


class Progress(Protocol):
    """Something that counts up while long work goes on."""

    def advance(self, amount: float) -> None:
        """So much more is done."""
        ...

    def describe(self, text: str) -> None:
        """Say something beside the bar: rates, duplicates, lag."""
        ...


class Silent:
    """No terminal, no progress."""

    def advance(self, amount: float) -> None:
        """Say nothing."""

    def describe(self, text: str) -> None:
        """Say nothing."""


@contextmanager
def progress(title: str, total: float | None, *, is_shown: bool = True) -> Iterator[Progress]:
    """Show a progress bar on standard error where that is a terminal.

    Args:
        title: what is going on.
        total: the amount at the end; None where it is not known.
        is_shown: False for `--json` and the like.
    """
    if not (is_shown and sys.stderr.isatty()):
        yield Silent()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars

    columns = (
        "{task.description}",
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    bars = Bars(*columns, TextColumn("{task.fields[note]}", markup=False), console=Console(stderr=True), transient=True)
    task = bars.add_task(title, total=total, note="")

    class Bar:
        def advance(self, amount: float) -> None:
            bars.advance(task, amount)

        def describe(self, text: str) -> None:
            bars.update(task, note=text)

    with bars:
        yield Bar()


def print_json(result: object, *, err: bool = False) -> None:
    """Print one JSON document, on standard error where `err`; times as ISO 8601, paths as text."""
    click.echo(json.dumps(result, ensure_ascii=False, indent=2, default=_plain), err=err)


def _plain(value: object) -> object:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def print_pairs(pairs: Mapping[str, object], *, indent: int = 0) -> None:
    """Print names and values in two columns; numbers with thousands separators."""
    width = max(map(len, pairs), default=0)
    for name, value in pairs.items():
        click.echo(f"{' ' * indent}{name:<{width}}  {number(value) if _is_number(value) else value}")


def print_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows in columns as wide as their widest value; numbers to the right."""
    texts = [[number(cell) if _is_number(cell) else str(cell) for cell in row] for row in rows]
    widths = [max(len(line[i]) for line in [list(head), *texts]) for i in range(len(head))]
    right = [bool(rows) and all(_is_number(row[i]) for row in rows) for i in range(len(head))]
    for line in [list(head), *texts]:
        cells = zip(line, widths, right, strict=True)
        click.echo("  ".join(f"{text:>{width}}" if r else f"{text:<{width}}" for text, width, r in cells).rstrip())


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def number(value: object) -> str:
    """A number for people: `1,234,567`, `0.25`; anything else as its text."""
    if isinstance(value, float) and not value.is_integer():
        return f"{value:,.2f}" if abs(value) >= 0.1 else f"{value:.2g}"
    return f"{value:,.0f}" if _is_number(value) else str(value)


def seconds(value: float) -> str:
    """A duration for people: `0.25 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    if value < 60:
        return f"{value:.2f} s" if value < 10 else f"{value:.0f} s"
    return minutes(value)
