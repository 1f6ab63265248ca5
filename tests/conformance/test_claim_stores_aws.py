"""The claim stores on AWS pass the same suite, on a server that speaks DynamoDB's and S3's protocols."""

import pytest

from headgate.claims.dynamodb import DynamoDbClaimStore
from headgate.claims.s3 import S3ClaimStore
from headgate.testing.aws_claims import LAKE_ID, make_prefix, make_table, open_dynamodb, open_s3
from headgate.testing.server_moto import Moto
from headgate.testing.shared_claim_store_suite import ServedClaimStoreTests

pytestmark = pytest.mark.usefixtures("aws_credentials")


class TestDynamoDb(ServedClaimStoreTests):
    large_call = raced_ids = 120

    @pytest.fixture(autouse=True)
    def _table(self, moto: Moto) -> None:
        self.moto, self.table = moto, make_table(moto)

    def open_again(self) -> DynamoDbClaimStore:
        return open_dynamodb(self.moto, self.table)

    def lose(self) -> None:
        self.moto.client("dynamodb").delete_item(TableName=self.table, Key={"pk": {"S": LAKE_ID}})


class TestS3(ServedClaimStoreTests):
    large_call = raced_ids = 120

    @pytest.fixture(autouse=True)
    def _bucket(self, moto: Moto) -> None:
        self.moto, self.uri = moto, make_prefix(moto)

    def open_again(self) -> S3ClaimStore:
        return open_s3(self.moto, self.uri)

    def lose(self) -> None:
        bucket, prefix = self.uri.removeprefix("s3://").split("/", 1)
        self.moto.client("s3").delete_object(Bucket=bucket, Key=f"{prefix}/state/{LAKE_ID}/generation")
