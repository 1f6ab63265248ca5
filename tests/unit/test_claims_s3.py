"""The claim store in S3: which URIs it takes, what it leaves in the bucket."""

import json

import pytest

from headgate.claims.s3 import S3ClaimStore
from headgate.errors import ConfigError
from headgate.records import OWNER
from headgate.testing.aws_claims import LAKE_ID, TTL_US, make_prefix, open_s3
from headgate.testing.claim_store_suite import WINDOW_US, A, claims_of, owner
from headgate.testing.server_moto import Moto

pytestmark = pytest.mark.usefixtures("aws_credentials")


@pytest.mark.parametrize("uri", ["s3://", "s3:///prefix", "bucket/prefix", "gs://bucket/prefix"])
def test_a_uri_without_a_bucket_is_refused(uri):
    with pytest.raises(ConfigError, match="s3://bucket/prefix"):
        S3ClaimStore(uri, lake_id=LAKE_ID, ttl_us=TTL_US)


@pytest.mark.parametrize(
    ("tail", "prefix"), [("", ""), ("/", ""), ("/one", "one/"), ("/one/two/", "one/two/")], ids=repr
)
def test_the_prefix_may_be_empty_and_end_in_a_slash(moto: Moto, tail, prefix):
    bucket = make_prefix(moto).split("/")[2]
    store = open_s3(moto, f"s3://{bucket}{tail}")
    held = owner(store.shard_number(A), 1)
    store.claim(claims_of([(1, held)]), WINDOW_US)
    client = moto.client("s3")
    claims = client.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}claims/")["Contents"]
    assert [(each["Key"], each["Size"]) for each in claims] == [
        (f"{prefix}claims/{LAKE_ID}/{store.generation}/00/{1:032x}", OWNER.itemsize)
    ]
    marker = client.get_object(Bucket=bucket, Key=f"{prefix}state/{LAKE_ID}/generation")["Body"].read()
    assert json.loads(marker)["generation"] == store.generation
    store.close()


def test_a_released_claim_leaves_an_empty_object_that_counts_as_absent(moto: Moto):
    store = open_s3(moto, make_prefix(moto))
    held = claims_of([(1, owner(store.shard_number(A), 1))])
    heir = claims_of([(1, owner(store.shard_number(A), 2))])
    store.claim(held, WINDOW_US)
    assert store.release(held) == 1
    assert store.take_over(heir, held.owners)[0].tobytes() == heir.owners[0].tobytes()
    assert store.release(heir) == 1
    store.load(held)
    assert store.claim(heir, WINDOW_US)[0].tobytes() == held.owners[0].tobytes()
    assert store.statistics() == {}
    store.close()
    store.close()
