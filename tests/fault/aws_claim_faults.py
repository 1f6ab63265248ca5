"""What befalls every claim store on AWS: races, throttling, lost answers, lost rights, a generation that ends."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import pytest

from headgate.claims.singly import SinglyClaimStore
from headgate.errors import CommitConflict, PermanentError, TransientError
from headgate.testing.aws_claims import TTL_US, SettableClock
from headgate.testing.claim_store_suite import DAY_US, NOON_US, WINDOW_US, A, B, claims_of, owner
from headgate.testing.sdk_faults import SdkFault, SdkFaults
from headgate.testing.server_moto import Moto

KEYS = range(24)


class AwsClaimFaults(ABC):
    put: ClassVar[str]  # API name of the request that writes a claim
    get: ClassVar[str]  # of the one that reads the marker
    throttled: ClassVar[tuple[int, str]]  # status and code
    denied: ClassVar[tuple[int, str]]
    credentials_expired: ClassVar[tuple[int, str]]

    @abstractmethod
    def make(self, moto: Moto) -> str:
        """A new, empty place for claims."""

    @abstractmethod
    def open(self, *, max_attempts: int = 1) -> SinglyClaimStore:
        """One more client of this test's place."""

    @abstractmethod
    def empty(self) -> None:
        """Lose all data behind the clients' backs."""

    @pytest.fixture(autouse=True)
    def _place(self, moto: Moto, aws_credentials: None) -> None:
        self.moto, self.place = moto, self.make(moto)
        self.clock = SettableClock(NOON_US)

    @pytest.fixture
    def store(self) -> Iterator[SinglyClaimStore]:
        opened = self.open()
        yield opened
        opened.close()

    @pytest.fixture
    def other(self) -> Iterator[SinglyClaimStore]:
        opened = self.open()
        yield opened
        opened.close()

    def claim(self, store, held, keys=KEYS):
        answer = store.claim(claims_of([(key, held) for key in keys]), WINDOW_US)
        return [row.tobytes() for row in answer]

    def refuse(self, store, reason, **options):
        status, code = reason
        faults = SdkFaults(store.client)
        faults.script = [SdkFault(operation=self.put, status=status, code=code, **options)]
        return faults

    def test_a_generation_that_ends_in_the_middle_of_a_call_refuses_it(self, store, other):
        mine = owner(store.shard_number(A), 1)
        other.mark_seen(1, {})
        before, is_renewed = store.generation, []

        def renew(operation):
            if operation == self.put and not is_renewed:
                is_renewed.append(True)
                other.renew()

        SdkFaults(store.client).before = renew
        with pytest.raises(CommitConflict):
            self.claim(store, mine)
        assert store.generation == other.generation != before
        assert self.claim(other, owner(1, 5)) == [owner(1, 5)] * len(KEYS)  # nothing of it reached the new one

    def test_a_store_that_was_emptied_says_so_and_begins_anew(self, store):
        mine, before = owner(store.shard_number(A), 1), store.generation
        store.mark_seen(3, {})
        self.empty()
        assert store.generation != before
        with pytest.raises(CommitConflict):
            self.claim(store, mine)
        again = self.open()
        assert (again.seen, again.generation != before) == (0, True)
        assert self.claim(again, mine) == [mine] * len(KEYS)
        again.close()

    def test_throttling_of_some_ids_is_a_transient_error_and_the_retry_finds_the_same_verdicts(self, store, other):
        mine, yours = owner(store.shard_number(A), 1), owner(store.shard_number(B), 2)
        faults = self.refuse(store, self.throttled, when=lambda number: number % 5 == 3)
        with pytest.raises(TransientError, match=self.throttled[1]):
            self.claim(store, mine)
        faults.script = []
        between = self.claim(other, yours)  # another client comes first to the rest
        assert {mine, yours} == set(between)
        assert self.claim(store, mine) == between
        assert self.claim(store, mine) == between

    def test_throttling_that_passes_is_not_seen_outside(self):
        patient = self.open(max_attempts=3)
        mine = owner(patient.shard_number(A), 1)
        faults = self.refuse(patient, self.throttled, times=2)
        assert self.claim(patient, mine, keys=[1]) == [mine]
        assert faults.sent[self.put] == 3
        patient.close()

    def test_attempts_are_bounded(self):
        patient = self.open(max_attempts=2)
        mine = owner(patient.shard_number(A), 1)
        faults = self.refuse(patient, self.throttled)
        with pytest.raises(TransientError):
            self.claim(patient, mine, keys=[1])
        assert faults.sent[self.put] == 2
        patient.close()

    def test_a_claim_whose_answer_is_lost_is_found_by_the_sdks_own_retry(self):
        patient = self.open(max_attempts=2)
        mine = owner(patient.shard_number(A), 1)
        faults = SdkFaults(patient.client)
        faults.script = [SdkFault(operation=self.put, effect="lose", times=1)]
        assert self.claim(patient, mine, keys=[1]) == [mine]
        assert faults.sent[self.put] == 2
        patient.close()

    def test_claims_whose_answers_are_lost_are_found_by_the_next_call(self, store, other):
        mine, yours = owner(store.shard_number(A), 1), owner(store.shard_number(B), 2)
        faults = SdkFaults(store.client)
        faults.script = [SdkFault(operation=self.put, effect="lose")]
        with pytest.raises(TransientError):
            self.claim(store, mine)
        faults.script = []
        between = self.claim(other, yours)
        assert mine in between  # what was applied stands
        assert self.claim(store, mine) == between

    def test_a_replacement_whose_answer_is_lost_is_found(self, store, other):
        old = owner(store.shard_number(A), 1)
        late = owner(store.shard_number(B), 2, arrived=NOON_US + WINDOW_US + 1)
        self.claim(other, old)
        patient = self.open(max_attempts=2)
        faults = SdkFaults(patient.client)
        is_swap = {"PutItem": lambda number: number == 0, "PutObject": lambda number: number == 1}[self.put]
        faults.script = [SdkFault(operation=self.put, effect="lose", when=is_swap)]
        assert self.claim(patient, late, keys=[1]) == [late]
        assert self.claim(other, late, keys=[1]) == [late]
        patient.close()

    def test_a_take_over_whose_answer_is_lost_is_found(self, store):
        held, heir = owner(store.shard_number(A), 1), owner(store.shard_number(B), 2)
        self.claim(store, held, keys=[1])
        patient = self.open(max_attempts=2)
        SdkFaults(patient.client).script = [SdkFault(operation=self.put, effect="lose", times=1)]
        answer = patient.take_over(claims_of([(1, heir)]), claims_of([(1, held)]).owners)
        assert answer[0].tobytes() == heir
        patient.close()

    def test_a_renewal_that_another_client_was_quicker_with_joins_it(self, store, other):
        store.mark_seen(1, {})
        before, is_renewed = store.generation, []

        def renew(operation):
            if operation == self.put and not is_renewed:
                is_renewed.append(True)
                other.renew()
                other.mark_seen(9, {})

        SdkFaults(store.client).before = renew
        store.renew()
        assert store.generation == other.generation != before
        assert store.seen == 9

    def test_a_renewal_whose_answer_is_lost_begins_one_generation(self, store):
        patient, before = self.open(max_attempts=2), store.generation
        patient.mark_seen(1, {})
        faults = SdkFaults(patient.client)
        faults.script = [SdkFault(operation=self.put, effect="lose", times=1)]
        patient.renew()
        assert patient.generation == store.generation != before
        assert faults.sent[self.put] == 2
        patient.close()

    def test_a_shard_number_whose_answer_is_lost_is_the_same(self, store):
        patient = self.open(max_attempts=2)
        SdkFaults(patient.client).script = [SdkFault(operation=self.put, effect="lose", times=1)]
        assert patient.shard_number(A) == store.shard_number(A)
        patient.close()

    @pytest.mark.parametrize("reason", ["denied", "credentials_expired"])
    def test_rights_that_are_lost_are_waited_for(self, store, reason):
        mine = owner(store.shard_number(A), 1)
        faults = self.refuse(store, getattr(self, reason))
        with pytest.raises(TransientError, match="Headgate tries again"):
            self.claim(store, mine)
        faults.script = []
        assert self.claim(store, mine) == [mine] * len(KEYS)

    def test_a_request_that_the_service_calls_wrong_stops_the_run(self, store):
        mine = owner(store.shard_number(A), 1)
        self.refuse(store, (400, "ValidationException"))
        with pytest.raises(PermanentError, match="ValidationException"):
            self.claim(store, mine)

    def test_after_a_failure_no_new_request_is_begun(self, store):
        mine = owner(store.shard_number(A), 1)
        faults = self.refuse(store, self.denied, times=1)
        with pytest.raises(TransientError):
            self.claim(store, mine, keys=range(200))
        assert faults.sent[self.put] < 100  # each of the other threads would go on to its 50th

    def test_a_marker_that_cannot_be_read_fails_the_call(self, store):
        mine = owner(store.shard_number(A), 1)
        faults = SdkFaults(store.client)
        faults.script = [SdkFault(operation=self.get, status=self.denied[0], code=self.denied[1])]
        with pytest.raises(TransientError):
            self.claim(store, mine)
        assert self.put not in faults.sent

    def test_a_young_generation_has_forgotten_nothing_and_an_old_one_what_is_older_than_the_claims_live(self, store):
        self.clock.us = NOON_US + TTL_US - 1
        assert store.expired_us == 0
        self.clock.us = NOON_US + TTL_US + DAY_US
        assert store.expired_us == NOON_US + DAY_US
        store.mark_seen(1, {})
        store.renew()
        assert store.expired_us == 0
