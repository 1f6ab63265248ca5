"""Claim stores of AWS on an emulator: a table or prefix of its own, and clients that wait little."""

from __future__ import annotations

from uuid import uuid4

from headgate.claims.dynamodb import DynamoDbClaimStore
from headgate.claims.s3 import S3ClaimStore
from headgate.testing.claim_store_suite import WINDOW_US
from headgate.testing.server_moto import REGION, Moto

TTL_US = 2 * WINDOW_US
WORKERS = 4  # the emulator answers one request at a time
LAKE_ID = "lake-1"


class SettableClock:
    """A wall clock that stands still until it is set.

    Attributes:
        us: microseconds since 1970 UTC.
    """

    def __init__(self, us: int) -> None:
        """Begin at a time."""
        self.us = us

    def __call__(self) -> int:
        """The time."""
        return self.us


def make_table(moto: Moto, name: str | None = None) -> str:
    """Make a table as the store's own message says, and return its name."""
    name = name or f"claims-{uuid4().hex}"
    client = moto.client("dynamodb")
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
    )
    client.update_time_to_live(TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires"})
    client.close()
    return name


def make_prefix(moto: Moto) -> str:
    """Make a bucket and return the URI of a prefix in it."""
    return f"s3://{moto.make_bucket(f'claims-{uuid4().hex}')}/some/prefix"


def open_dynamodb(
    moto: Moto, table: str, clock: SettableClock | None = None, *, max_attempts: int = 2, workers: int = WORKERS
) -> DynamoDbClaimStore:
    """One more client of a table."""
    options = {} if clock is None else {"now_us": clock}
    return DynamoDbClaimStore(
        table,
        lake_id=LAKE_ID,
        ttl_us=TTL_US,
        region=REGION,
        endpoint_url=moto.endpoint_url,
        workers=workers,
        max_attempts=max_attempts,
        **options,
    )


def open_s3(
    moto: Moto, uri: str, clock: SettableClock | None = None, *, max_attempts: int = 2, workers: int = WORKERS
) -> S3ClaimStore:
    """One more client of a prefix."""
    options = {} if clock is None else {"now_us": clock}
    return S3ClaimStore(
        uri,
        lake_id=LAKE_ID,
        ttl_us=TTL_US,
        region=REGION,
        endpoint_url=moto.endpoint_url,
        workers=workers,
        max_attempts=max_attempts,
        **options,
    )
