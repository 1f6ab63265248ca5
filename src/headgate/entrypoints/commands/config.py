"""`headgate config`: the settings in force and where each comes from."""

from __future__ import annotations

import json
from pathlib import Path

import click

from headgate.config import digest, effective, environment, resolve
from headgate.entrypoints.cli import common_options
from headgate.entrypoints.output import print_json, print_table


@click.command(
    epilog="""\b
Examples:
  headgate config
  headgate config --config headgate.toml
  HEADGATE__BATCH__MAX_EVENTS=5000 headgate config --json
"""
)
@click.option("--config", "path", type=click.Path(path_type=Path), help="TOML file (or HEADGATE_CONFIG).")
@common_options
def command(path: Path | None, as_json: bool) -> None:
    """Show the effective configuration and where each value comes from.

    Flags win over environment variables (HEADGATE__SECTION__KEY), these over the TOML file, and the file over
    the defaults. Secrets are masked.
    """
    resolved = resolve(path, environment(), {})
    settings = effective(resolved)
    if as_json:
        values = {setting.name: {"value": setting.value, "origin": setting.origin} for setting in settings}
        print_json({"digest": digest(resolved.config), "settings": values})
        return
    rows = [(s.name, json.dumps(s.value, ensure_ascii=False), s.origin) for s in settings]
    print_table(("setting", "value", "from"), rows)
    click.echo(f"\ndigest {digest(resolved.config)}")
