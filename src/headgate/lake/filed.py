"""Which delivered objects are filed, and what the ledger keeps of a filing.

Every filing moves one shard of the ledger, FILED, by one, so that of two filings at once one has to begin anew. Its
range names a list of objects, which was written before and is nothing until an entry names it. And it says how many
rows of each stream's shard the entry holds: these rows keep their own positions, which lie in no range of the ledger.

Lists are chained: each names the one before, or stands for all. A list that is gone costs time only: what it named is
read again, and each row of it is found in the tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from headgate.core.filed import Origin
from headgate.lake.storage import Storage
from headgate.records import Counts, Shard, ShardRange, ShardState

FILED = Shard("headgate:firehose", "filed")
LISTS = "_headgate/filed/"
_KEPT = "_headgate/filed-kept.json"
MAX_CHAIN = 50  # lists read one after the other; then one is written that stands for all

#: Names and sizes of objects by the root under which they lie.
Objects = Mapping[str, Mapping[str, int]]


class _List(msgspec.Struct):
    before: str | None
    objects: dict[str, dict[str, int]]


class Known(msgspec.Struct):
    """The objects that are filed, the list that the ledger names, and the lists that could be read, newest first."""

    head: str | None
    objects: dict[str, dict[str, int]]
    lists: list[str]


def known_objects(storage: Storage, state: ShardState | None) -> Known:
    """What the ledger names.

    Args:
        storage: of the lake.
        state: of FILED.
    """
    name: str | None = None if state is None else state.meta.get("list")
    found = Known(head=name, objects={}, lists=[])
    while name is not None and (content := storage.get(_path(name))) is not None:
        read = msgspec.json.decode(content, type=_List)
        found.lists.append(name)
        for root, names in read.objects.items():
            found.objects[root] = {**names, **found.objects.get(root, {})}
        name = read.before
    return found


def write_list(storage: Storage, name: str, objects: Objects, known: Known) -> Known:
    """Write a list; nothing until a range names it.

    Args:
        storage: of the lake.
        name: never used before.
        objects: that are filed by the entry that will name it.
        known: what the ledger names now; objects that are nowhere any more may be left out of it.

    Returns:
        What the ledger names then; `head` is still that of now.
    """
    merged = {root: {**known.objects.get(root, {}), **objects.get(root, {})} for root in {**known.objects, **objects}}
    is_whole = len(known.lists) >= MAX_CHAIN or not known.lists
    content = _List(
        before=None if is_whole else known.lists[0],
        objects=merged if is_whole else {root: dict(names) for root, names in objects.items()},
    )
    storage.put(_path(name), msgspec.json.encode(content))
    return Known(head=known.head, objects=merged, lists=[name] if is_whole else [name, *known.lists])


def first_read(storage: Storage) -> dict[str, int]:
    """When kept objects were first read by a filing, by path; microseconds. What is not known was never read."""
    content = storage.get(_KEPT)
    try:
        return {} if content is None else msgspec.json.decode(content, type=dict[str, int])
    except msgspec.DecodeError:
        return {}


def write_first_read(storage: Storage, times: Mapping[str, int]) -> None:
    """Note it."""
    storage.put(_KEPT, msgspec.json.encode(times))


def sweep_lists(storage: Storage, known: Known) -> None:
    """Delete lists that no entry names any more, or never did."""
    named = set(map(_path, known.lists))
    for path in list(storage.list(LISTS)):
        if path not in named:
            storage.delete(path)


def filed_range(state: ShardState | None, name: str | None, held: Sequence[Origin]) -> ShardRange:
    """The range of a filing."""
    start = None if state is None else state.position
    meta = {"list": name, "origins": [[*o.shard, str(o.end), *o.counts[1:]] for o in held]}
    return ShardRange(shard=FILED, start=start, end=str(int(start or 0) + 1), meta=meta)


def origins_of(meta: Mapping[str, Any]) -> list[Origin]:
    """What a range of FILED holds."""
    return [
        Origin(Shard(source, name), int(end), Counts(accepted + copies + rejected, accepted, copies, rejected))
        for source, name, end, accepted, copies, rejected in meta.get("origins", ())
    ]


def _path(name: str) -> str:
    return f"{LISTS}{name}.json"
