"""Filing between two prefixes of S3: what Firehose delivered to one becomes rows of the lake in the other."""

import uuid

import pytest

from headgate.jobs.transform import FIREHOSE
from headgate.lake.s3 import S3Storage
from headgate.lake.s3_options import S3Options
from headgate.records import Counts
from headgate.testing.filing_world import FilingWorld, event, record
from headgate.testing.records import ARRIVED_US


@pytest.fixture
def bucket(moto, aws_credentials):
    return moto.make_bucket(f"firehose-{uuid.uuid4().hex}")


@pytest.fixture
def storage(moto, bucket):
    options = S3Options(endpoint_url=moto.endpoint_url, is_http_allowed=True)
    return lambda prefix: S3Storage(f"s3://{bucket}/{prefix}", options)


@pytest.mark.parametrize("table_format", ["delta", "parquet", "json"])
def test_delivered_objects_on_s3_are_filed_once(moto, bucket, storage, tmp_path, table_format):
    world = FilingWorld(
        folder=tmp_path, table_format=table_format, storages=(storage("lake"), storage("delivered")), is_gzip=True
    )
    odd = {"event_name": "ä/b=c d%2F:x"}
    parts = [event(1), event(2, **odd), event(1), b"rubbish", event(3, created_at=1_790_000_000_000)]
    records = [record(n, data, ARRIVED_US + n * 1_000) for n, data in enumerate(parts)]
    world.deliver(records)
    # As Firehose does it, by another client: the escaped type stands in the key as it is.
    moto.client("s3").put_object(
        Bucket=bucket, Key="delivered/events/event_type=%C3%A4%2Fb/again", Body=world.delivery.get(first(world))
    )
    world.platform.store.renew()
    world.deliver([record(9, event(2), ARRIVED_US + 9_000)])

    filed = world.file()

    assert (filed.counts, filed.redelivered, filed.accepted_again) == (Counts(6, 3, 2, 1), 1, 1)
    assert world.file().entries == 0
    assert world.ids() == ["id-1", "id-2", "id-3"]
    assert world.verify().breaches == []
    assert list(world.platform.storage.list(FIREHOSE)) != []


def first(world):
    return min(world.delivery.list(""))
