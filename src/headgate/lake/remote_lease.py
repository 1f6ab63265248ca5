"""The lease of an embedded claim store whose lake is remote: an object in the lake, taken and renewed conditionally.

Law: nothing depends on it but peace. A holder that stalls for longer than `TAKE_OVER_SECONDS` and is taken over goes on
for a moment without knowing; its commits are fenced by the ledger, because whoever takes over enters the generation of
a claim store of its own first, and a batch of another generation is a conflict. So no clocks are compared: an observer
takes over what it has itself seen unchanged for that long.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from typing import Protocol

import msgspec

from headgate.errors import TransientError
from headgate.lake.lease import HOLDER_NAME, Holder
from headgate.lake.storage import Bytes

LEASE_PATH = f"_headgate/{HOLDER_NAME}"
RENEW_SECONDS = 10.0
TAKE_OVER_SECONDS = 30.0  # two renewals may get lost
_FREE = b'{"is_released":true}'


class VersionedStorage(Protocol):
    """A storage that replaces a file on condition of its version; see S3Storage."""

    def put_if_absent(self, path: str, content: Bytes) -> bool:
        """See Storage."""
        ...

    def get_version(self, path: str) -> tuple[bytes, str] | None:
        """The file's content and the name of this version of it; None where there is no such file."""
        ...

    def put_version(self, path: str, content: Bytes, replaced: str) -> str | None:
        """Write a file in place of this very version; None where it is another one by now."""
        ...


class _Written(Holder, frozen=True, kw_only=True):
    """The object. `renewal` makes every version of it another one; `machine` tells whose process numbers these are."""

    token: str
    renewal: int
    machine: str


class RemoteLease:
    """Held by one process, as far as anybody can tell; see LocalLease for the same on one machine."""

    def __init__(
        self,
        storage: VersionedStorage,
        now_us: Callable[[], int],
        *,
        path: str = LEASE_PATH,
        monotonic: Callable[[], float] = time.monotonic,
        renew_seconds: float = RENEW_SECONDS,
    ) -> None:
        """Keep the storage; nothing is read before the first try.

        Args:
            storage: of the lake.
            now_us: wall clock, for messages only.
            path: of the object.
            monotonic: the observer's clock.
            renew_seconds: time between renewals.
        """
        self._storage = storage
        self._path = path
        self._now_us = now_us
        self._monotonic = monotonic
        self._renew_seconds = renew_seconds
        self._token = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._mine: _Written | None = None
        self._version = ""
        self._seen: tuple[str, float] | None = None
        self._is_lost = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def patience_seconds(self) -> float:
        """As long as it takes to see that a holder renews no more."""
        return TAKE_OVER_SECONDS + self._renew_seconds / 2

    @property
    def is_lost(self) -> bool:
        """True after somebody else took over, until `try_acquire` or `release` is called."""
        return self._is_lost

    def try_acquire(self) -> bool:
        """Take the lease if nobody has it, or if its holder did not renew it for so long. Never waits.

        Raises:
            TransientError: the storage did not answer.
        """
        with self._lock:
            if self._mine is not None:
                return True
            self._is_lost = False
            found = self._storage.get_version(self._path)
            mine = _Written(
                host=socket.gethostname(),
                pid=os.getpid(),
                since_us=self._now_us(),
                token=self._token,
                renewal=0,
                machine=_machine(),
            )
            if found is not None and not self._may_take(*found):
                return False
            version = self._write(mine, None if found is None else found[1])
            if version is None:
                return False
            self._mine, self._version = mine, version
        self._start_renewing()
        return True

    def holder(self) -> Holder | None:
        """Who holds it, for people; None where nobody is known."""
        found = self._storage.get_version(self._path)
        written = None if found is None else _decoded(found[0])
        if written is None:
            return None
        return Holder(host=written.host, pid=written.pid, since_us=written.since_us)

    def renew(self) -> None:
        """Say that this process lives. Called by a thread of its own; a storage that does not answer is no loss."""
        with self._lock:
            if self._mine is None:
                return
            mine = msgspec.structs.replace(self._mine, renewal=self._mine.renewal + 1)
            try:
                version = self._write(mine, self._version)
            except TransientError:
                return
            if version is None:
                self._mine, self._is_lost = None, True
            else:
                self._mine, self._version = mine, version

    def release(self) -> None:
        """Give it back. May be called twice; where the storage does not answer, others wait for its end."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        with self._lock:
            self._is_lost = False
            if self._mine is None:
                return
            self._mine = None
            with contextlib.suppress(TransientError):
                self._storage.put_version(self._path, _FREE, self._version)

    def _may_take(self, content: bytes, version: str) -> bool:
        """True where it was released, is ours without our knowing, or its holder is dead or was silent for so long."""
        written = _decoded(content)
        if content == _FREE or (written is not None and (written.token == self._token or _is_dead(written))):
            return True
        now = self._monotonic()
        if self._seen is None or self._seen[0] != version:
            self._seen = (version, now)
        return now - self._seen[1] >= TAKE_OVER_SECONDS

    def _write(self, written: _Written, replaced: str | None) -> str | None:
        """Replace the version, or make the first; the version that is ours then, None where somebody was quicker.

        Raises:
            TransientError: it was not written, or nobody can tell.
        """
        content = msgspec.json.encode(written)
        try:
            if replaced is None:
                self._storage.put_if_absent(self._path, content)
            elif (version := self._storage.put_version(self._path, content, replaced)) is not None:
                return version
        except TransientError:
            if replaced is None:
                raise
        # Refused or unanswered: what is there may be our own of a moment ago.
        found = self._storage.get_version(self._path)
        there = None if found is None else _decoded(found[0])
        if found is not None and there is not None and there.token == written.token:
            return found[1]
        if found is not None and found[1] == replaced:
            raise TransientError(f"{self._path} was not written")
        return None

    def _start_renewing(self) -> None:
        if self._thread is not None:  # of a lease that was lost
            self._stop.set()
            self._thread.join()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew_for_ever, args=(self._stop,), daemon=True, name="lease")
        self._thread.start()

    def _renew_for_ever(self, stop: threading.Event) -> None:
        while not stop.wait(self._renew_seconds) and not self._is_lost:
            self.renew()


def _decoded(content: bytes) -> _Written | None:
    try:
        return msgspec.json.decode(content, type=_Written)
    except msgspec.DecodeError:
        return None


def _machine() -> str:
    """Names what process numbers belong to: this start of this machine and this space of numbers; '' if unknown."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _is_dead(written: _Written) -> bool:
    """True where the holder was a process of this machine that is gone."""
    if not written.machine or written.machine != _machine():
        return False
    try:
        os.kill(written.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
