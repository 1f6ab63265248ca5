"""What a lake says of itself: `_headgate/format.json` (layout, table format) and `_headgate/claims.json`."""

from __future__ import annotations

from typing import Literal

import msgspec

from headgate.errors import ConfigError, LakeTooNewError, PermanentError
from headgate.lake.entry import LEDGER
from headgate.lake.storage import Storage

LAYOUT = 1  # version of the folders and files under LAKE that this Headgate reads and writes
FORMAT_PATH = "_headgate/format.json"
CLAIMS_PATH = "_headgate/claims.json"

Format = Literal["delta", "parquet", "json"]


class LakeFormat(msgspec.Struct, frozen=True, kw_only=True):
    """Content of `format.json`; written once, when the lake is made."""

    layout: int
    format: Format
    lake_id: str
    created: str
    headgate_version: str


class ClaimsIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Content of `claims.json`: the one claim store of the lake; written once, or by `headgate rebuild`."""

    kind: str
    identity: str


class _Layout(msgspec.Struct):
    """What every layout, also a later one, says first."""

    layout: int
    headgate_version: str = "unknown"


def read_format(storage: Storage) -> LakeFormat | None:
    """What the lake is; None where there is no lake.

    Raises:
        LakeTooNewError: a newer Headgate wrote it.
        PermanentError: the file cannot be read, or the layout is older than this Headgate's.
    """
    content = storage.get(FORMAT_PATH)
    if content is None:
        return None
    where = f"{storage.root}/{FORMAT_PATH}"
    try:
        found = msgspec.json.decode(content, type=_Layout)
        if found.layout > LAYOUT:
            raise LakeTooNewError(
                f"{storage.root} has layout {found.layout} (by Headgate {found.headgate_version}), this "
                f"Headgate knows layout {LAYOUT}: install a newer Headgate"
            )
        if found.layout < LAYOUT:
            raise PermanentError(
                f"{storage.root} has layout {found.layout}, this Headgate writes layout {LAYOUT}: run "
                f"`headgate upgrade {storage.root}`"
            )
        return msgspec.json.decode(content, type=LakeFormat)
    except msgspec.DecodeError as error:
        raise PermanentError(f"{where} cannot be read ({error}): restore it from a backup") from error


def settle_format(storage: Storage, wanted: LakeFormat, *, is_explicit: bool) -> LakeFormat:
    """What the lake is; written now where there is none yet. Of several callers at once one decides.

    Args:
        storage: of the lake.
        wanted: what to write.
        is_explicit: True where the user asked for this very format, so that another one is an error.

    Raises:
        ConfigError: the lake has another format.
        PermanentError: there was a lake whose `format.json` is gone.
    """
    found = read_format(storage)
    if found is None:
        # Of two that make a lake at once, one may have written entries by now: then the file is there, too.
        if next(iter(storage.list(LEDGER)), None) is not None and read_format(storage) is None:
            raise PermanentError(
                f"{storage.root} has a ledger and no {FORMAT_PATH}: the file was deleted; restore it from a backup, "
                "or name another folder for a new lake"
            )
        storage.put_if_absent(FORMAT_PATH, msgspec.json.encode(wanted))
        found = read_format(storage) or wanted
    if is_explicit and found.format != wanted.format:
        raise ConfigError(
            f"{storage.root} is a lake of format {found.format}, fixed when it was made: leave out "
            f"`--format {wanted.format}` or name another folder"
        )
    return found


def claims_identity(storage: Storage) -> ClaimsIdentity | None:
    """The lake's one claim store; None before the first run."""
    content = storage.get(CLAIMS_PATH)
    try:
        return None if content is None else msgspec.json.decode(content, type=ClaimsIdentity)
    except msgspec.DecodeError as error:
        raise PermanentError(
            f"{storage.root}/{CLAIMS_PATH} cannot be read ({error}): restore it, or run "
            f"`headgate rebuild {storage.root}`"
        ) from error


def set_claims_identity(storage: Storage, wanted: ClaimsIdentity, *, is_rebuilt: bool = False) -> None:
    """Bind the lake to a claim store, once.

    Args:
        storage: of the lake.
        wanted: kind (`rocksdb`, ...) and identity of the store.
        is_rebuilt: True for `headgate rebuild --dedup`, which may name another store.

    Raises:
        ConfigError: the lake is bound to another store.
    """
    content = msgspec.json.encode(wanted)
    if is_rebuilt:
        storage.put(CLAIMS_PATH, content)
        return
    found = claims_identity(storage)  # looked for first: a lake that has it can be opened while its disk is full
    if found is None and not storage.put_if_absent(CLAIMS_PATH, content):
        found = claims_identity(storage)
    if found is not None and found != wanted:
        raise ConfigError(
            f"{storage.root} has its claims in {found.kind} ({found.identity}), not in {wanted.kind} "
            f"({wanted.identity}): use that store, or move the claims with "
            f"`headgate rebuild {storage.root} --dedup URI`"
        )
