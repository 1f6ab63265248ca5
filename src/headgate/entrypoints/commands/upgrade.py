"""`headgate upgrade`: a lake's layout brought up to date, one step a layout version."""

from __future__ import annotations

from collections.abc import Callable

import click

from headgate.entrypoints.cli import common_options
from headgate.entrypoints.output import print_json
from headgate.lake.layout import LAYOUT
from headgate.lake.storage import Storage
from headgate.wiring.existing import existing_lake

#: Step n brings a lake from layout n + 1 to layout n + 2. Layout 1 is the first one.
STEPS: tuple[Callable[[Storage], None], ...] = ()


@click.command(
    epilog="""\b
Examples:
  headgate upgrade lake/
  headgate upgrade lake/ --json
"""
)
@click.argument("lake")
@common_options
def command(lake: str, as_json: bool) -> None:
    """Bring a lake's layout up to date.

    A lake of a newer layout is refused by name: it needs a newer Headgate.
    """
    found = existing_lake(lake)
    layout = found.about.layout
    for step in STEPS[layout - 1 :]:
        step(found.storage)
    if as_json:
        print_json({"lake": lake, "from_layout": layout, "layout": LAYOUT, "changed": layout != LAYOUT})
    elif layout == LAYOUT:
        click.echo(f"{lake} has layout {LAYOUT}, the newest that this Headgate knows: nothing to do")
    else:
        click.echo(f"{lake}: layout {layout} became layout {LAYOUT}")
