"""What S3 says of an object, in a listing or with a part of its content."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import obstore
from obstore.exceptions import GenericError, PreconditionError
from obstore.store import S3Store

from headgate.lake.s3_errors import status_of

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta


class S3Object(NamedTuple):
    """One object.

    Attributes:
        path: its key below the root.
        size: bytes.
        modified_us: microseconds since 1970, whole seconds, as the service tells it with the content.
        version: its ETag: other bytes have another one; empty where the service gives none.
    """

    path: str
    size: int
    modified_us: int
    version: str


def described(meta: ObjectMeta) -> S3Object:
    """From the words of obstore."""
    return S3Object(
        path=meta["path"],
        size=meta["size"],
        modified_us=int(meta["last_modified"].timestamp()) * 1_000_000,
        version=meta["e_tag"] or "",
    )


def part_of(store: S3Store, path: str, start: int, stop: int, version: str | None) -> tuple[bytes, S3Object] | None:
    """Bytes from `start` up to `stop`, fewer at the object's end, and what they are a part of. One request.

    Returns:
        None where the object has another version by now; with None for `version` any is meant.
    """
    options: GetOptions = {"range": (start, stop)}
    if version is not None:
        options["if_match"] = version
    try:
        found = obstore.get(store, path, options=options)
    except PreconditionError as error:
        if status_of(error) != 412:
            raise
        return None
    except GenericError as error:
        if status_of(error) != 416:
            raise
        return b"", described(obstore.head(store, path))  # an empty object has no first byte
    return bytes(found.bytes()), described(found.meta)
