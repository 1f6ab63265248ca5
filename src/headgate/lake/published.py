"""How far a lake is published, and when that was last done: `_headgate/published.json`."""

from __future__ import annotations

import msgspec

from headgate.lake.storage import Storage

PUBLISHED_PATH = "_headgate/published.json"


class Published(msgspec.Struct):
    """A hint: every entry up to `number` is published. Truth may be ahead of it, never behind.

    `published_us` is when that was written; writers that share a publication look at it.
    """

    number: int
    published_us: int = 0


def read_published(storage: Storage) -> Published:
    """What is known; number 0 where nothing is."""
    content = storage.get(PUBLISHED_PATH)
    try:
        return Published(0) if content is None else msgspec.json.decode(content, type=Published)
    except msgspec.DecodeError:
        return Published(0)  # publishing looks at every entry then


def write_published(storage: Storage, published: Published) -> None:
    """Write it down."""
    storage.put(PUBLISHED_PATH, msgspec.json.encode(published))


def published_number(storage: Storage) -> int:
    """The number up to which all entries are known to be published; 0 where nothing is known."""
    return read_published(storage).number
