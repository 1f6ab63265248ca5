"""Keys and owners as the byte strings that RocksDB takes, and in its order."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from headgate.records import KEY_BYTES, OWNER


def names_of(keys: npt.NDArray[np.uint8]) -> list[bytes]:
    """Each key as bytes.

    Args:
        keys: (n, 16) uint8.

    Returns:
        n times 16 bytes.
    """
    names: list[bytes] = np.ascontiguousarray(keys).view(f"V{KEY_BYTES}").reshape(-1).tolist()
    return names


def values_of(owners: npt.NDArray[np.void]) -> list[bytes]:
    """Each owner as bytes.

    Args:
        owners: (n,) OWNER.

    Returns:
        n times 48 bytes.
    """
    values: list[bytes] = np.ascontiguousarray(owners).view(f"V{OWNER.itemsize}").tolist()
    return values


def key_order(keys: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """The rows in the order of their keys' bytes, which is RocksDB's.

    Args:
        keys: (n, 16) uint8.

    Returns:
        (n,) indices.
    """
    halves = np.ascontiguousarray(keys).view(">u8").astype(np.uint64)
    order = np.argsort(halves[:, 0])
    heads = halves[order, 0]
    if (heads[1:] == heads[:-1]).any():
        return np.lexsort((halves[:, 1], halves[:, 0]))
    return order
