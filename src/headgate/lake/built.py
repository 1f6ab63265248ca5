"""How far `build` has read the ledger: what it has not read yet must not be deleted.

Format: the field `built` of `_headgate/analytics/registry.json`, the number of the last ledger entry whose events are
in every table that they belong to.
"""

from __future__ import annotations

import msgspec

from headgate.errors import PermanentError
from headgate.lake.storage import Storage

REGISTRY_PATH = "_headgate/analytics/registry.json"


class _Registry(msgspec.Struct):
    built: int


def built_number(storage: Storage) -> int | None:
    """The last ledger number that `build` has read; None where it never ran.

    Raises:
        TransientError: the storage did not answer.
        PermanentError: the registry cannot be read.
    """
    content = storage.get(REGISTRY_PATH)
    try:
        return None if content is None else msgspec.json.decode(content, type=_Registry).built
    except msgspec.DecodeError as error:
        raise PermanentError(
            f"{storage.root}/{REGISTRY_PATH} cannot be read ({error}): restore it from a backup"
        ) from error
