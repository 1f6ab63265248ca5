"""Commands of the command line, run in this process, for tests."""

from __future__ import annotations

import json
from typing import Any

from click.testing import CliRunner, Result

from headgate.entrypoints.cli import cli


def run(*args: object, **env: str) -> Result:
    """Run `headgate` with arguments, under no configuration file but what `env` names."""
    return CliRunner().invoke(cli, [str(arg) for arg in args], env={"HEADGATE_CONFIG": "", **env})


def ok(*args: object, **env: str) -> Any:
    """What a command that has to succeed answers with `--json`."""
    result = run(*args, "--json", **env)
    if result.exit_code:
        raise AssertionError(result.stderr)
    return json.loads(result.stdout)
