"""The ledger proven by itself: entries add up, ranges chain, nothing is missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from headgate.core.filed import Origin
from headgate.core.ranges import overlapping
from headgate.errors import PermanentError
from headgate.jobs.existing import ExistingLake
from headgate.jobs.proof import MAX_EXAMPLES, Proof
from headgate.lake.delta import APP_ID, open_table
from headgate.lake.entry import PRIVACY, Entry, Head, Range
from headgate.lake.filed import FILED, origins_of
from headgate.lake.ledger import fold
from headgate.lake.plain import marker_path
from headgate.lake.published import published_number
from headgate.ports import LedgerState
from headgate.records import Counts, Shard, ShardState


@dataclass(frozen=True, slots=True)
class LedgerRange:
    """What one entry says of one shard: the range that it moved and its counts."""

    number: int
    shard: Shard
    start: int
    end: int
    counts: Counts
    privacy: str = ""  # identity of the [privacy] settings that the writer had


@dataclass(kw_only=True)
class LedgerProof:
    """What the ledger says, up to the last published entry.

    Attributes:
        state: the entries folded.
        ranges: every range of every entry, in order; rows of a filing lie in none.
        filed: per shard what all filings together hold of it, of those that filings moved.
        counts_of: per entry id its number and counts, of the entries with records.
        replays: the entries of replays, in order.
    """

    state: LedgerState = field(default_factory=LedgerState)
    ranges: list[LedgerRange] = field(default_factory=list)
    filed: dict[Shard, Origin] = field(default_factory=dict)
    counts_of: dict[str, tuple[int, Counts]] = field(default_factory=dict)
    replays: list[Entry] = field(default_factory=list)


def prove_ledger(lake: ExistingLake, proof: Proof) -> LedgerProof:
    """Read all published entries and check each against the one before.

    Args:
        lake: whose ledger.
        proof: gets the breaches, `number`, `entries`, `counts` and `later`.
    """
    numbers = lake.entry_numbers()
    known_published = published_number(lake.storage)
    last = max([known_published, *numbers], default=0)
    missing = sorted(set(range(1, last + 1)) - set(numbers))
    if missing:
        what = f"ledger entry {missing[0]} is missing" if len(missing) == 1 else "ledger entries are missing"
        proof.add("ledger", what, [str(number) for number in missing])
    upto = missing[0] - 1 if missing else last
    found = LedgerProof()
    heads: list[Head] = []
    for entry in _published(lake, upto, known_published, proof):
        _check_entry(entry, len(heads) + 1, found, proof)
        heads.append(entry)
        found.state = fold(found.state, [entry])
    proof.number, proof.entries, proof.counts = len(heads), len(heads), found.state.counts
    proof.later = upto if upto > len(heads) and not proof.breaches else 0
    if upto == len(heads) and not missing:
        _check_snapshot(lake, found.state, proof)
    return found


def _published(lake: ExistingLake, upto: int, known: int, proof: Proof) -> Iterator[Entry]:
    """Entries up to the first that is committed but not yet published."""
    shown = _shown_by_delta(lake) if lake.about.format == "delta" else {}
    for number in range(1, upto + 1):
        try:
            entry = lake.entry(number)
        except PermanentError as error:
            proof.add("ledger", str(error))
            return
        if number > known and not _is_published(lake, entry, shown):
            return
        yield entry


def _shown_by_delta(lake: ExistingLake) -> dict[str, int]:
    """The last ledger number that each Delta table shows."""
    from deltalake.exceptions import DeltaError

    from headgate.core.schema import TABLES

    shown = {}
    for table in TABLES:
        try:
            shown[table] = open_table(lake.storage, table).transaction_version(APP_ID) or 0
        except DeltaError:
            shown[table] = 0
    return shown


def _is_published(lake: ExistingLake, entry: Entry, shown: dict[str, int]) -> bool:
    if lake.about.format == "delta":
        return all(shown[file.table] >= entry.number for file in entry.files if file.table in shown)
    return not entry.files or not lake.storage.exists(marker_path(entry.entry_id))


def _check_entry(entry: Entry, number: int, found: LedgerProof, proof: Proof) -> None:
    """One entry by itself and against the state before it."""
    name = f"ledger entry {number}"
    if entry.number != number:
        proof.add("ledger", f"{name} says that it is number {entry.number}")
    if not entry.counts.is_conserved:
        proof.add("conservation", f"{name} does not add up: {sum_of(entry.counts)}")
    parts = sum((moved.counts for moved in entry.ranges), Counts())
    if entry.kind == "replay":
        _check_replay(entry, name, found, proof)
    elif parts != entry.counts:
        proof.add("conservation", f"{name} says {sum_of(entry.counts)}, but its shards say {sum_of(parts)}")
    for moved in entry.ranges:
        if not moved.counts.is_conserved:
            proof.add("conservation", f"{name} does not add up for {moved.shard}: {sum_of(moved.counts)}")
        _check_range(moved, name, found.state, proof)
        if Shard(moved.source, moved.shard) == FILED:
            _add_origins(moved, name, found, proof)
            continue
        found.ranges.append(
            LedgerRange(
                number,
                Shard(moved.source, moved.shard),
                _number(moved.start, name, proof),
                _number(moved.end, name, proof),
                moved.counts,
                str(entry.writer.get(PRIVACY, "")),
            )
        )
    _check_files(entry, name, proof)
    if entry.entry_id in found.counts_of:
        proof.add("ledger", f"{name} has the same id as entry {found.counts_of[entry.entry_id][0]}")
    if entry.kind != "note":
        found.counts_of[entry.entry_id] = (number, entry.net)
        if entry.generation != found.state.generation and found.state.generation is not None:
            proof.add(
                "ledger",
                f"{name} was judged with claims of generation {entry.generation}, in force was "
                f"{found.state.generation}",
            )


def _check_replay(entry: Entry, name: str, found: LedgerProof, proof: Proof) -> None:
    """What it takes back adds up, it moves no shard, and it knew of the replay before it."""
    if not entry.settles.is_conserved:
        proof.add("conservation", f"{name} takes back what does not add up: {sum_of(entry.settles)}")
    if entry.ranges:
        proof.add("ledger", f"{name} is a replay and moves {entry.ranges[0].shard}")
    if entry.replayed_at != found.state.replayed_at:
        proof.add(
            "ledger",
            f"{name} follows the replay of entry {entry.replayed_at}, the last one was {found.state.replayed_at}",
        )
    found.replays.append(entry)


def _add_origins(moved: Range, name: str, found: LedgerProof, proof: Proof) -> None:
    """A filing: its shards' counts are those of the entry."""
    held = origins_of(moved.meta)
    if sum((origin.counts for origin in held), Counts()) != moved.counts:
        proof.add("conservation", f"{name} says {sum_of(moved.counts)}, but the shards that it filed say otherwise")
    for one in held:
        before = found.filed.get(one.shard, Origin(one.shard, 0, Counts()))
        found.filed[one.shard] = Origin(one.shard, max(before.end, one.end), before.counts + one.counts)


def _check_range(moved: Range, name: str, state: LedgerState, proof: Proof) -> None:
    """The range begins where the one before ended."""
    before = state.shards.get(Shard(moved.source, moved.shard))
    position = before.position if before else None
    if moved.is_island:
        _check_island(moved, name, before or ShardState(), proof)
    elif moved.start != position:
        proof.add(
            "gap",
            f"{name} begins at {moved.start or 'the start'} of {moved.shard}, but the entries before it end at "
            f"{position or 'the start'}",
        )
    if before is not None and before.closed:
        proof.add("ledger", f"{name} moves {moved.shard}, which an earlier entry had abandoned")


def _check_island(moved: Range, name: str, before: ShardState, proof: Proof) -> None:
    """The island lies beyond the position and apart from all others."""
    start, end = _number(moved.start, name, proof), _number(moved.end, name, proof)
    other = overlapping(before.islands, start, end)
    if start < int(before.position or 0) or start >= end or other is not None:
        proof.add(
            "ledger",
            f"{name} commits records {start} to {end} of {moved.shard}, of which entries before it had committed some",
        )


def _number(position: str | None, name: str, proof: Proof) -> int:
    if position is None:
        return 0
    if not (position.isascii() and position.isdecimal()):
        proof.add("ledger", f"{name} holds a position that is no number: {position!r}")
        return 0
    return int(position)


def _check_files(entry: Entry, name: str, proof: Proof) -> None:
    """The entry's files hold as many rows as it counts, with those that were erased from them."""
    counts = entry.counts
    for table, expected in (
        ("events", counts.accepted),
        ("duplicates", counts.duplicates),
        ("rejected", counts.rejected),
    ):
        rows = sum(file.rows + file.erased for file in entry.files if file.table == table)
        if rows != expected:
            proof.add("conservation", f"{name} counts {expected:,} rows of {table}, but its files say {rows:,}")


def _check_snapshot(lake: ExistingLake, folded: LedgerState, proof: Proof) -> None:
    """A reader that starts at the newest snapshot comes to the same end."""
    try:
        state = lake.state()
    except PermanentError as error:
        proof.add("ledger", str(error))
        return
    if state.number > folded.number:
        return  # a run is under way
    if (state.counts, state.settled, state.replayed_at, dict(state.shards), list(state.event_types)) != (
        folded.counts,
        folded.settled,
        folded.replayed_at,
        dict(folded.shards),
        list(folded.event_types),
    ):
        proof.add("ledger", "the ledger's snapshot says otherwise than the entries before it")


def missing_files(lake: ExistingLake, numbers: Iterable[int], table: str) -> list[str]:
    """Files of the given entries that are not where they were published."""
    gone: list[str] = []
    for number in numbers:
        for file in lake.entry(number).files:
            if file.table == table and file.rows and not lake.storage.exists(file.published):
                gone.append(file.published)
                if len(gone) >= MAX_EXAMPLES:
                    return gone
    return gone


def sum_of(counts: Counts) -> str:
    """Four numbers for people."""
    return (
        f"{counts.received:,} received, {counts.accepted:,} accepted + {counts.duplicates:,} duplicates + "
        f"{counts.rejected:,} rejected"
    )
