"""Numbers as text, a column at a time: UUIDs, hexadecimal and decimal digits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_HEX = np.frombuffer(b"".join(b"%02x" % n for n in range(256)), dtype="<u2")


def hexadecimal(raw: npt.NDArray[np.uint8]) -> list[bytes]:
    """Turn (n, k) random bytes into n texts of 2k hexadecimal digits."""
    texts: list[bytes] = _HEX[raw].view(f"S{2 * raw.shape[1]}").ravel().tolist()
    return texts


def uuids(rng: np.random.Generator, n: int) -> list[bytes]:
    """Make n texts of version 4 UUIDs (RFC 9562, section 5.4)."""
    raw = rng.integers(0, 256, (n, 16), dtype=np.uint8)
    raw[:, 6] = raw[:, 6] & 0x0F | 0x40
    raw[:, 8] = raw[:, 8] & 0x3F | 0x80
    digits = _HEX[raw].view(np.uint8)
    text = np.full((n, 36), ord("-"), np.uint8)
    for start, end, at in ((0, 8, 0), (8, 12, 9), (12, 16, 14), (16, 20, 19), (20, 32, 24)):
        text[:, at : at + end - start] = digits[:, start:end]
    texts: list[bytes] = text.view("S36").ravel().tolist()
    return texts


def decimal(values: npt.NDArray[np.int64], width: int) -> npt.NDArray[np.uint8]:
    """Turn n numbers into (n, width) decimal digits as text; every value has exactly `width` digits."""
    powers = 10 ** np.arange(width - 1, -1, -1, dtype=np.int64)
    return (values[:, None] // powers % 10 + ord("0")).astype(np.uint8)
