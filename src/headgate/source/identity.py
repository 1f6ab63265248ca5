"""A file's shard: its path within the source and a digest of its first bytes."""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

HEAD_BYTES = 4096  # bytes of the file as it lies on disk that tell it from another
DIGEST_BYTES = 8  # bytes of blake2b

_NAME = re.compile(r"(?P<path>.*)@(?P<size>\d+):(?P<digest>[0-9a-f]{16})(?:~(?P<copy>\d+))?", re.DOTALL)


class Identity(NamedTuple):
    """A shard's name, taken apart.

    `copy` counts the files that had this path and head one after the other (1, then 2 ...).
    """

    path: str
    head_bytes: int
    digest: str
    copy: int = 1

    @property
    def name(self) -> str:
        """The shard's name."""
        return f"{self.path}@{self.head_bytes}:{self.digest}" + (f"~{self.copy}" if self.copy > 1 else "")

    def is_head_of(self, head: bytes) -> bool:
        """True where a file whose first HEAD_BYTES are `head` begins as this one did."""
        return len(head) >= self.head_bytes and digest_of(head[: self.head_bytes]) == self.digest


def digest_of(head: bytes) -> str:
    """Digest of a file's first bytes, as hexadecimal text."""
    return hashlib.blake2b(head, digest_size=DIGEST_BYTES).hexdigest()


def identify(path: str, head: bytes) -> Identity:
    """Identity of a file seen for the first time."""
    return Identity(path, len(head), digest_of(head))


def parse(name: str) -> Identity | None:
    """Take a shard's name apart; None where it is not a file's."""
    found = _NAME.fullmatch(name)
    if not found:
        return None
    return Identity(found["path"], int(found["size"]), found["digest"], int(found["copy"] or 1))
