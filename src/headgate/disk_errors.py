"""What the operating system's errors mean to a lake and its claim store: wait and try again, or stop."""

from __future__ import annotations

import errno
import os

from headgate.errors import HeadgateError, PermanentError, TransientError

_ADVICE = {
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "the disk quota is used up: free some space or raise the quota",
    errno.EFBIG: "a limit forbids files of this size: raise `ulimit -f`",
    errno.EIO: "the disk reports an error: look at the system log",
    errno.EROFS: "the file system is read-only: mount it writable",
    errno.EMFILE: "too many open files: raise `ulimit -n`",
    errno.ENFILE: "too many open files on this machine",
    errno.ENOMEM: "no memory left",
    errno.EAGAIN: "the system is busy",
    errno.EBUSY: "the file is in use",
    errno.ETIMEDOUT: "the file system did not answer in time",
    errno.ESTALE: "the network file system lost the file: mount it again",
}


def storage_error(error: OSError, path: str) -> HeadgateError:
    """The one place where the system's errors become Headgate's: wait for the disk, stop for a wrong path."""
    reason = error.strerror or str(error)
    if error.errno in (errno.EACCES, errno.EPERM):
        return PermanentError(f"no permission for {path} ({reason}): give this user access to the lake's folder")
    if error.errno in (errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP):
        return PermanentError(f"{path} cannot be a file of the lake ({reason}): something else lies in its place")
    advice = _ADVICE.get(error.errno or 0, "Headgate tries again")
    return TransientError(f"{path}: {reason}; {advice}")


def advice_in(message: str) -> str | None:
    """How to mend what a library says, where it says it in the system's words; None where it does not."""
    return next((advice for number, advice in _ADVICE.items() if os.strerror(number) in message), None)
