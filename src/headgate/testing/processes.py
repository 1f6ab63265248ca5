"""The command line as real processes: start, wait for a line or file with a bound, kill, clean up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from headgate.testing.warm_starts import WarmProcess, can_be_warm

MAIN = "from headgate.entrypoints.cli import main; main()"
PATIENCE_SECONDS = 60.0  # of every wait; far more than anything takes, so that only a hang reaches it
_POLL_SECONDS = 0.005


def wait_until(is_there: Callable[[], object], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Return once a condition holds.

    Raises:
        TimeoutError: it never did.
    """
    end = time.monotonic() + seconds
    while not is_there():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(_POLL_SECONDS)


class Child:
    """A running process whose output goes to files. As a context it is killed at the end, whatever happened.

    Attributes:
        out: file with its standard output.
        err: file with its standard error.
    """

    def __init__(
        self,
        args: Sequence[str | Path],
        logs: Path,
        *,
        env: Mapping[str, str] | None = None,
        stdin: int | None = None,
        before: Callable[[], None] | None = None,
        is_cold: bool = False,
    ) -> None:
        """Start `headgate ARGS`, or another Python program.

        Args:
            args: of the command line; where the first one is `-c` or ends in `.py`, of Python.
            logs: a folder of its own for the output.
            env: added to the environment.
            stdin: a descriptor; nothing by default.
            before: called in the child before it begins.
            is_cold: never forked from a process that has imported everything, see warm_starts.
        """
        logs.mkdir(parents=True, exist_ok=True)
        texts = [str(arg) for arg in args]
        is_python = texts[0] == "-c" or texts[0].endswith(".py")
        number = len(list(logs.iterdir()))
        self.out, self.err = logs / f"{number:04d}.out", logs / f"{number:04d}.err"
        command = texts if is_python else ["-c", MAIN, *texts]
        self.out.touch()
        self.err.touch()
        self._process: WarmProcess | subprocess.Popen[bytes]
        if not is_cold and stdin is None and before is None and can_be_warm(env or {}):
            self._process = WarmProcess(command, self.out, self.err, {**os.environ, **(env or {})})
            return
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self._process = subprocess.Popen(
                [sys.executable, *command],
                stdin=subprocess.DEVNULL if stdin is None else stdin,
                stdout=out,
                stderr=err,
                env={**os.environ, **(env or {})},
                preexec_fn=before,
            )

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """True until it has ended."""
        return self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; none where it has ended."""
        self._process.send_signal(number)

    def kill(self) -> int:
        """SIGKILL; returns the exit code, another one than -9 where it had ended before."""
        self._process.kill()
        return self._process.wait()

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Wait for the end; returns the exit code, -N where signal N ended it."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"still running after {seconds:.0f} s; it said:\n{self.errors()}") from None

    def errors(self) -> str:
        """Its standard error so far."""
        return self.err.read_text(errors="replace")

    def wait_for_line(self, text: str, seconds: float = PATIENCE_SECONDS) -> str:
        """Wait until a line of standard error contains a text; returns the line."""
        wait_until(lambda: text in self.errors() or not self.is_running, f"{text!r} in {self.err}", seconds)
        for line in self.errors().splitlines():
            if text in line:
                return line
        raise AssertionError(f"ended without saying {text!r}:\n{self.errors()}")

    def __enter__(self) -> Child:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill it where it still runs."""
        self.kill()


def run(
    args: Sequence[str | Path],
    logs: Path,
    *,
    env: Mapping[str, str] | None = None,
    stdin: int | None = None,
    before: Callable[[], None] | None = None,
    is_cold: bool = False,
    seconds: float = PATIENCE_SECONDS,
) -> tuple[int, Child]:
    """Run a command to its end; see Child. Returns the exit code and what is left of the process."""
    with Child(args, logs, env=env, stdin=stdin, before=before, is_cold=is_cold) as child:
        return child.wait(seconds), child
