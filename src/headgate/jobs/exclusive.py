"""The lease of a lake, held for the time of a job."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from headgate.consumer import POLL_SECONDS, Lease
from headgate.errors import PermanentError


@contextmanager
def held(lease: Lease | None, what: str, patience_seconds: float = 0.0) -> Iterator[None]:
    """Hold the lease; on a remote lake that of a holder that was killed is free after a while.

    Args:
        lease: None where there is no need of one.
        what: the job, for the message.
        patience_seconds: how long another process is waited for, at least.

    Raises:
        PermanentError: another process works on the lake.
    """
    if lease is None:
        yield
        return
    began = time.monotonic()
    while not lease.try_acquire():
        if time.monotonic() - began >= max(lease.patience_seconds, patience_seconds):
            raise PermanentError(
                f"the lake is in use by {lease.holder() or 'another process'}: stop it, then {what} again"
            )
        time.sleep(POLL_SECONDS)
    try:
        yield
    finally:
        lease.release()
