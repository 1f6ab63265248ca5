"""`headgate init`: the commented configuration file."""

from __future__ import annotations

from pathlib import Path

import click

from headgate.config import sample_toml
from headgate.entrypoints.cli import common_options
from headgate.entrypoints.output import print_json
from headgate.errors import ConfigError

FILE_NAME = "headgate.toml"


@click.command(
    epilog="""\b
Examples:
  headgate init
  headgate init conf/production.toml
  headgate run events/ lake/ --config headgate.toml
"""
)
@click.argument("path", type=click.Path(path_type=Path), default=Path())
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
@common_options
def command(path: Path, force: bool, as_json: bool) -> None:
    """Write a commented configuration file.

    PATH is a file, or a folder that gets a `headgate.toml` (default: this folder). Every setting is in it,
    with its default and what it does.
    """
    target = path / FILE_NAME if path.is_dir() else path
    try:
        with target.open("w" if force else "x", encoding="utf-8") as file:
            file.write(sample_toml())
    except FileExistsError:
        raise ConfigError(f"{target}: there is a file already; --force overwrites it") from None
    except OSError as error:
        raise ConfigError(f"{target}: cannot be written: {error.strerror}") from error
    if as_json:
        print_json({"path": target})
    else:
        click.echo(f"wrote {target}; use it with --config {target}")
