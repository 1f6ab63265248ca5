"""The claim store in S3 when conditional writes race, S3 is slow, answers or rights are lost."""

import pytest
from aws_claim_faults import AwsClaimFaults

from headgate.claims.s3 import MAX_ROUNDS, S3ClaimStore
from headgate.errors import ConfigError, TransientError
from headgate.testing.aws_claims import LAKE_ID, make_prefix, open_s3
from headgate.testing.claim_store_suite import NOON_US, WINDOW_US, A, B, claims_of, owner
from headgate.testing.sdk_faults import SdkFault, SdkFaults
from headgate.testing.server_moto import Moto


class TestS3(AwsClaimFaults):
    put, get = "PutObject", "GetObject"
    throttled = (503, "SlowDown")
    denied = (403, "AccessDenied")
    credentials_expired = (400, "ExpiredToken")

    def make(self, moto: Moto) -> str:
        return make_prefix(moto)

    def open(self, *, max_attempts: int = 1) -> S3ClaimStore:
        return open_s3(self.moto, self.place, self.clock, max_attempts=max_attempts)

    def names(self) -> list[str]:
        listed = self.moto.client("s3").list_objects_v2(Bucket=self.place.split("/")[2])
        return [each["Key"] for each in listed.get("Contents", [])]

    def empty(self) -> None:
        for name in self.names():
            self.moto.client("s3").delete_object(Bucket=self.place.split("/")[2], Key=name)

    def test_a_conflict_with_a_write_under_way_is_tried_again(self, store):
        mine = owner(store.shard_number(A), 1)
        faults = self.refuse(store, (409, "ConditionalRequestConflict"), when=lambda number: number % 2 == 0)
        assert self.claim(store, mine, keys=[1]) == [mine]
        assert faults.sent[self.put] == 2

    def test_a_conflict_that_never_ends_is_a_transient_error(self, store):
        mine = owner(store.shard_number(A), 1)
        faults = self.refuse(store, (409, "ConditionalRequestConflict"))
        with pytest.raises(TransientError, match="other clients"):
            self.claim(store, mine, keys=[1])
        assert faults.sent[self.put] == MAX_ROUNDS

    def test_claims_lie_where_one_lifecycle_rule_reaches_them_and_nothing_else(self, store):
        self.claim(store, owner(store.shard_number(A), 1), keys=[0xAB << 120])
        claims = [name for name in self.names() if name.startswith("some/prefix/claims/")]
        assert claims == [f"some/prefix/claims/{LAKE_ID}/{store.generation}/ab/ab{'0' * 30}"]
        others = [name for name in self.names() if name not in claims]
        assert all(name.startswith(f"some/prefix/state/{LAKE_ID}/") for name in others)

    def test_a_claim_that_the_rule_deletes_while_it_is_replaced_is_claimed(self, store):
        old = owner(store.shard_number(A), 1)
        late = owner(store.shard_number(B), 2, arrived=NOON_US + WINDOW_US + 1)
        self.claim(store, old, keys=[1])
        faults = SdkFaults(store.client)

        def delete(operation: str) -> None:
            if operation == self.put and faults.sent[self.put] == 2:
                client, name = self.moto.client("s3"), f"{1:032x}"
                key = next(each for each in self.names() if each.endswith(name))
                client.delete_object(Bucket=self.place.split("/")[2], Key=key)

        faults.before = delete
        assert self.claim(store, late, keys=[1]) == [late]
        assert faults.sent[self.put] == 3

    def test_a_release_whose_answer_is_lost_frees_the_id(self, store):
        mine, yours = owner(store.shard_number(A), 1), owner(store.shard_number(B), 2)
        self.claim(store, mine, keys=[1])
        patient = self.open(max_attempts=2)
        SdkFaults(patient.client).script = [SdkFault(operation=self.put, effect="lose", times=1)]
        patient.release(claims_of([(1, mine)]))
        assert self.claim(store, yours, keys=[1]) == [yours]
        patient.close()

    @pytest.mark.parametrize("ignored", ["If-None-Match", "If-Match"])
    def test_a_server_that_overwrites_in_spite_of_a_condition_is_refused(self, store, ignored, monkeypatch):
        """As some S3-compatible servers do; with them two clients would both be first."""
        put = S3ClaimStore._put

        def overwrite(self, key, body, held):
            is_ignored = (held is None) == (ignored == "If-None-Match")
            put(self, key, body, held)
            return is_ignored

        monkeypatch.setattr(S3ClaimStore, "_put", overwrite)
        with pytest.raises(ConfigError, match="overwrites"):
            self.open()

    def test_a_bucket_that_does_not_exist_is_named(self):
        with pytest.raises(ConfigError, match=r"s3://no-such-bucket/x/ does not exist.*aws s3 mb"):
            open_s3(self.moto, "s3://no-such-bucket/x")
