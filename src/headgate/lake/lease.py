"""The lease of an embedded claim store: a kernel lock, gone the moment its holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec

from headgate.disk_errors import storage_error

LOCK_NAME = "lease.lock"
HOLDER_NAME = "lease.json"


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds the lease, for messages only: the lock alone decides."""

    host: str
    pid: int
    since_us: int

    def __str__(self) -> str:
        """For messages."""
        return f"process {self.pid} on {self.host}"


class LocalLease:
    """An exclusive lock on `<folder>/lease.lock`. A new holder starts at once after the old one was killed.

    The kernel's lock works between the processes of one machine; a folder on a network file system holds it
    only where the file system carries `flock` (NFSv4 does).
    """

    def __init__(self, folder: str | Path, now_us: Callable[[], int]) -> None:
        """Keep the folder (the lake's `_headgate`); it is made on the first try."""
        self._folder = Path(folder)
        self._now_us = now_us
        self._file: int | None = None

    @property
    def patience_seconds(self) -> float:
        """None: the kernel's lock goes with its holder."""
        return 0.0

    def try_acquire(self) -> bool:
        """Take the lease if nobody has it; True also where this object has it already. Never waits.

        Raises:
            TransientError, PermanentError: the file system cannot lock there.
        """
        if self._file is not None:
            return True
        try:
            self._file = self._lock()
        except BlockingIOError:
            return False
        except OSError as error:
            raise storage_error(error, str(self._folder / LOCK_NAME)) from error
        holder = Holder(host=socket.gethostname(), pid=os.getpid(), since_us=self._now_us())
        written = self._folder / f"{HOLDER_NAME}.{os.getpid()}"
        with contextlib.suppress(OSError):  # a full disk: the lock is held all the same
            written.write_bytes(msgspec.json.encode(holder))
            written.replace(self._folder / HOLDER_NAME)
        return True

    def _lock(self) -> int:
        """Open and lock the file; its descriptor is the lease."""
        self._folder.mkdir(parents=True, exist_ok=True)
        file = os.open(self._folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            raise
        return file

    def holder(self) -> Holder | None:
        """Who took the lease last and has not released it; None where nobody is known."""
        try:
            return msgspec.json.decode((self._folder / HOLDER_NAME).read_bytes(), type=Holder)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def release(self) -> None:
        """Give it back. May be called twice."""
        if self._file is not None:
            with contextlib.suppress(FileNotFoundError):
                (self._folder / HOLDER_NAME).unlink()
            os.close(self._file)
            self._file = None
