"""The `headgate` command: the table of commands, one place for errors and exit codes.

Commands are imported when they are used, so that `--help` answers at once.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from gettext import gettext
from typing import Any, NoReturn, TypeVar

import click

from headgate import __version__
from headgate.errors import HeadgateError

#: Command name to the first line of its help; the module is `headgate.entrypoints.commands.<name>`.
COMMANDS = {
    "demo": "Show the whole flow on generated events.",
    "generate": "Make realistic events, with duplicates and rubbish among them.",
    "run": "Admit the events of a source into a lake.",
    "status": "Show position, lag, tables and claims of a lake.",
    "query": "Ask a lake in SQL.",
    "build": "Build typed analytical tables from the events.",
    "compact": "Join small files to large ones and delete what nobody needs.",
    "check": "Compare the quality of a lake with what is allowed.",
    "report": "Write the quality of a lake as one HTML page.",
    "dashboard": "Show a lake live in the browser.",
    "verify": "Prove that nothing was lost and nothing is there twice.",
    "replay": "Judge rejected records anew, with the rules and limits of today.",
    "erase": "Remove one person's rows from every table, and keep a receipt.",
    "rebuild": "Rebuild the claim store from the lake.",
    "plan": "Show what a volume costs and needs, before anything is deployed.",
    "init": "Write a commented configuration file.",
    "doctor": "Check what works on this machine and what does not.",
    "config": "Show the effective configuration and where each value comes from.",
    "upgrade": "Bring a lake's layout up to date.",
}

EXIT_FAILURE, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE, as the shell shows it for other programs

Command = TypeVar("Command", bound=Callable[..., Any])


class State:
    """What the global options say, shared with the commands as `ctx.obj`."""

    debug = False


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"headgate.entrypoints.commands.{cmd_name}").command
        assert isinstance(command, click.Command)  # noqa: S101 - every module of commands/ exposes one
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; suggest the nearest where there is none."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, without importing them."""
        with formatter.section(gettext("Commands")):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. A reader that went away ends it quietly; an EOFError is not an interrupt."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(EXIT_BROKEN_PIPE)
        except EOFError as error:
            raise RuntimeError("end of input where none was expected") from error

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> NoReturn:
        """Run the command line and end the process: every error becomes one line and an exit code."""
        state = State()
        try:
            code = super().main(args, *rest, **{**extra, "standalone_mode": False, "obj": state})
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)
        except (click.Abort, KeyboardInterrupt):
            click.echo("interrupted", err=True)
            sys.exit(EXIT_INTERRUPTED)
        except HeadgateError as error:
            _fail(state, str(error), error.exit_code)
        except Exception as error:
            bug = f"this is a bug in Headgate: {type(error).__name__}: {error}; --debug shows where"
            _fail(state, bug, EXIT_FAILURE)
        sys.exit(code if isinstance(code, int) else 0)


def _fail(state: State, message: str, exit_code: int) -> NoReturn:
    if state.debug:
        traceback.print_exc()
    # A control character in a name from the data must not steer a terminal.
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(message.split()))
    click.echo(click.style("error: ", fg="red", bold=True) + line, err=True)
    sys.exit(exit_code)


def _set_debug(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(State).debug = True


debug_option = click.option(
    "--debug",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_set_debug,
    help="Show the traceback of an error.",
)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")


def common_options(command: Command) -> Command:
    """Add `--json` (parameter `as_json`) and `--debug` to a command."""
    return debug_option(_json_option(command))


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  headgate demo
  headgate run events/ lake/
  headgate query lake/ "SELECT event_type, count(*) FROM events GROUP BY 1"

\b
Exit codes: 0 success, 1 failure, 2 wrong usage or configuration,
3 a promise is broken (verify, check).
""",
)
@click.version_option(__version__, prog_name="headgate")
@debug_option
def cli() -> None:
    """Admit JSON events from a stream into a data lake, exactly once, with proof that nothing was lost."""


def main() -> NoReturn:
    """Entry point of the console command."""
    cli.main(prog_name="headgate")
