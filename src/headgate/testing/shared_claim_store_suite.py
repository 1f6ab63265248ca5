"""What a claim store for several clients at once must do besides (see claim_store_suite.py)."""

# ruff: noqa: S101 (these are tests)
from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

import numpy as np
import pytest

from headgate.errors import CommitConflict
from headgate.ports import ClaimStore
from headgate.records import Claims, Shard
from headgate.testing.claim_store_suite import (
    DAY_US,
    NOON_US,
    WINDOW_US,
    A,
    B,
    ClaimStoreSuite,
    claims_of,
    keys_from,
    owner,
)

T = TypeVar("T")


def at_once(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Run the calls in threads that start together; their answers in order."""
    start = Barrier(len(calls))

    def run(call: Callable[[], T]) -> T:
        start.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


class SharedClaimStoreTests(ClaimStoreSuite):
    """What every store does that is not for one process alone; `open_again` answers while others are open."""

    is_shared = True
    raced_ids = 3_000  # fewer where every id is a request to a slow emulator

    def test_two_clients_see_one_owner(self, store: ClaimStore, a: int) -> None:
        """A shared store is one store for all its clients."""
        other = self.open_again()
        held = owner(a, 1)
        assert self.claim(store, (1, held)) == [held]
        assert self.claim(other, (1, owner(other.shard_number(B), 2))) == [held]
        assert (other.shard_number(A), other.generation) == (a, store.generation)
        other.close()

    def test_loading_leaves_an_owner_that_arrived_later(self, store: ClaimStore, a: int, b: int) -> None:
        """Several clients load at once, and others claim already: order decides nothing."""
        early, late = owner(a, 1), owner(b, 2, arrived=NOON_US + WINDOW_US + 1)
        for first, second in [(early, late), (late, early)]:
            key = 1 if first == early else 2
            store.load(claims_of([(key, first)]))
            store.load(claims_of([(key, second)]))
            assert self.claim(store, (key, owner(a, 7, arrived=NOON_US + WINDOW_US))) == [late]

    def test_loading_an_owner_again_leaves_it(self, store: ClaimStore, a: int) -> None:
        """A claim that was committed comes back from the lake as it was made."""
        held = owner(a, 1, fingerprint=7)
        self.claim(store, (1, held))
        store.load(claims_of([(1, held)]))
        assert self.claim(store, (1, owner(a, 1))) == [held]

    def test_loading_while_another_client_claims_ends_in_one_owner(self, store: ClaimStore, a: int, b: int) -> None:
        """What the loader enters has arrived earlier; who claims first is told of the owner either way."""
        other = self.open_again()
        numbers = range(self.raced_ids)
        loaded = claims_of([(n, owner(a, n)) for n in numbers])
        claimed = claims_of([(n, owner(b, n, arrived=NOON_US + 1)) for n in reversed(numbers)])
        _, answer = at_once([lambda: store.load(loaded), lambda: other.claim(claimed, WINDOW_US)])
        final = [row.tobytes() for row in store.claim(claimed, WINDOW_US)]
        assert answer is not None
        assert [row.tobytes() for row in answer] == final
        other.close()


class ServedClaimStoreTests(SharedClaimStoreTests):
    """What a store on a server does besides: clients of their own race, and the server's data may be lost."""

    @abstractmethod
    def lose(self) -> None:
        """Delete the lake's marker of the generation in force, as a server does that lost its data."""

    def test_of_two_clients_that_race_exactly_one_wins_each_id(self, store: ClaimStore, a: int, b: int) -> None:
        """And both are told the same owner."""
        other = self.open_again()
        numbers = range(self.raced_ids)
        mine = claims_of([(n, owner(a, n)) for n in numbers])
        theirs = claims_of([(n, owner(b, n)) for n in numbers])
        backwards = Claims(keys=theirs.keys[::-1], owners=theirs.owners[::-1])
        first, second = at_once(
            [lambda: store.claim(mine, WINDOW_US), lambda: other.claim(backwards, WINDOW_US)],
        )
        assert first.tobytes() == np.ascontiguousarray(second[::-1]).tobytes()
        assert set(first["shard"].tolist()) <= {a, b}
        assert [row.tobytes() for row in first] == [
            (mine if row["shard"] == a else theirs).owners[n].tobytes() for n, row in enumerate(first)
        ]
        other.close()

    def test_of_two_heirs_that_race_exactly_one_takes_over(self, store: ClaimStore, a: int, b: int) -> None:
        """Compare-and-swap, also between clients."""
        other = self.open_again()
        held = claims_of([(n, owner(a, n)) for n in range(100)])
        store.claim(held, WINDOW_US)
        heirs = [claims_of([(n, owner(b, n + 1_000 * k)) for n in range(100)]) for k in (1, 2)]
        first, second = at_once(
            [
                lambda: store.take_over(heirs[0], held.owners),
                lambda: other.take_over(heirs[1], held.owners),
            ]
        )
        assert first.tobytes() == second.tobytes()
        assert set(first["shard"].tolist()) == {b}
        other.close()

    def test_clients_that_race_give_a_shard_one_number(self, store: ClaimStore) -> None:
        """And no two shards the same."""
        other = self.open_again()
        shards = [Shard("stream", f"s{n}") for n in range(8)]
        first, second = at_once(
            [
                lambda: {shard: store.shard_number(shard) for shard in shards},
                lambda: {shard: other.shard_number(shard) for shard in reversed(shards)},
            ]
        )
        assert first == second
        assert len(set(first.values())) == len(shards)
        assert [other.shard_of(first[shard]) for shard in shards] == shards
        other.close()

    def test_what_was_seen_is_known_to_all_and_only_grows(self, store: ClaimStore) -> None:
        """A slow client does not take back what a fast one said."""
        other = self.open_again()
        other.mark_seen(12, {})
        store.mark_seen(9, {})
        assert (store.seen, other.seen) == (12, 12)
        other.close()

    def test_clients_that_renew_at_once_get_one_new_generation(self, store: ClaimStore, a: int) -> None:
        """In which nothing is owned."""
        other = self.open_again()
        before = store.generation
        store.mark_seen(1, {})
        self.claim(store, (1, owner(a, 1)))
        at_once([store.renew, other.renew])
        assert store.generation == other.generation != before
        assert (store.seen, other.seen) == (0, 0)
        heir = owner(store.shard_number(B), 2)
        assert self.claim(other, (1, heir)) == [heir]
        other.close()

    def test_a_generation_that_was_never_filled_is_kept(self, store: ClaimStore) -> None:
        """Else the clients that find an empty store would throw each other's work away, one after the other."""
        before = store.generation
        store.renew()
        assert store.generation == before
        store.mark_seen(1, {})
        store.renew()
        assert store.generation != before

    def test_a_client_of_an_earlier_generation_changes_nothing(self, store: ClaimStore, a: int) -> None:
        """Each of its calls says that the lake must fill the store first."""
        store.mark_seen(3, {})
        other = self.open_again()
        other.renew()
        self._refuses(store, a)
        assert store.generation == other.generation
        assert other.seen == 0
        heir = owner(other.shard_number(B), 5)
        assert self.claim(other, (1, heir), (2, heir)) == [heir, heir]
        other.close()

    def test_a_store_that_lost_its_data_refuses_every_call_and_begins_anew_when_it_is_opened(
        self, store: ClaimStore, a: int
    ) -> None:
        """What was claimed is not to be trusted, though some of it may be there."""
        store.mark_seen(3, {})
        before = store.generation
        self.claim(store, (1, owner(a, 1)))
        self.lose()
        self._refuses(store, a)
        assert store.generation != before
        again = self.open_again()
        assert again.generation != before
        assert again.seen == 0
        heir = owner(again.shard_number(B), 5)
        assert self.claim(again, (1, heir)) == [heir]
        again.close()

    def test_nothing_has_expired_in_a_young_generation(self, store: ClaimStore) -> None:
        """Whatever its claims' arrival: they live from the moment they were made."""
        assert store.expired_us == 0
        store.expire(NOON_US + 100 * DAY_US)
        assert store.expired_us == 0

    def _refuses(self, store: ClaimStore, a: int) -> None:
        claims = Claims(keys=keys_from([1, 2]), owners=claims_of([(1, owner(a, 1)), (2, owner(a, 2))]).owners)
        calls: list[Callable[[], object]] = [
            lambda: store.claim(claims, WINDOW_US),
            lambda: store.take_over(claims, claims.owners),
            lambda: store.release(claims),
            lambda: store.load(claims),
            lambda: store.mark_seen(77, {}),
            lambda: store.shard_number(Shard("stream", "never seen")),
            lambda: store.seen,
            lambda: store.expired_us,
        ]
        for call in calls:
            with pytest.raises(CommitConflict):
                call()
