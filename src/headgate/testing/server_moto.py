"""`moto_server` as a real process: S3 and DynamoDB for tests, spoken to over HTTP like the real services.

Kinder than the real ones: it never answers 409, 503 or not at all (see proxy.py), and does not check signatures.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
from botocore.client import BaseClient

from headgate.testing.servers import HOST, free_port, script, serving

REGION = "eu-central-1"
#: What the SDK's chain finds; moto takes any. Files of the real user are kept out.
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_DEFAULT_REGION": REGION,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Moto:
    """A running server; `endpoint_url` is where every service of it answers."""

    port: int

    @property
    def endpoint_url(self) -> str:
        """For the `endpoint_url` of clients."""
        return f"http://{HOST}:{self.port}"

    def client(self, service: str) -> BaseClient:
        """A boto3 client of this server."""
        return boto3.client(
            service,
            endpoint_url=self.endpoint_url,
            region_name=REGION,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )

    def make_bucket(self, name: str) -> str:
        """Make a bucket and return its name."""
        self.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        return name


@contextmanager
def moto_serving(logs: Path) -> Iterator[Moto]:
    """Run a server until the block ends; its data goes with it.

    Args:
        logs: a folder for its output.
    """
    port = free_port()
    with serving([script("moto_server"), "-H", HOST, "-p", str(port)], port, logs):
        yield Moto(port=port)
