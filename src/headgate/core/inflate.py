"""Gzip and zstd records inflated, in bounded steps. Pure."""

from __future__ import annotations

import zlib

import zstandard

from headgate.core.limits import Limits
from headgate.core.reasons import Reason
from headgate.errors import RecordError

GZIP_MAGIC = b"\x1f\x8b"  # RFC 1952
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"  # RFC 8878
MAX_ZSTD_WINDOW = 1 << 27  # bytes; the most that zstd's own tools inflate without being told to
ZSTD_STEP = 1 << 10  # bytes fed at once; a block of 4 bytes may inflate to 128 KiB (RFC 8878), so 32 MiB at most


def inflate(record: bytes, limits: Limits) -> bytes:
    """What is inside a gzip or zstd record; the record itself where it is neither.

    Raises:
        RecordError: `malformed_json` where the stream is broken, `too_large` beyond `max_record_bytes`.
    """
    if len(record) > limits.max_record_bytes:
        raise _too_large(limits)
    try:
        if record.startswith(GZIP_MAGIC):
            return _gunzip(record, limits)
        if record.startswith(ZSTD_MAGIC):
            return _unzstd(record, limits)
    except zlib.error as error:
        raise RecordError(Reason.MALFORMED_JSON, f"broken gzip: {error}") from None
    except zstandard.ZstdError as error:
        raise RecordError(Reason.MALFORMED_JSON, f"broken zstd: {error}") from None
    return record


def inflated_part(record: bytes, limits: Limits) -> bytes:
    """As much of a gzip or zstd record as can be inflated, of a broken or too large one too; nothing of any other."""
    out = bytearray()
    rest = record
    try:
        while rest.startswith((GZIP_MAGIC, ZSTD_MAGIC)) and len(out) <= limits.max_record_bytes:
            rest = _inflate_member(rest, out, limits)
    except (zlib.error, zstandard.ZstdError):
        pass  # what came before the break counts
    return bytes(out[: limits.max_record_bytes])


def _inflate_member(record: bytes, out: bytearray, limits: Limits) -> bytes:
    """Inflate one gzip member or zstd frame step by step; gives what stands behind it."""
    is_gzip = record.startswith(GZIP_MAGIC)
    unzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    unzstd = zstandard.ZstdDecompressor(max_window_size=MAX_ZSTD_WINDOW).decompressobj()
    stream = unzip if is_gzip else unzstd
    for start in range(0, len(record), ZSTD_STEP):
        out += stream.decompress(record[start : start + ZSTD_STEP])
        if stream.eof:
            return stream.unused_data + record[start + ZSTD_STEP :]
        if len(out) > limits.max_record_bytes:
            break
    return b""


def _gunzip(record: bytes, limits: Limits) -> bytes:
    out = bytearray()
    rest = record
    while rest:
        stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        out += stream.decompress(rest, limits.max_record_bytes + 1 - len(out))
        if len(out) > limits.max_record_bytes:
            raise _too_large(limits)
        if not stream.eof:
            raise RecordError(Reason.MALFORMED_JSON, "broken gzip: it ends early")
        rest = stream.unused_data
    return bytes(out)


def _unzstd(record: bytes, limits: Limits) -> bytes:
    out = bytearray()
    rest = record
    while rest:
        stream = zstandard.ZstdDecompressor(max_window_size=MAX_ZSTD_WINDOW).decompressobj()
        for start in range(0, len(rest), ZSTD_STEP):
            out += stream.decompress(rest[start : start + ZSTD_STEP])
            if len(out) > limits.max_record_bytes:
                raise _too_large(limits)
            if stream.eof:
                rest = stream.unused_data + rest[start + ZSTD_STEP :]
                break
        else:
            raise RecordError(Reason.MALFORMED_JSON, "broken zstd: it ends early")
    return bytes(out)


def _too_large(limits: Limits) -> RecordError:
    return RecordError(Reason.TOO_LARGE, f"the record is larger than max_record_bytes, {limits.max_record_bytes:,}")
