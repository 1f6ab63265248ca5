"""What every claim store must do, as test methods: subclass it, say how a store is opened, and collect it
with pytest.

For stores with several clients see shared_claim_store_suite.py.
"""

# ruff: noqa: S101 (these are tests)
from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pytest

from headgate.ports import ClaimStore
from headgate.records import KEY_BYTES, NO_SUB, OWNER, SEQUENCE_BYTES, Claims, Shard

DAY_US = 24 * 3600 * 1_000_000
WINDOW_US = 7 * DAY_US
NOON_US = 20_000 * DAY_US + DAY_US // 2
A, B = Shard("stream", "a"), Shard("stream", "b")
KINESIS_SEQUENCE = 49_590_338_271_490_256_608_559_692_538_361_571_095_921_575_989_136_588_898  # 186 bits


def keys_from(names: Sequence[int]) -> npt.NDArray[np.uint8]:
    """Keys that differ in their last bytes.

    Args:
        names: n small numbers.

    Returns:
        (n, 16) uint8.
    """
    return np.frombuffer(b"".join(name.to_bytes(KEY_BYTES, "big") for name in names), np.uint8).reshape(-1, KEY_BYTES)


def owner(shard: int, sequence: int, *, arrived: int = NOON_US, sub: int = NO_SUB, fingerprint: int = 0) -> bytes:
    """One OWNER as bytes."""
    words = [
        shard.to_bytes(4, "big"),
        sequence.to_bytes(SEQUENCE_BYTES, "big"),
        sub.to_bytes(4, "big", signed=True),
    ]
    return b"".join([*words, arrived.to_bytes(8, "big", signed=True), fingerprint.to_bytes(8, "big")])


def claims_of(rows: Sequence[tuple[int, bytes]]) -> Claims:
    """Claims from (key, owner) pairs."""
    owners = np.frombuffer(b"".join(row[1] for row in rows), OWNER)
    return Claims(keys=keys_from([row[0] for row in rows]), owners=owners)


class ClaimStoreSuite(ABC):
    """The guarantee of the port, one test a sentence."""

    is_shared = False
    lasts = True  # whether a store that is opened again holds what it held
    large_call = 100_000  # ids; fewer where every id is a request to a slow emulator

    @abstractmethod
    def open_again(self) -> ClaimStore:
        """Open the store of this test once more (or for the first time)."""

    @pytest.fixture
    def store(self) -> Iterator[ClaimStore]:
        """The store of this test, closed afterwards."""
        opened = self.open_again()
        yield opened
        opened.close()

    @pytest.fixture
    def a(self, store: ClaimStore) -> int:
        """Number of shard a."""
        return store.shard_number(A)

    @pytest.fixture
    def b(self, store: ClaimStore) -> int:
        """Number of shard b."""
        return store.shard_number(B)

    def claim(self, store: ClaimStore, *rows: tuple[int, bytes]) -> list[bytes]:
        """Claim and return the owners as bytes."""
        return [row.tobytes() for row in store.claim(claims_of(rows), WINDOW_US)]

    def reopen(self, store: ClaimStore) -> ClaimStore:
        """Close and open again."""
        store.sync()
        store.close()
        return self.open_again()

    def test_the_first_to_claim_an_id_owns_it(self, store: ClaimStore, a: int, b: int) -> None:
        """Between shards the first claimer wins; the answer is the stored owner."""
        first, second = owner(a, 1, fingerprint=7), owner(b, 2, fingerprint=9)
        assert self.claim(store, (1, first)) == [first]
        assert self.claim(store, (1, second), (2, second)) == [first, second]

    def test_a_claim_made_again_finds_itself(self, store: ClaimStore, a: int) -> None:
        """Called twice is called once; arrival and fingerprint are those of the stored owner."""
        stored = owner(a, 1, fingerprint=7)
        self.claim(store, (1, stored))
        assert self.claim(store, (1, stored)) == [stored]
        assert self.claim(store, (1, owner(a, 1, fingerprint=8))) == [stored]

    def test_events_of_one_record_are_different_owners(self, store: ClaimStore, a: int) -> None:
        """The sub-number is part of the position."""
        first = owner(a, 1, sub=0)
        assert self.claim(store, (1, first)) == [first]
        assert self.claim(store, (1, owner(a, 1, sub=1))) == [first]

    def test_an_owner_expires_one_microsecond_after_the_window(self, store: ClaimStore, a: int, b: int) -> None:
        """At most one window later is a duplicate, more than that is not."""
        old = owner(a, 1)
        last, late = owner(b, 2, arrived=NOON_US + WINDOW_US), owner(b, 3, arrived=NOON_US + WINDOW_US + 1)
        self.claim(store, (1, old))
        assert self.claim(store, (1, last)) == [old]
        assert self.claim(store, (1, late)) == [late]
        assert self.claim(store, (1, owner(a, 4, arrived=NOON_US + WINDOW_US + 2))) == [late]

    def test_an_earlier_arrival_does_not_win_over_an_owner(self, store: ClaimStore, a: int, b: int) -> None:
        """An owner counts for claimers that arrived before it, however long before."""
        held = owner(a, 1)
        self.claim(store, (1, held))
        assert self.claim(store, (1, owner(b, 1, arrived=NOON_US - 3 * WINDOW_US))) == [held]

    def test_take_over_swaps_only_the_expected_owner(self, store: ClaimStore, a: int, b: int) -> None:
        """Compare-and-swap, across time buckets, and safe to call twice."""
        held, heir, other = owner(a, 1), owner(b, 2, arrived=NOON_US - 3 * DAY_US), owner(b, 3)
        self.claim(store, (1, held))
        wrong = np.frombuffer(other, OWNER)
        assert store.take_over(claims_of([(1, heir)]), wrong)[0].tobytes() == held
        expected = np.frombuffer(held, OWNER)
        for _ in range(2):
            assert store.take_over(claims_of([(1, heir)]), expected)[0].tobytes() == heir
        assert store.take_over(claims_of([(1, other)]), expected)[0].tobytes() == heir
        assert self.claim(store, (1, held)) == [heir]

    def test_only_an_owner_releases_its_claim(self, store: ClaimStore, a: int, b: int) -> None:
        """Others are left; an id that was released is free; calling twice releases once."""
        held, other = owner(a, 1), owner(b, 1)
        self.claim(store, (1, held), (2, held))
        assert store.release(claims_of([(1, other), (3, other)])) == 0
        assert store.release(claims_of([(1, held)])) == 1
        assert store.release(claims_of([(1, held)])) == 0
        assert self.claim(store, (1, other), (2, other)) == [other, held]

    def test_loading_is_safe_to_repeat(self, store: ClaimStore, a: int, b: int) -> None:
        """What was loaded is owned."""
        held = owner(a, 1)
        for _ in range(2):
            store.load(claims_of([(1, held), (2, held)]))
        assert self.claim(store, (1, owner(b, 9)), (2, held)) == [held, held]

    def test_what_was_loaded_is_never_withdrawn(self, store: ClaimStore, a: int) -> None:
        """The lake is the truth, even where a position is not known."""
        held = owner(a, 5)
        store.load(claims_of([(1, held)]))
        assert store.withdraw({A: None}) == 0
        assert self.claim(store, (1, owner(a, 9))) == [held]

    def test_withdraw_releases_what_was_never_committed(self, store: ClaimStore, a: int, b: int) -> None:
        """A position is exclusive: a sequence equal to it is not committed."""
        rows = [(1, owner(a, 9)), (2, owner(a, 10)), (3, owner(b, 1)), (4, owner(a, 11))]
        self.claim(store, *rows)
        expected = 0 if self.is_shared else 3
        assert store.withdraw({A: "10", B: None}) == expected
        assert store.withdraw({A: "10", B: None}) == 0
        heir = owner(b, 77)
        owners = self.claim(store, *[(key, heir) for key, _ in rows])
        assert [held == heir for held in owners] == [not self.is_shared and key != 1 for key, _ in rows]

    def test_seen_and_shard_numbers_are_kept(self, store: ClaimStore, a: int, b: int) -> None:
        """Numbers are never given twice; an unknown one is an error."""
        assert store.seen == 0
        store.mark_seen(41, {A: "1"})
        again = self.reopen(store) if self.lasts else store
        assert again.seen == 41
        assert again.generation == store.generation
        assert (again.shard_number(B), again.shard_number(A)) == (b, a)
        assert again.shard_number(Shard("stream", "c")) not in (a, b)
        assert [again.shard_of(number) for number in (a, b)] == [A, B]
        with pytest.raises(KeyError):
            again.shard_of(12_345)
        again.close()

    def test_sequences_of_186_bits_are_kept_and_compared(self, store: ClaimStore, a: int) -> None:
        """A Kinesis sequence number has 56 digits."""
        held, following = owner(a, KINESIS_SEQUENCE), owner(a, KINESIS_SEQUENCE + 1)
        assert self.claim(store, (1, held), (2, following)) == [held, following]
        assert self.claim(store, (1, following)) == [held]
        assert store.withdraw({A: str(KINESIS_SEQUENCE + 1)}) == (0 if self.is_shared else 1)
        assert self.claim(store, (1, following)) == [held]

    def test_an_empty_call_answers_nothing(self, store: ClaimStore) -> None:
        """No rows, no error."""
        none = Claims(keys=np.zeros((0, KEY_BYTES), np.uint8), owners=np.zeros(0, OWNER))
        assert len(store.claim(none, WINDOW_US)) == 0
        assert len(store.take_over(none, none.owners)) == 0
        assert store.release(none) == 0
        store.load(none)

    def test_a_large_call_gives_each_its_own_answer(self, store: ClaimStore, a: int, b: int) -> None:
        """Half of them are owned already; the second call is the first one after a lost response."""
        rng, count = np.random.default_rng(1), self.large_call
        keys = np.unique(rng.integers(0, 2**63, count + count // 10)).astype(">u8")[:count]
        keys = np.stack([rng.permutation(keys), keys], axis=1).view(np.uint8)
        owners = np.frombuffer(b"".join(owner(b, n, fingerprint=n) for n in range(count)), OWNER)
        early = np.frombuffer(b"".join(owner(a, n) for n in range(count // 2)), OWNER)
        store.claim(Claims(keys=keys[::2], owners=early), WINDOW_US)
        for _ in range(2):
            answer = store.claim(Claims(keys=keys, owners=owners), WINDOW_US)
            assert answer[::2].tobytes() == early.tobytes()
            assert answer[1::2].tobytes() == owners[1::2].tobytes()


class EmbeddedClaimStoreTests(ClaimStoreSuite):
    """What a store for one process does besides."""

    def test_claims_ahead_of_the_marked_commit_can_still_be_withdrawn(self, store: ClaimStore, a: int) -> None:
        """Claims run ahead of commits by several batches."""
        self.claim(store, (1, owner(a, 1)))
        self.claim(store, (2, owner(a, 2)))
        store.mark_seen(1, {A: "2"})
        again = self.reopen(store) if self.lasts else store
        assert again.withdraw({A: "2"}) == 1
        assert self.claim(again, (1, owner(a, 8)), (2, owner(a, 9))) == [owner(a, 1), owner(a, 9)]
        again.close()

    def test_an_uncommitted_claim_over_an_expired_one_gives_it_back(self, store: ClaimStore, a: int, b: int) -> None:
        """The committed owner still counts for copies within its window."""
        committed, newer, newest = (
            owner(a, 1),
            owner(b, 2, arrived=NOON_US + 8 * DAY_US),
            owner(b, 3, arrived=NOON_US + 16 * DAY_US),
        )
        for claimed in (committed, newer, newest):
            assert self.claim(store, (1, claimed)) == [claimed]
        assert store.withdraw({A: "2", B: "2"}) > 0
        assert self.claim(store, (1, owner(b, 4, arrived=NOON_US + DAY_US))) == [committed]

    def test_loading_is_idempotent_and_the_later_call_counts(self, store: ClaimStore, a: int, b: int) -> None:
        """Also where the later owner arrived in an earlier time bucket."""
        first, second = owner(a, 1), owner(b, 2, arrived=NOON_US - 2 * DAY_US)
        for _ in range(2):
            store.load(claims_of([(1, first), (2, first)]))
        store.load(claims_of([(1, second)]))
        assert self.claim(store, (1, first), (2, second)) == [second, first]

    def test_expiry_drops_whole_buckets_only(self, store: ClaimStore, a: int) -> None:
        """An owner stays while any owner of its bucket may be wanted."""
        old, middle = owner(a, 1, arrived=NOON_US - 2 * DAY_US), owner(a, 2, arrived=NOON_US)
        self.claim(store, (1, old), (2, middle))
        store.expire(NOON_US + 1)
        other = owner(a, 9, arrived=NOON_US)
        assert self.claim(store, (2, other)) == [middle]
        assert self.claim(store, (1, other)) == [other]
        store.expire(NOON_US + DAY_US)
        assert self.claim(store, (2, other)) == [other]

    def test_what_was_dropped_is_told_until_the_store_is_renewed(self, store: ClaimStore, a: int) -> None:
        """So that nobody judges by what is not there any more."""
        assert store.expired_us == 0
        self.claim(store, (1, owner(a, 1)))
        store.expire(NOON_US + 2 * DAY_US)
        again = self.reopen(store) if self.lasts else store
        assert NOON_US < again.expired_us <= NOON_US + 2 * DAY_US
        again.renew()
        assert again.expired_us == 0
        again.close()


class LastingClaimStoreTests(ClaimStoreSuite):
    """What a store does besides whose claims outlive the object."""

    def test_what_was_synced_is_there_after_reopening(self, store: ClaimStore, a: int) -> None:
        """Small calls and large ones alike."""
        few = [(key, owner(a, key)) for key in range(10)]
        many = [(key, owner(a, key)) for key in range(10, 5_010)]
        self.claim(store, *few)
        self.claim(store, *many)
        again = self.reopen(store)
        stranger = owner(a, 1_000_000)
        owners = self.claim(again, *[(key, stranger) for key, _ in [*few, *many]], (6_000, stranger))
        assert owners == [held for _, held in [*few, *many]] + [stranger]
        again.close()
