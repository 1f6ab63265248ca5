"""Real servers for tests, each a child process on a free loopback port: start, wait for the port, stop."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from headgate.testing.processes import wait_until

HOST = "127.0.0.1"
_STOP_SECONDS = 5.0  # of patience before SIGKILL


def free_port() -> int:
    """A loopback port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def is_listening(port: int) -> bool:
    """True where somebody accepts connections on the port."""
    with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


@contextmanager
def serving(
    command: Sequence[str | Path],
    port: int,
    logs: Path,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends.

    Args:
        command: program and arguments; they must name the port.
        port: where it listens once it is ready.
        logs: a folder; the server's output goes to a file in it.
        env: added to the environment.
        cwd: where the server runs.

    Raises:
        RuntimeError: the server ended before it listened; the message carries the end of its output.
    """
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{Path(str(command[0])).name}-{port}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            start_new_session=True,
        )
    try:
        wait_until(lambda: process.poll() is not None or is_listening(port), f"a server on port {port}")
        if process.poll() is not None:
            raise RuntimeError(f"{command[0]} ended with {process.returncode}: {log.read_text()[-2000:]}")
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server and all its children; SIGKILL for one that does not listen to SIGTERM."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
            return


def script(name: str) -> Path:
    """A program that was installed beside this Python."""
    return Path(sys.executable).parent / name
