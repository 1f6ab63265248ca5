"""Erasure of a lake on S3: the same promises as on local disk."""

import uuid

import pytest

from headgate.lake.lake import open_lake
from headgate.lake.options import LakeOptions
from headgate.lake.s3 import S3Storage
from headgate.lake.s3_options import S3Options
from headgate.testing.build_rows import build_all
from headgate.testing.compaction import compacted, now_us
from headgate.testing.erasing import PERSON, admit, erased, ledger_breaches, others, traces


@pytest.mark.parametrize("table_format", ["delta", "json"])
def test_no_byte_of_the_person_is_left_in_the_bucket(moto, aws_credentials, table_format):
    bucket = moto.make_bucket(f"lake-{uuid.uuid4().hex}")
    storage = S3Storage(f"s3://{bucket}/some/lake", S3Options(endpoint_url=moto.endpoint_url, is_http_allowed=True))
    lake = open_lake(storage, table_format, LakeOptions(), now_us=now_us)
    try:
        admit(lake, ["ann", PERSON])
        admit(lake, [PERSON], event_type="theirs")
        if table_format == "delta":
            compacted(storage=storage)
        admit(lake, ["bob", PERSON])
        build_all(storage, lake.about, lake)
        before = others(storage)
        assert erased(storage)["tables"]["events"]["rows"] == 3
        assert traces(storage) == []
        assert others(storage) == before
        assert ledger_breaches(storage) == []
        assert erased(storage) is None
        admit(lake, ["carl"])
        assert len(others(storage)["events"]) == 3
    finally:
        lake.close()
