"""Verdicts of a batch are those of asking the store for one event after the other."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.claims.memory import MemoryClaimStore
from headgate.core.dedup import Judgement, Progress, first_copies, is_abandoned, is_same_position, judge
from headgate.core.keys import GOLDEN, OTHER_ODD, mixed
from headgate.errors import TransientError
from headgate.records import OWNER, Claims, Shard
from headgate.testing.claim_store_suite import claims_of, keys_from, owner

WINDOW = 100
SHARDS = [Shard("s", "a"), Shard("s", "b"), Shard("s", "c")]
Row = tuple[int, bytes]


def store_with(*batches: list[Row]) -> MemoryClaimStore:
    store = MemoryClaimStore()
    for shard in SHARDS:
        store.shard_number(shard)
    for batch in batches:
        for row in batch:
            store.claim(claims_of([row]), WINDOW)
    return store


def judged(store: MemoryClaimStore, rows: list[Row], abandoned: Mapping[int, int | None] | None = None) -> Judgement:
    claims = claims_of(rows)
    return judge(claims.keys, claims.owners, store, WINDOW, abandoned or {})


def judged_one_by_one(
    store: MemoryClaimStore, rows: list[Row], abandoned: Mapping[int, int | None]
) -> tuple[list[bool], list[bytes], list[bool]]:
    """The reference: one event, one question."""
    in_batch = {held[:32] for _, held in rows}
    accepted, owners, conflicts = [], [], []
    for row in rows:
        claims = claims_of([row])
        found = store.claim(claims, WINDOW)
        if found.tobytes()[:32] not in in_batch and is_given_up(found.tobytes(), abandoned):
            found = store.take_over(claims, found)
        is_own = found.tobytes()[:32] == row[1][:32]
        accepted.append(is_own)
        owners.append(found.tobytes())
        conflicts.append(not is_own and found.tobytes()[40:] != row[1][40:])
    return accepted, owners, conflicts


def is_given_up(held: bytes, abandoned: Mapping[int, int | None]) -> bool:
    shard = int.from_bytes(held[:4], "big")
    if shard not in abandoned:
        return False
    position = abandoned[shard]
    return position is None or int.from_bytes(held[4:28], "big") >= position


@st.composite
def flows(draw: st.DrawFn) -> list[Row]:
    """Events at different positions; few ids, arrivals around the window."""
    positions = draw(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9), st.integers(-1, 1)), unique=True))
    return [
        (
            draw(st.integers(0, 3)),
            owner(
                shard,
                sequence,
                sub=sub,
                # a function of the position: a record that is read again arrived when it arrived before
                arrived=(shard * 100 + sequence * 31 + sub) * (7 if (shard + sequence + sub) % 4 == 3 else 1) + 1000,
                fingerprint=draw(st.integers(0, 1)),
            ),
        )
        for shard, sequence, sub in positions
    ]


@given(flows(), flows(), st.dictionaries(st.integers(0, 2), st.none() | st.integers(0, 9)))
def test_a_batch_is_judged_as_one_event_after_the_other(
    before: list[Row], rows: list[Row], abandoned: dict[int, int | None]
) -> None:
    together, apart = store_with(before), store_with(before)
    judgement = judged(together, rows, abandoned)
    accepted, owners, conflicts = judged_one_by_one(apart, rows, abandoned)
    assert judgement.accepted.tolist() == accepted
    assert [held.tobytes() for held in judgement.owner] == owners
    assert judgement.conflict.tolist() == conflicts
    everyone = claims_of([(key, owner(9, 9, arrived=0)) for key in range(4)])
    shard_9 = 10**9  # nobody's window reaches so far, so this only reads
    assert together.claim(everyone, shard_9).tobytes() == apart.claim(everyone, shard_9).tobytes()


@given(flows(), st.lists(st.integers(1, 5)))
def test_another_cut_after_a_crash_accepts_the_same_events(rows: list[Row], cuts: list[int]) -> None:
    """Within one window: a claim that outlives a crash is found by its own event."""
    rows = [(key, held[:32] + (5_000).to_bytes(8, "big") + held[40:]) for key, held in rows]
    store = store_with()
    first = judged(store, rows).accepted.tolist()
    again = []
    start = 0
    for length in [*cuts, len(rows) + 1]:
        again += judged(store, rows[start : start + length]).accepted.tolist()
        start += length
    assert again == first
    assert sum(first) == len({key for key, _ in rows})


def test_a_copy_more_than_a_window_after_the_owner_claims_again_and_owns_later_copies() -> None:
    rows = [(1, owner(0, n, arrived=arrived)) for n, arrived in enumerate([0, 100, 101, 150, 202, 203])]
    judgement = judged(store_with(), rows)
    assert judgement.accepted.tolist() == [True, False, True, False, True, False]
    assert [int.from_bytes(held["sequence"].tobytes(), "big") for held in judgement.owner] == [
        0,
        0,
        2,
        2,
        4,
        4,
    ]


def test_a_duplicate_with_other_bytes_is_a_conflict() -> None:
    rows = [(1, owner(0, 0, fingerprint=5)), (1, owner(0, 1, fingerprint=5)), (1, owner(0, 2, fingerprint=6))]
    assert judged(store_with(), rows).conflict.tolist() == [False, False, True]


def test_an_owner_from_an_abandoned_range_is_taken_over() -> None:
    below, at = owner(1, 4), owner(1, 5)
    store = store_with([(1, below), (2, at)])
    rows = [(1, owner(0, 0)), (2, owner(0, 1)), (2, owner(2, 2))]
    judgement = judged(store, rows, {1: 5})
    assert judgement.accepted.tolist() == [False, True, False]
    assert judgement.owner[2].tobytes() == rows[1][1]


def test_an_event_that_is_being_read_is_not_taken_over() -> None:
    rows = [(1, owner(1, 7)), (1, owner(0, 0))]
    assert judged(store_with(), rows, {1: 5}).accepted.tolist() == [True, False]
    assert judged(store_with([rows[0]]), rows[::-1], {1: 5}).accepted.tolist() == [False, True]


def test_an_empty_batch_has_an_empty_judgement() -> None:
    judgement = judge(np.zeros((0, 16), np.uint8), np.zeros(0, OWNER), store_with(), WINDOW, {0: None})
    assert (len(judgement.accepted), len(judgement.owner), len(judgement.conflict)) == (0, 0, 0)


@given(st.lists(st.integers(0, 12)))
def test_first_copies_are_first_by_row(names: list[int]) -> None:
    assert first_copies(keys_from(names)).tolist() == [names.index(name) for name in names]


def test_keys_with_one_hash_are_told_apart() -> None:
    """Two keys built to share the mixed hash."""
    products = [n * GOLDEN % 2**64 for n in (1, 2)]
    heads = [product ^ product >> 32 for product in products]
    tail = (heads[0] ^ heads[1]) * pow(OTHER_ODD, -1, 2**64) % 2**64
    keys = np.array([[1, 0], [2, tail], [1, 0]], np.uint64).view(np.uint8)
    assert len(set(mixed(keys).tolist())) == 1
    assert first_copies(keys).tolist() == [0, 1, 0]


def test_arrival_and_fingerprint_are_no_part_of_a_position() -> None:
    left = np.frombuffer(owner(1, 2, sub=3, arrived=4, fingerprint=5) * 4, OWNER)
    right = np.frombuffer(
        owner(1, 2, sub=3, arrived=9, fingerprint=9) + owner(2, 2, sub=3) + owner(1, 3, sub=3) + owner(1, 2, sub=4),
        OWNER,
    )
    assert is_same_position(left, right).tolist() == [True, False, False, False]


def test_nothing_is_abandoned_below_the_position() -> None:
    owners = np.frombuffer(
        b"".join(owner(shard, sequence) for shard in (0, 1) for sequence in (2**70, 2**70 + 1)), OWNER
    )
    assert is_abandoned(owners, {0: 2**70 + 1, 2: None}).tolist() == [False, True, False, False]
    assert is_abandoned(owners, {1: None}).tolist() == [False, False, True, True]


def test_each_key_is_asked_once() -> None:
    asked = []

    class Counting(MemoryClaimStore):
        def claim(self, claims: Claims, window_us: int) -> np.ndarray:
            asked.append(len(claims))
            return super().claim(claims, window_us)

    claims = claims_of([(n % 3, owner(0, n)) for n in range(9)])
    judge(claims.keys, claims.owners, Counting(), WINDOW, {})
    assert asked == [3]


def test_a_judgement_that_failed_goes_on_where_it_failed() -> None:
    """The answer to the claim of a copy beyond the window is lost: the first one is no copy of it."""

    class Losing(MemoryClaimStore):
        calls = 0

        def claim(self, claims: Claims, window_us: int) -> np.ndarray:
            answer = super().claim(claims, window_us)
            self.calls += 1
            if self.calls == 2:
                raise TransientError("no answer")
            return answer

    store, progress = Losing(), Progress.of(2)
    for shard in SHARDS:
        store.shard_number(shard)
    claims = claims_of([(1, owner(0, 0, arrived=0)), (1, owner(0, 1, arrived=WINDOW + 1))])
    with pytest.raises(TransientError):
        judge(claims.keys, claims.owners, store, WINDOW, {}, progress)
    judgement = judge(claims.keys, claims.owners, store, WINDOW, {}, progress)
    assert judgement.accepted.tolist() == [True, True]
