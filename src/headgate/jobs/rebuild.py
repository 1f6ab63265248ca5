"""`rebuild`: the claim store made anew from the accepted events of the lake.

Order matters: the new store begins empty with a generation of its own, is filled, and only then entered in the
ledger. Killed at any point, the lake names a generation that the store found there does not have, so that the
next run or rebuild fills it from the first entry.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from headgate.consumer import Lease
from headgate.errors import ConfigError
from headgate.jobs.exclusive import IN_USE, held
from headgate.lake.lake import TableLake
from headgate.lake.layout import ClaimsIdentity, set_claims_identity
from headgate.ports import ClaimStore
from headgate.recover import erased_ids, load_claims

MARK_SUFFIX = ".headgate-rebuild"  # of a file beside a store that is being made; it names the lake
OLD_SUFFIX = ".old-"  # of the folder of a store that was replaced


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What a rebuild did: accepted events entered, the ledger number that names the generation, and its name.

    `erased` counts the ids of erased events: nothing of them is entered, every run reads what is recorded of them.
    """

    claims: int
    erased: int
    number: int
    generation: str


def rebuild(
    lake: TableLake,
    lease: Lease | None,
    identity: ClaimsIdentity,
    open_store: Callable[[], ClaimStore],
    *,
    folder: Path | None,
    is_other: bool,
    advance: Callable[[float], None],
) -> Rebuilt:
    """Make the claim store from the lake.

    Args:
        lake: whose accepted events are claimed again.
        lease: taken for the time of the rebuild; None where old and new store are shared: consumers may go on, what
            they commit meanwhile is loaded too, and then they are fenced by the new generation.
        identity: the store; the lake is bound to it at the end.
        open_store: opens it; a folder that is not there begins a new store.
        folder: of an embedded store; None where it has none.
        is_other: True where the lake had another store until now.
        advance: is told the number of claims as they are entered.

    Raises:
        PermanentError: another process works on the lake.
        ConfigError: the folder of the new store holds something else.
    """
    with held(lease, IN_USE):
        old = None
        if folder is not None:
            if is_other:
                _begin(folder, lake)
            old = _set_aside(folder)
        rebuilt = _fill(lake, open_store, identity, advance)
        if folder is not None:
            _mark(folder).unlink(missing_ok=True)
        if old is not None:
            shutil.rmtree(old)
        return rebuilt


def _fill(
    lake: TableLake, open_store: Callable[[], ClaimStore], identity: ClaimsIdentity, advance: Callable[[float], None]
) -> Rebuilt:
    """Claim every accepted event, bind the lake to the store, then enter the new generation."""
    count = 0
    with contextlib.closing(open_store()) as claims:
        if not claims.is_embedded:
            claims.renew()
        generation = claims.generation
        state = lake.refresh()
        filled, replaced = state.number, state.generation
        for loaded in load_claims(claims, lake, 0):
            count += loaded
            advance(loaded)
        set_claims_identity(lake.storage, identity, is_rebuilt=True)
        number = lake.note(generation=generation, replaces=replaced)
        count += sum(load_claims(claims, lake, filled))  # others of a shared store could commit until the note
        state = lake.refresh()
        claims.mark_seen(state.number, {shard: known.position for shard, known in state.shards.items()})
        claims.sync()
        lake.publish()
        erased = erased_ids(lake, claims)
        kept = 0 if erased is None else len(erased)
        return Rebuilt(claims=count, erased=kept, number=number, generation=generation)


def _begin(folder: Path, lake: TableLake) -> None:
    """Mark the place of another store as this lake's; refuse what is not empty and not marked so."""
    mark, name = _mark(folder), lake.about.lake_id
    is_own = mark.exists() and mark.read_text() == name
    if folder.exists() and not is_own and any(folder.iterdir()):
        raise ConfigError(f"{folder}: holds something already, perhaps another lake's claims; name an empty folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    mark.write_text(name)


def _set_aside(folder: Path) -> Path | None:
    """Move the old store out of the way; what an interrupted rebuild left behind goes for good."""
    for left in folder.parent.glob(f"{folder.name}{OLD_SUFFIX}*"):
        shutil.rmtree(left)
    if not folder.exists():
        return None
    old = folder.with_name(f"{folder.name}{OLD_SUFFIX}{uuid.uuid4().hex[:8]}")
    os.rename(folder, old)
    return old


def _mark(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}{MARK_SUFFIX}")
