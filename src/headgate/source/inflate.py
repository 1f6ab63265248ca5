"""Byte streams of files and pipes, plain, gzip or zstd, read in bounded pieces into the caller's memory.

A compressed stream may have several members (frames). A few bytes can inflate to gigabytes: no call inflates
more than what was asked for (gzip) or FEED_BYTES can hold (zstd: 128 KB for every 4 bytes, so 16 MB).
"""

from __future__ import annotations

import zlib
from typing import Protocol

import zstandard

GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
MAGICS = (GZIP_MAGIC, ZSTD_MAGIC)
READ_BYTES = 256 << 10  # bytes of compressed data a read
FEED_BYTES = 512  # bytes given to the zstd decoder at a time; bounds what comes out
GZIP_WINDOW = 31  # zlib: 15 bits of window, gzip header and check sum expected


class BrokenStreamError(Exception):
    """The compressed bytes cannot be read on. The message says which, where and why."""


class Raw(Protocol):
    """Where bytes come from: an open file, or the reading end of a pipe."""

    def read(self, size: int, /) -> bytes | None:
        """At most `size` bytes; empty or None where there are none now."""
        ...

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Fill `buffer` from its start; 0 or None where there is nothing now."""
        ...


class Stream(Protocol):
    """Inflated bytes, front to back."""

    def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer` from its start.

        Returns:
            Number of bytes; 0 where there are none now.

        Raises:
            BrokenStreamError: the bytes so far were all good, those that follow are not; raised again if
                called again.
        """
        ...

    def fault_at_end(self) -> str | None:
        """What is wrong if no more bytes ever come; None where the stream ends well here."""
        ...


class PlainStream:
    """Bytes as they are."""

    def __init__(self, raw: Raw) -> None:
        """Read on from where `raw` stands."""
        self._raw = raw

    def readinto(self, buffer: memoryview) -> int:
        """See Stream."""
        return self._raw.readinto(buffer) or 0

    def fault_at_end(self) -> str | None:
        """See Stream: plain bytes may end anywhere."""
        return None


class GzipStream:
    """Members of gzip, zero padding between and after them passed over as gzip(1) does."""

    def __init__(self, raw: Raw) -> None:
        """Read on from where `raw` stands, at the start of a member."""
        self._raw = raw
        self._member: zlib._Decompress | None = None
        self._left = b""
        self._taken = 0

    def readinto(self, buffer: memoryview) -> int:
        """See Stream."""
        while True:
            if not self._left and not self._refill():
                return 0
            if self._member is None:
                self._left = self._left.lstrip(b"\0") if self._taken > len(self._left) else self._left
                if not self._left:
                    continue
                self._member = zlib.decompressobj(wbits=GZIP_WINDOW)
            if count := self._inflate(self._member, buffer):
                return count

    def _refill(self) -> bool:
        self._left = self._raw.read(READ_BYTES) or b""
        self._taken += len(self._left)
        return bool(self._left)

    def _inflate(self, member: zlib._Decompress, buffer: memoryview) -> int:
        try:
            out = member.decompress(self._left, len(buffer))
        except zlib.error as error:
            raise BrokenStreamError(
                f"gzip stream is broken after byte {self._taken - len(self._left)}: {error}"
            ) from None
        self._left = member.unconsumed_tail
        if member.eof:
            self._left, self._member = member.unused_data, None
        buffer[: len(out)] = out
        return len(out)

    def fault_at_end(self) -> str | None:
        """See Stream."""
        return None if self._member is None else f"gzip stream ends early at byte {self._taken}"


class ZstdStream:
    """Frames of zstd, one after the other."""

    def __init__(self, raw: Raw) -> None:
        """Read on from where `raw` stands, at the start of a frame."""
        self._raw = raw
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._left = memoryview(b"")
        self._taken = 0
        self._out = memoryview(b"")

    def readinto(self, buffer: memoryview) -> int:
        """See Stream."""
        filled = 0
        while filled < len(buffer):
            if not self._out:
                if not self._left and not self._refill():
                    break
                try:
                    self._out = memoryview(self._inflate())
                except BrokenStreamError:
                    if filled:
                        break
                    raise
            count = min(len(buffer) - filled, len(self._out))
            buffer[filled : filled + count] = self._out[:count]
            self._out = self._out[count:]
            filled += count
        return filled

    def _refill(self) -> bool:
        self._left = memoryview(self._raw.read(READ_BYTES) or b"")
        self._taken += len(self._left)
        return bool(self._left)

    def _inflate(self) -> bytes:
        if self._frame is None:
            self._frame = zstandard.ZstdDecompressor().decompressobj()
        piece = self._left[:FEED_BYTES]
        try:
            out = self._frame.decompress(piece)
        except zstandard.ZstdError as error:
            raise BrokenStreamError(
                f"zstd stream is broken after byte {self._taken - len(self._left)}: {error}"
            ) from None
        self._left = self._left[len(piece) :]
        if self._frame.eof:
            self._left = memoryview(self._frame.unused_data + bytes(self._left))
            self._frame = None
        return out

    def fault_at_end(self) -> str | None:
        """See Stream."""
        return None if self._frame is None else f"zstd stream ends early at byte {self._taken}"


def is_compressed(name: str, head: bytes) -> bool:
    """True where `open_stream` inflates."""
    return name.endswith((".gz", ".zst")) or head.startswith(MAGICS)


def open_stream(raw: Raw, head: bytes, name: str = "") -> Stream:
    """Choose by magic bytes, or by the name's ending where a compressed file does not begin as it should.

    Args:
        raw: bytes from the start of the stream.
        head: the first bytes, already known; `raw` still yields them.
        name: file name.
    """
    if head.startswith(GZIP_MAGIC) or name.endswith(".gz"):
        return GzipStream(raw)
    if head.startswith(ZSTD_MAGIC) or name.endswith(".zst"):
        return ZstdStream(raw)
    return PlainStream(raw)
