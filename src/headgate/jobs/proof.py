"""What `verify` found: breaches, each a sentence with its first positions, and what is proven by what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from headgate.records import Counts

MAX_EXAMPLES = 5  # positions shown of a breach


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """A broken promise.

    Attributes:
        kind: one word for machines.
        sentence: what is wrong, for people.
        examples: the first few places where.
    """

    kind: str
    sentence: str
    examples: Sequence[str] = ()


@dataclass(kw_only=True)
class Proof:
    """The outcome of a verification.

    Attributes:
        lake: path of the lake.
        format: table format.
        source: name of the source.
        number: ledger number up to which everything was verified.
        entries: ledger entries read.
        counts: their sums.
        rows: rows found in each table, of these entries.
        erased: rows of each table that were erased: recorded, and there no more.
        window_us: window of de-duplication that was checked, in microseconds.
        reread_shards: shards that the source still holds.
        reread_parts: events and rejects that were read from it again.
        ledger_only_shards: shards of this and other sources that cannot be read again.
        ledger_only_rows: their rows, proven by ledger and quality alone.
        uncompared: rows of the source's records that were written under other [privacy] settings than these, so that
            their bytes could not be compared.
        skipped: parts of the source before the position at which `--start` began.
        unread_records: records of the source beyond the committed positions.
        undelivered: parts of the source, below the last one that was filed, of which nothing is filed (yet).
        later: number of the ledger's last entry, where entries after `number` are not yet published.
        breaches: what is wrong; empty where everything is proven.
    """

    lake: str
    format: str
    source: str
    number: int = 0
    entries: int = 0
    counts: Counts = field(default_factory=Counts)
    rows: dict[str, int] = field(default_factory=dict)
    erased: dict[str, int] = field(default_factory=dict)
    window_us: int = 0
    reread_shards: int = 0
    reread_parts: int = 0
    ledger_only_shards: int = 0
    ledger_only_rows: int = 0
    uncompared: int = 0
    skipped: int = 0
    unread_records: int = 0
    undelivered: int = 0
    later: int = 0
    breaches: list[Breach] = field(default_factory=list)

    @property
    def is_proven(self) -> bool:
        """True where no promise is broken."""
        return not self.breaches

    def add(self, kind: str, sentence: str, examples: Sequence[str] = ()) -> None:
        """Note a breach."""
        self.breaches.append(Breach(kind=kind, sentence=sentence, examples=tuple(examples[:MAX_EXAMPLES])))


def many(count: int, one: str, more: str | None = None) -> str:
    """`1 row`, `2 rows`, `1,234 rows`."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"
