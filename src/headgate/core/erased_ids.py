"""Which events are copies of erased ones: nobody owns their ids in a table any more, and they are not new. Pure.

Law: a record of an erased event stands for its claim, whether its row is gone or not: a copy has the same verdict
beside the row, beside the claim in a store, or beside the record alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headgate.core.dedup import POSITION_WORDS, Judgement, Owners, Rows, put_rows, rows_of
from headgate.core.enrich import parse_positions
from headgate.core.erased import Erased, digests_of
from headgate.records import OWNER, Claims, Shard

_POSITION_BYTES = POSITION_WORDS * 8  # at the head of an OWNER


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """Events of a batch whose ids erased events have.

    Attributes:
        rows: (m,) row numbers of the batch, in order.
        owners: (m,) OWNER, the erased events; the fingerprint is the copy's own: the erased bytes are not known.
        own: row numbers of the events that stand at an erased position themselves; not among `rows`.
    """

    rows: Rows
    owners: Owners
    own: Rows


class ErasedIds:
    """Asked for each batch before the claim store. Costs nothing once all windows are closed, else a digest an id."""

    def __init__(self, erased: Erased, number_of: Callable[[Shard], int]) -> None:
        """Keep what is recorded.

        Args:
            erased: of the lake.
            number_of: the claim store's number for a shard; asked where a copy is found.
        """
        order = pc.array_sort_indices(erased.rows["arrived_at"], order="descending")
        rows = erased.rows.take(order)
        self._secret, self._number_of = erased.secret, number_of
        self._shards = [
            Shard(*names) for names in zip(*(rows[n].to_pylist() for n in ("source", "shard")), strict=True)
        ]
        self._owners = np.zeros(rows.num_rows, dtype=OWNER)
        self._owners["sequence"], self._owners["sub"] = parse_positions(rows["sequence"])
        self._owners["arrived"] = np.asarray(rows["arrived_at"].cast(pa.int64()))
        self._by_digest: dict[bytes, list[int]] = {}  # the last to arrive first
        for row, digest in enumerate(rows["digest"].to_pylist()):
            self._by_digest.setdefault(digest, []).append(row)
        self._heads = _heads(np.frombuffer(b"".join(self._by_digest), dtype=np.uint8))

    def __len__(self) -> int:
        """Number of ids."""
        return len(self._by_digest)

    def copies(self, claims: Claims, window_us: int) -> Copies | None:
        """The events among these that are copies of erased ones; None where there are none.

        As for any event, the owner is the one that arrived last, and an event that arrived more than the window
        later is no copy.

        Args:
            claims: n ids, not unique, and who would claim them.
            window_us: window of de-duplication in microseconds.
        """
        arrived = claims.owners["arrived"].astype(np.int64)
        asked = np.flatnonzero(arrived <= int(self._owners["arrived"][0]) + window_us)
        digests = digests_of(claims.keys.take(asked, axis=0), self._secret)
        rows: list[int] = []
        found: list[int] = []
        own: list[int] = []
        for i in np.flatnonzero(np.isin(_heads(digests), self._heads)).tolist():
            row, held = int(asked[i]), self._by_digest.get(digests[i].tobytes(), [])
            if not held:
                continue
            mine = claims.owners[row : row + 1].tobytes()[:_POSITION_BYTES]
            if any(self._owner(one).tobytes()[:_POSITION_BYTES] == mine for one in held):
                own.append(row)
            elif arrived[row] <= int(self._owners["arrived"][held[0]]) + window_us:
                rows.append(row)
                found.append(held[0])
        if not rows and not own:
            return None
        places = np.array(rows, dtype=np.int64)
        owners = rows_of(self._owners, np.array(found, dtype=np.int64))
        owners["fingerprint"] = claims.owners["fingerprint"][places]
        return Copies(rows=places, owners=owners, own=np.array(own, dtype=np.int64))

    def _owner(self, row: int) -> Owners:
        """One of the erased events, its shard numbered."""
        self._owners["shard"][row] = self._number_of(self._shards[row])
        return self._owners[row : row + 1]


def with_copies(judgement: Judgement, judged: Rows, copies: Copies) -> Judgement:
    """The judgement of a whole batch.

    Args:
        judgement: of the events that are no copies of erased ones.
        judged: their row numbers.
        copies: the others.
    """
    count = len(judged) + len(copies.rows)
    accepted, conflict = np.zeros(count, dtype=np.bool_), np.zeros(count, dtype=np.bool_)
    accepted[judged], conflict[judged] = judgement.accepted, judgement.conflict
    owner = np.zeros(count, dtype=OWNER)
    put_rows(owner, judged, judgement.owner)
    put_rows(owner, copies.rows, copies.owners)
    return Judgement(accepted=accepted, owner=owner, conflict=conflict)


def _heads(digests: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """The first half of each digest: enough to leave nearly all others out."""
    return np.ascontiguousarray(digests).view(np.uint64).reshape(-1, 2)[:, 0]
