"""The ledger: one entry a commit, numbered without gaps, written by put-if-absent. The entry is the commit.

Law: an entry is never changed, but for its files by an erasure (see erase_ledger.py); what it says was decided when
its name appeared. Every 1,000 entries a snapshot of the folded state is written, so that opening reads only what came
after it.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import msgspec

from headgate.core.ranges import RETENTION_US, added, aged, beyond, overlapping
from headgate.errors import CommitConflict, CommitUnknown, LakeTooNewError, PermanentError, TransientError
from headgate.lake.entry import (
    LEDGER,
    Entry,
    Head,
    Range,
    decode_entry,
    decode_head,
    encode,
    entry_path,
)
from headgate.lake.ledger_files import contents, following
from headgate.lake.snapshot import Snapshot, restored, snapshot_of
from headgate.lake.storage import Storage
from headgate.ports import LedgerState
from headgate.records import Island, Shard, ShardState

SNAPSHOT_EVERY = 1_000  # entries; design page
_REMEMBERED = 10_000  # own and foreign entry ids kept to recognise an answer that was lost
_SNAPSHOT = f"{LEDGER}snapshot-"


class Ledger:
    """Reads and extends the ledger of one lake. One instance belongs to one thread at a time."""

    def __init__(self, storage: Storage, *, max_event_types: int, snapshot_every: int = SNAPSHOT_EVERY) -> None:
        """Keep the storage; nothing is read before the first `refresh`."""
        self._storage = storage
        self._max_event_types = max_event_types
        self._snapshot_every = snapshot_every
        self._state: LedgerState | None = None
        self._ids: OrderedDict[str, int] = OrderedDict()

    def refresh(self) -> LedgerState:
        """Read what was written since the last call.

        Raises:
            TransientError: the storage did not answer.
            PermanentError: an entry cannot be read.
        """
        state = self._state or self._newest_snapshot()
        heads: list[Head] = []
        for number, content in enumerate(following(self._storage, state.number), state.number + 1):
            heads.append(_read(decode_head, content, number))
        self._state = self._fold(state, heads)
        return self._state

    def entry(self, number: int) -> Entry:
        """The whole entry of a number that is known to exist."""
        return self.entries([number])[0]

    def entries(self, numbers: Sequence[int]) -> list[Entry]:
        """The whole entries of numbers that are known to exist."""
        found = []
        for number, content in zip(numbers, contents(self._storage, numbers), strict=True):
            if content is None:
                raise PermanentError(f"{self._storage.root}/{entry_path(number)} is gone: restore it from a backup")
            found.append(_read(decode_entry, content, number))
        return found

    def append(self, entry: Entry, check: Callable[[], None] = lambda: None) -> Entry:
        """Write the entry under the next free number, checking before each try, by `check` too, that it still holds.

        Raises:
            CommitConflict: a shard's position, the generation or the types moved. It was not written.
            CommitUnknown: no answer, and the ledger could not be read either.
            TransientError: certainly not written; calling again with the same entry id is safe.
        """
        while True:
            state = self.refresh()
            if (known := self._ids.get(entry.entry_id)) is not None:
                return msgspec.structs.replace(entry, number=known)
            self._check(state, entry)
            check()
            entry = msgspec.structs.replace(entry, number=state.number + 1)
            if self._put(entry):
                self._state = self._fold(state, [entry])
                self._keep_snapshot(self._state)
                return entry

    def _put(self, entry: Entry) -> bool:
        """Write it; False where the number was taken, by us in an earlier try or by somebody else."""
        path = entry_path(entry.number)
        try:
            return self._storage.put_if_absent(path, encode(entry))
        except TransientError as error:
            try:
                content = self._storage.get(path)
            except TransientError as second:
                raise CommitUnknown(f"{path}: no answer to the commit, and none to the question: {second}") from error
            if content is None:
                raise
            return False

    def _check(self, state: LedgerState, entry: Entry) -> None:
        for moved in entry.ranges:
            known = state.shards.get(Shard(moved.source, moved.shard), ShardState())
            where = f"shard {moved.shard!r} of {moved.source!r}"
            if moved.is_island:
                _check_island(known, moved, where)
            elif known.position != moved.start:
                raise CommitConflict(
                    f"{where} stands at {known.position}, not at {moved.start}: another consumer moved it"
                )
            elif moved.islands_at != known.islands_at and overlapping(
                known.islands, int(moved.start or 0), int(moved.end)
            ):
                raise CommitConflict(f"{where}: another consumer committed records before {moved.end}")
            if known.closed:
                raise CommitConflict(f"{where} was abandoned after {known.position}: its records are read by nobody")
        for left in entry.abandoned:
            known = state.shards.get(Shard(left.source, left.shard), ShardState())
            if known.position != left.position:
                raise CommitConflict(
                    f"shard {left.shard!r} of {left.source!r} stands at {known.position}, not at "
                    f"{left.position}: somebody reads it, so that it is not abandoned"
                )
        if entry.kind == "note" and entry.generation and state.generation not in (entry.replaces, entry.generation):
            raise CommitConflict(
                f"the claims of generation {entry.generation} were filled for one that replaces {entry.replaces}, the "
                f"ledger is at {state.generation}: fill again"
            )
        _check_replay(state, entry)
        if entry.kind != "note" and entry.generation != state.generation and state.generation is not None:
            raise CommitConflict(
                f"the claims are of generation {entry.generation}, the ledger is at {state.generation}: claim again"
            )
        types = set(state.event_types).union(entry.new_types)
        if entry.new_types and len(types) > self._max_event_types:
            raise CommitConflict(
                f"the lake would hold {len(types)} event types, {self._max_event_types} are allowed: judge again"
            )

    def _fold(self, state: LedgerState, heads: Sequence[Head]) -> LedgerState:
        """The state after more entries; their ids are remembered."""
        for head in heads:
            self._ids[head.entry_id] = head.number
        while len(self._ids) > _REMEMBERED:
            self._ids.popitem(last=False)
        return fold(state, heads) if heads else state

    def _keep_snapshot(self, state: LedgerState) -> None:
        """Write the folded state where it is due; it saves time only, so that a failure is no matter."""
        if state.number % self._snapshot_every == 0:
            with contextlib.suppress(TransientError):
                self._storage.put_if_absent(f"{_SNAPSHOT}{state.number:020d}.json", encode(snapshot_of(state)))

    def _newest_snapshot(self) -> LedgerState:
        newest = max(self._storage.list(_SNAPSHOT), default=None)
        content = self._storage.get(newest) if newest else None
        return LedgerState() if content is None else restored(msgspec.json.decode(content, type=Snapshot))


def _check_replay(state: LedgerState, entry: Entry) -> None:
    """No row is settled twice, and what was judged by the lake alone was judged by all of it."""
    if entry.kind != "replay":
        return
    if entry.replayed_at != state.replayed_at:
        raise CommitConflict(f"entry {state.replayed_at} is another replay: what it settled is not judged again")
    if entry.judged_at and entry.judged_at != state.number:
        raise CommitConflict(f"the ledger went on to {state.number} since entry {entry.judged_at}: judge again")


def _check_island(known: ShardState, moved: Range, where: str) -> None:
    start, end = int(moved.start or 0), int(moved.end)
    if known.position is not None and start < int(known.position):
        raise CommitConflict(f"{where} stands at {known.position}, beyond {start}: those records are done with")
    if (other := overlapping(known.islands, start, end)) is not None:
        raise CommitConflict(f"{where}: records {other.start} to {other.end} were committed by entry {other.number}")


def _moved(known: ShardState, moved: Range, head: Head) -> ShardState:
    """A shard after one more range."""
    if not moved.is_island:
        return ShardState(
            position=moved.end,
            meta=moved.meta,
            islands=beyond(known.islands, int(moved.end)) if known.islands else (),
            islands_at=known.islands_at,
        )
    new = Island(int(moved.start or 0), int(moved.end), head.committed_us, head.number)
    horizon_us = head.committed_us - int(moved.meta.get("retention_us", RETENTION_US))
    islands, position = aged(added(known, new), known.position, horizon_us)
    meta = {**known.meta, **moved.meta}  # an island knows nothing of what a reader of the whole shard keeps there
    return replace(known, position=position, meta=meta, islands=islands, islands_at=head.number)


def fold(state: LedgerState, heads: Sequence[Head]) -> LedgerState:
    """The state after more entries, in order. Pure."""
    shards, abandoned = dict(state.shards), dict(state.abandoned)
    types = dict.fromkeys(state.event_types)
    counts, settled, replayed_at = state.counts, state.settled, state.replayed_at
    generation = state.generation
    for head in heads:
        for moved in head.ranges:
            shard = Shard(moved.source, moved.shard)
            shards[shard] = _moved(shards.get(shard, ShardState()), moved, head)
        for left in head.abandoned:
            shard = Shard(left.source, left.shard)
            abandoned[shard] = left.position
            shards[shard] = replace(shards.get(shard, ShardState()), closed=True)
        types.update(dict.fromkeys(head.new_types))
        counts += head.net
        settled += head.settles
        replayed_at = head.number if head.kind == "replay" else replayed_at
        generation = head.generation or generation
    return LedgerState(
        number=heads[-1].number,
        shards=shards,
        event_types=tuple(types),
        generation=generation,
        abandoned=abandoned,
        counts=counts,
        settled=settled,
        replayed_at=replayed_at,
        committed_us=heads[-1].committed_us,
        writer=heads[-1].writer,
    )


_Read = TypeVar("_Read")


def _read(decode: Callable[[bytes], _Read], content: bytes, number: int) -> _Read:
    try:
        return decode(content)
    except msgspec.DecodeError as error:
        if str(error).endswith("`$.kind`"):
            raise LakeTooNewError(f"{entry_path(number)} was written by a newer Headgate: install that one") from error
        raise PermanentError(f"{entry_path(number)} cannot be read ({error}): restore it from a backup") from error
