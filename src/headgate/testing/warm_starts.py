"""Processes that are forked from one that has imported everything, so that tests may start thousands of them.

A start of the command line takes most of a second of imports. Forked, it takes a hundredth of it, and the process is as
real as any other: its memory, files, locks and signals are its own. Python's own fork server does the work.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_ALL = "headgate.testing.warm_imports"
#: Of the environment: what Python reads at its start only.
_AT_START = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC_")
_server = multiprocessing.get_context("forkserver")  # begins with the first process
_wanted: list[bool] = []


def warm_starts() -> None:
    """From now on processes of this one are forked where nothing speaks against it."""
    _server.set_forkserver_preload([_ALL])
    _wanted.append(True)


def can_be_warm(env: Mapping[str, str]) -> bool:
    """True after `warm_starts`, for an environment that Python does not read at its start."""
    return bool(_wanted) and not any(name.startswith(_AT_START) for name in env)


class WarmProcess:
    """As much of `subprocess.Popen` as tests need."""

    def __init__(self, args: Sequence[str], out: Path, err: Path, env: Mapping[str, str]) -> None:
        """Start Python.

        Args:
            args: as behind `python`: `-c CODE ...` or `FILE.py ...`.
            out: file for its standard output.
            err: file for its standard error.
            env: its whole environment.
        """
        self._process = _server.Process(target=_run, args=(list(args), out, err, dict(env), os.getcwd()), daemon=True)
        self._process.start()
        self.pid = int(self._process.ident or 0)  # never 0: it was started

    def poll(self) -> int | None:
        """The exit code, -N where signal N ended it; None while it runs."""
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal; none where it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; returns the exit code.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired("python", timeout or 0)
        return code


def _run(args: list[str], out: Path, err: Path, env: dict[str, str], folder: str) -> None:
    for number, path in ((1, out), (2, err)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdout.reconfigure(line_buffering=False)  # type: ignore[union-attr]
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    if args[0] == "-c":
        sys.argv = ["-c", *args[2:]]
        exec(compile(args[1], "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102  as `python -c` does
    else:
        sys.argv = list(args)
        sys.path.insert(0, str(Path(args[0]).parent))
        runpy.run_path(args[0], run_name="__main__")
