"""Every storage passes the conformance suite of the Storage Protocol."""

import uuid

import pytest

from headgate.lake.local import LocalStorage
from headgate.lake.s3 import S3Storage
from headgate.lake.s3_options import S3Options
from headgate.testing.storage_suite import StorageSuite


class TestLocal(StorageSuite):
    @pytest.fixture
    def storage(self, tmp_path):
        return LocalStorage(tmp_path / "lake")


class TestS3(StorageSuite):
    @pytest.fixture
    def storage(self, moto, aws_credentials):
        bucket = moto.make_bucket(f"storage-{uuid.uuid4().hex}")
        return S3Storage(f"s3://{bucket}/some/lake/", S3Options(endpoint_url=moto.endpoint_url, is_http_allowed=True))


class TestWholeBucket(TestS3):
    @pytest.fixture
    def storage(self, moto, aws_credentials):
        bucket = moto.make_bucket(f"storage-{uuid.uuid4().hex}")
        return S3Storage(f"s3://{bucket}", S3Options(endpoint_url=moto.endpoint_url, is_http_allowed=True))
