"""`[compaction] auto`: a process of its own compacts the lake whenever a run has written enough files.

Law: the run never waits for it. It shares no memory, no lock and no interpreter with the run; whatever happens to it
is a fact in the log. At the end of the run it is asked to end, and what it has not done the next one does.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import IO

import msgspec

from headgate.config import Config, environment
from headgate.config.load import ENV_FILE, ENV_PREFIX
from headgate.ports import Telemetry
from headgate.telemetry.facts import BatchCommitted, CompactionEnded, CompactionFailed, CompactionStarted, Noticed

MAIN = "from headgate.entrypoints.cli import main; main()"
NICE = 10  # lower priority than the run's own
END_SECONDS = 10.0  # of patience at the end of the run; a file that is being made takes less
_SECTIONS = ("storage", "compaction")  # all that the process needs to know
_LONGEST_ERROR = 500  # characters


class _Table(msgspec.Struct):
    joined: int
    vacuumed: int


class _Answer(msgspec.Struct):
    tables: dict[str, _Table]


class AutoCompaction:
    """A Telemetry that counts files and starts compactions; as a context it ends the last one."""

    def __init__(self, lake: str, config: Config, telemetry: Telemetry) -> None:
        """Nothing is started yet.

        Args:
            lake: folder or URI.
            config: of the run.
            telemetry: is told when a compaction starts, ends or fails.
        """
        self._lake, self._config, self._telemetry = lake, config, telemetry
        self._files = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._out: IO[bytes] | None = None
        self._err: IO[bytes] | None = None

    def emit(self, fact: object) -> None:
        """Count a batch's files; start a compaction where it is due and none is under way."""
        if not self._config.compaction.auto or not isinstance(fact, BatchCommitted):
            return
        self._files += fact.files
        if self._process is not None and self._process.poll() is not None:
            self._report(self._process.returncode)
        if self._process is None and self._files >= self._config.compaction.small_files:
            self._start()

    def __enter__(self) -> AutoCompaction:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End what is under way: it commits what it has made, and leaves the rest."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        code = self._process.returncode
        if code in (-signal.SIGTERM, -signal.SIGKILL):
            self._telemetry.emit(Noticed(what="the compaction under way was ended with the run; the next one goes on"))
            _content(self._out)
            _content(self._err)
            self._process = None
        else:
            self._report(code)

    def _start(self) -> None:
        self._out = tempfile.TemporaryFile()  # noqa: SIM115  closed when it is read
        self._err = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", MAIN, "compact", self._lake, "--json", "--skip-orphans"],
                stdin=subprocess.DEVNULL,
                stdout=self._out,
                stderr=self._err,
                env=_environment(self._config),
            )
        except OSError as error:
            self._files = 0
            self._telemetry.emit(CompactionFailed(error=f"no process could be started: {error}"))
            return
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, self._process.pid, NICE)
        self._telemetry.emit(CompactionStarted(files=self._files))
        self._files = 0

    def _report(self, code: int) -> None:
        """Say how it ended."""
        self._process = None
        said, wrong = _content(self._out), _content(self._err)
        try:
            tables = msgspec.json.decode(said, type=_Answer).tables.values()
        except msgspec.DecodeError:
            last = wrong.decode(errors="replace").strip()[-_LONGEST_ERROR:]
            self._telemetry.emit(CompactionFailed(error=last or f"it ended with exit code {code}"))
            return
        joined, vacuumed = sum(t.joined for t in tables), sum(t.vacuumed for t in tables)
        self._telemetry.emit(CompactionEnded(joined=joined, vacuumed=vacuumed))


def _content(file: IO[bytes] | None) -> bytes:
    """All that was written to a file, which is closed."""
    if file is None:
        return b""
    with file:
        file.seek(0)
        return file.read()


def _environment(config: Config) -> Mapping[str, str]:
    """The environment in which a command finds the same settings, wherever they came from."""
    settings = {
        f"{ENV_PREFIX}{section}__{key}".upper(): value
        if isinstance(value, str)
        else msgspec.json.encode(value).decode()
        for section in _SECTIONS
        for key, value in msgspec.to_builtins(getattr(config, section)).items()
        if value is not None
    }
    inherited = {name: text for name, text in environment().items() if not name.startswith(ENV_PREFIX)}
    inherited.pop(ENV_FILE, None)
    return {**inherited, **settings}
