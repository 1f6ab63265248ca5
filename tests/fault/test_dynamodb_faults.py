"""The claim store in DynamoDB when requests are throttled, answers are lost, rights are lost, the table is."""

import pytest
from aws_claim_faults import AwsClaimFaults

from headgate.claims.dynamodb import DynamoDbClaimStore
from headgate.errors import CommitConflict, ConfigError, PermanentError
from headgate.testing.aws_claims import LAKE_ID, TTL_US, make_table, open_dynamodb
from headgate.testing.claim_store_suite import NOON_US, A, B, claims_of, owner
from headgate.testing.server_moto import Moto

SECOND_US = 1_000_000


class TestDynamoDb(AwsClaimFaults):
    put, get = "PutItem", "GetItem"
    throttled = (400, "ProvisionedThroughputExceededException")
    denied = (400, "AccessDeniedException")
    credentials_expired = (400, "ExpiredTokenException")

    def make(self, moto: Moto) -> str:
        return make_table(moto)

    def open(self, *, max_attempts: int = 1) -> DynamoDbClaimStore:
        return open_dynamodb(self.moto, self.place, self.clock, max_attempts=max_attempts)

    def empty(self) -> None:
        self.moto.client("dynamodb").delete_table(TableName=self.place)
        make_table(self.moto, self.place)

    def test_an_expired_item_that_is_not_deleted_yet_counts_as_absent(self, store, other):
        first, second = owner(store.shard_number(A), 1), owner(store.shard_number(B), 2)
        self.claim(store, first)
        self.clock.us = NOON_US + TTL_US - 1
        assert set(self.claim(other, second)) == {first}
        self.clock.us = NOON_US + TTL_US + SECOND_US
        assert set(self.claim(other, second)) == {second}
        assert set(self.claim(store, first)) == {second}

    def test_expiry_is_written_where_ttl_deletes_by_it(self, store):
        self.claim(store, owner(store.shard_number(A), 1), keys=[1])
        self.claim(store, owner(store.shard_number(A), 2, arrived=NOON_US + 1), keys=[2])
        items = self.moto.client("dynamodb").scan(TableName=self.place)["Items"]
        lasting = {item["pk"]["S"]: int(item["expires"]["N"]) for item in items if "expires" in item}
        prefix, end = f"{LAKE_ID}/{store.generation}", (NOON_US + TTL_US) // SECOND_US
        assert lasting == {f"{prefix}/{1:032x}": end, f"{prefix}/{2:032x}": end + 1}
        assert len(items) == 4  # the marker and the shard never expire

    def test_a_table_that_is_gone_stops_the_run_and_says_how_to_make_it(self, store):
        mine = claims_of([(1, owner(store.shard_number(A), 1))])
        self.moto.client("dynamodb").delete_table(TableName=self.place)
        with pytest.raises(PermanentError, match="ResourceNotFoundException"):
            store.claim(mine, 1)
        with pytest.raises(ConfigError, match=f"create-table --region eu-central-1 --table-name {self.place}.*expires"):
            self.open()

    def test_a_table_that_was_restored_from_a_backup_has_lost_what_came_after_it(self, store):
        mine, before = owner(store.shard_number(A), 1), store.generation
        self.claim(store, mine)
        client = self.moto.client("dynamodb")
        backup = client.scan(TableName=self.place)["Items"]
        self.empty()
        for item in backup:
            client.put_item(TableName=self.place, Item=item)
        again = self.open()
        assert again.generation != before
        assert self.claim(again, owner(1, 9)) == [owner(1, 9)] * 24
        with pytest.raises(CommitConflict):
            self.claim(store, mine)
        again.close()
