"""The lease of a lake, held for the time of a job."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from headgate.consumer import POLL_SECONDS, Lease
from headgate.errors import PermanentError

IN_USE = "the lake is in use by {holder}: stop it, then try again"


@contextmanager
def held(
    lease: Lease | None,
    refusal: str,
    patience_seconds: float = 0.0,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[None]:
    """Hold the lease; on a remote lake that of a holder that was killed is free after a while.

    Args:
        lease: None where there is no need of one.
        refusal: what is said where another one holds it, with {holder} in its place.
        patience_seconds: how long another process is waited for, at least.
        sleep: waits seconds.

    Raises:
        PermanentError: another process works on the lake.
    """
    if lease is None:
        yield
        return
    began = time.monotonic()
    while not lease.try_acquire():
        if time.monotonic() - began >= max(lease.patience_seconds, patience_seconds):
            raise PermanentError(refusal.format(holder=lease.holder() or "another process"))
        sleep(POLL_SECONDS)
    try:
        yield
    finally:
        lease.release()
