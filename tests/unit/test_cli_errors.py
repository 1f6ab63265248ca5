"""Exit codes and error lines of real processes; what `--help` imports."""

from __future__ import annotations

import importlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import click
import pytest
from click.testing import CliRunner

from headgate import __version__
from headgate.entrypoints.cli import COMMANDS, LazyGroup, cli, common_options, debug_option
from headgate.entrypoints.output import number, print_json, print_pairs, print_table, progress, seconds, size
from headgate.errors import BreachError, ConfigError, HeadgateError, PermanentError, TransientError

SRC = Path(__file__).parents[2] / "src"
# Whoever runs the tests in the background of a shell has SIGINT ignored, and children inherit that.
HEARS = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
START = ["-c", f"{HEARS}from headgate.entrypoints.cli import main; main()"]


def headgate(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(SRC), **env}
    return subprocess.run([sys.executable, *START, *args], capture_output=True, text=True, env=environment, check=False)


def group_with(action: Callable[[], object]) -> LazyGroup:
    """The real group with one command of its own."""

    class Group(LazyGroup):
        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
            @click.command()
            @common_options
            def command(as_json: bool) -> None:
                action()

            return command

    return Group(name="headgate", params=[p for p in cli.params if p.name != "version"])


def raising(error: BaseException) -> Callable[[], NoReturn]:
    def action() -> NoReturn:
        raise error

    return action


def test_help_imports_no_heavy_library() -> None:
    code = (
        "import sys, contextlib\nfrom headgate.entrypoints.cli import cli\n"
        "with contextlib.suppress(SystemExit): cli.main(['--help'])\n"
        "import json; print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SRC)},
        check=True,
    )
    *help_lines, modules = done.stdout.splitlines()
    loaded = {name.split(".")[0] for name in json.loads(modules)}
    assert "click" in loaded
    assert not loaded & {
        "pyarrow",
        "duckdb",
        "msgspec",
        "numpy",
        "rich",
        "deltalake",
        "rocksdict",
        "zstandard",
    }
    for name, line in COMMANDS.items():
        assert any(row.split() == [name, *line.split()] for row in help_lines)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_repeats_the_first_line_of_a_command_help(name: str) -> None:
    command = importlib.import_module(f"headgate.entrypoints.commands.{name}").command
    assert command.help.splitlines()[0] == COMMANDS[name]
    assert {"as_json", "debug"} <= {param.name for param in command.params}
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0
    assert "Examples:" in result.stdout


def test_version() -> None:
    done = headgate("--version")
    assert (done.returncode, done.stdout) == (0, f"headgate, version {__version__}\n")


@pytest.mark.parametrize("args", [["generat"], ["--nonsense"], ["generate", "--events", "many"], ["init", "a", "b"]])
def test_wrong_usage_exits_2_without_a_traceback(args: list[str]) -> None:
    done = headgate(*args)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr


def test_a_mistyped_command_is_guessed() -> None:
    assert "Did you mean generate?" in headgate("generat").stderr


def test_a_configuration_error_is_one_line_and_exits_2() -> None:
    done = headgate("config", HEADGATE__BATCH__MAX_EVENT="1")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: HEADGATE__BATCH__MAX_EVENT: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("args", [["--debug", "config"], ["config", "--debug"]])
def test_debug_shows_the_traceback_before_the_line(args: list[str]) -> None:
    done = headgate(*args, HEADGATE__BATCH__MAX_EVENT="1")
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")


def test_a_reader_that_goes_away_ends_the_command_quietly() -> None:
    process = subprocess.Popen(
        [sys.executable, *START, "generate", "--events", "200000", "--out", "-"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(SRC)},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.read(10).startswith(b'{"event')
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 141


def test_control_c_exits_130_without_a_traceback_and_leaves_no_file(tmp_path: Path) -> None:
    out = tmp_path / "pipe.jsonl"
    process = subprocess.Popen(
        [sys.executable, *START, "generate", "--events", "100000000", "--out", str(out)],
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(SRC)},
    )
    part = tmp_path / f".pipe.jsonl.{process.pid}.part"
    while not (part.exists() and part.stat().st_size):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate()
    assert process.returncode == 130
    assert b"Traceback" not in stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (HeadgateError("what went\nwrong"), 1),
        (ConfigError("what went wrong"), 2),
        (BreachError("what went wrong"), 3),
        (PermanentError("what went wrong"), 1),
        (TransientError("what went wrong"), 1),
    ],
)
def test_an_error_becomes_one_line_and_its_own_exit_code(error: HeadgateError, exit_code: int) -> None:
    result = CliRunner().invoke(group_with(raising(error)), ["demo"])
    assert (result.exit_code, result.stderr) == (exit_code, "error: what went wrong\n")


def test_an_error_with_a_hostile_name_does_not_steer_the_terminal() -> None:
    error = TransientError("cannot read in/\x1b[31mred\udcff.jsonl")
    result = CliRunner().invoke(group_with(raising(error)), ["demo"])
    assert result.stderr == "error: cannot read in/\\x1b[31mred\\udcff.jsonl\n"


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), EOFError("drained"), KeyError("k")])
def test_an_unexpected_error_is_called_a_bug(error: Exception) -> None:
    result = CliRunner().invoke(group_with(raising(error)), ["demo"])
    assert result.exit_code == 1
    assert result.stderr.startswith("error: this is a bug in Headgate: ")
    assert "--debug" in result.stderr
    assert result.stderr.count("\n") == 1


def test_an_interrupt_exits_130() -> None:
    result = CliRunner().invoke(group_with(raising(KeyboardInterrupt())), ["demo"])
    assert result.exit_code == 130


def test_a_command_may_choose_its_exit_code() -> None:
    def leave() -> None:
        click.get_current_context().exit(3)

    assert CliRunner().invoke(group_with(leave), ["demo"]).exit_code == 3
    assert CliRunner().invoke(group_with(lambda: None), ["demo"]).exit_code == 0


def test_debug_option_may_stand_alone() -> None:
    command = debug_option(click.Command("x", callback=lambda: None))
    assert CliRunner().invoke(command, ["--debug"]).exit_code == 0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234567, "1,234,567"),
        (0.25, "0.25"),
        (1234.5, "1,234.50"),
        (0.0123, "0.012"),
        (5.0, "5"),
        ("x", "x"),
        (True, "True"),
    ],
)
def test_numbers_for_people(value: object, text: str) -> None:
    assert number(value) == text


def test_sizes_and_durations_for_people() -> None:
    assert [size(n) for n in (0, 512, 1536, 3 << 30, 5 << 40)] == [
        "0 B",
        "512 B",
        "1.5 KiB",
        "3.0 GiB",
        "5.0 TiB",
    ]
    texts = [seconds(n) for n in (0.25, 12.4, 59.6, 200, 7500, 273_600)]
    assert texts == ["0.25 s", "12 s", "60 s", "3 min 20 s", "2 h 5 min", "3 d 4 h"]


def test_columns_are_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    print_pairs({"accepted": 12345, "name": "x"})
    print_table(("type", "rows"), [("payment", 1234), ("page", 5)])
    print_table(("type", "rows"), [])
    assert capsys.readouterr().out.splitlines() == [
        "accepted  12,345",
        "name      x",
        "type      rows",
        "payment  1,234",
        "page         5",
        "type  rows",
    ]


def test_json_refuses_what_has_no_form() -> None:
    with pytest.raises(TypeError, match="set"):
        print_json({"a": {1}})


def test_progress_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("work", 10) as bar:
        bar.advance(5)
        bar.describe("half")
    assert capsys.readouterr() == ("", "")


def test_progress_shows_a_note_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(shown, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", shown)
    with progress("work", 10) as bar:
        bar.describe("cannot read [/x].jsonl")
    assert "cannot read [/x].jsonl" in shown.getvalue()


def test_a_lake_that_is_its_own_source_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    done = headgate("run", str(tmp_path), str(tmp_path))
    assert (done.returncode, list(tmp_path.iterdir())) == (2, [])


def test_closed_standard_input_is_wrong_usage(tmp_path: Path) -> None:
    started = f'exec "$0" -c "{START[1]}" run - "$1" <&-'
    environment = {**os.environ, "PYTHONPATH": str(SRC)}
    done = subprocess.run(
        ["sh", "-c", started, sys.executable, str(tmp_path / "lake")],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
