"""The claim store in DynamoDB: how it opens, which table it takes, shards whose digests collide."""

from uuid import uuid4

import pytest

from headgate.claims.dynamodb import DynamoDbClaimStore
from headgate.errors import ConfigError
from headgate.records import Shard
from headgate.testing.aws_claims import LAKE_ID, TTL_US, make_table, open_dynamodb
from headgate.testing.claim_store_suite import A, B
from headgate.testing.server_moto import REGION, Moto

pytestmark = pytest.mark.usefixtures("aws_credentials")


def test_a_table_that_does_not_exist_is_named_with_the_commands_that_make_it(moto: Moto):
    with pytest.raises(ConfigError) as refused:
        open_dynamodb(moto, "no-such-table")
    said = str(refused.value)
    which = f"--region {REGION} --table-name no-such-table"
    assert f"aws dynamodb create-table {which} --billing-mode PAY_PER_REQUEST" in said
    assert f"aws dynamodb update-time-to-live {which}" in said
    assert "AttributeName=expires" in said
    assert "\n" not in said


@pytest.mark.parametrize(
    "schema",
    [
        [("id", "S", "HASH")],
        [("pk", "B", "HASH")],
        [("pk", "S", "HASH"), ("sk", "S", "RANGE")],
    ],
)
def test_a_table_with_another_key_is_refused(moto: Moto, schema):
    name = f"odd-{uuid4().hex}"
    moto.client("dynamodb").create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": part, "AttributeType": kind} for part, kind, _ in schema],
        KeySchema=[{"AttributeName": part, "KeyType": role} for part, _, role in schema],
    )
    with pytest.raises(ConfigError, match=r"another key than pk \(string\)"):
        open_dynamodb(moto, name)


def test_a_missing_region_is_a_wrong_configuration(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.delenv("AWS_REGION", raising=False)
    with pytest.raises(ConfigError, match="region"):
        DynamoDbClaimStore("table", lake_id=LAKE_ID, ttl_us=TTL_US)


def test_lakes_in_one_table_do_not_see_each_other(moto: Moto):
    table = make_table(moto)
    mine = open_dynamodb(moto, table)
    yours = DynamoDbClaimStore(table, lake_id="lake-2", ttl_us=TTL_US, region=REGION, endpoint_url=moto.endpoint_url)
    mine.mark_seen(4, {})
    number = mine.shard_number(A)
    assert yours.generation != mine.generation
    assert yours.seen == 0
    with pytest.raises(KeyError):
        yours.shard_of(number)
    mine.close()
    yours.close()


def test_shards_whose_digests_collide_get_numbers_of_their_own(moto: Moto):
    """Two names with one digest of 32 bits are rare, but lakes have many files."""
    table = make_table(moto)
    store, other = open_dynamodb(moto, table), open_dynamodb(moto, table)
    number = store.shard_number(A)
    taken = Shard("stream", "in the way")
    moto.client("dynamodb").put_item(
        TableName=table,
        Item={
            "pk": {"S": f"{LAKE_ID}/{store.generation}/shard/{number}"},
            "text": {"S": '["stream", "in the way"]'},
        },
    )
    assert other.shard_number(A) == number + 1
    assert (other.shard_of(number), other.shard_of(number + 1)) == (taken, A)
    assert other.shard_number(B) not in (number, number + 1)
    store.close()
    other.close()


def test_closing_twice_is_closing_once(moto: Moto):
    store = open_dynamodb(moto, make_table(moto))
    assert store.statistics()["claims"] >= 0
    store.close()
    store.close()
