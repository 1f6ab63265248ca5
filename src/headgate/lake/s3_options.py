"""What a client of S3, or of a storage that speaks like it, is told beside the credentials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from headgate.errors import ConfigError
from headgate.lake.storage import checked

Encryption = Literal["AES256", "aws:kms"]


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Options:
    """Settings of a client. Credentials are no settings: they come from the SDK's chain alone.

    Attributes:
        region: of the bucket; None for the SDK's own (`AWS_REGION`, the profile), else us-east-1.
        endpoint_url: of another service than AWS; None for the SDK's own (`AWS_ENDPOINT_URL_S3`), else AWS.
        is_http_allowed: without TLS, for an emulator on the same machine.
        sse: server-side encryption asked for with every write; None for the bucket's default.
        kms_key_id: key of `aws:kms`; None for the account's own.
    """

    region: str | None = None
    endpoint_url: str | None = None
    is_http_allowed: bool = False
    sse: Encryption | None = None
    kms_key_id: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if self.kms_key_id is not None and self.sse != "aws:kms":
            raise ConfigError("a KMS key is named, but server-side encryption is not aws:kms: set it, or leave the key")


def parse_root(uri: str) -> tuple[str, str]:
    """Bucket and prefix of `s3://bucket/prefix`; the prefix may be empty.

    Raises:
        ConfigError: it is no such URI.
    """
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    prefix = prefix.removesuffix("/")
    if not uri.startswith("s3://") or not bucket or "?" in uri or "@" in bucket:
        raise ConfigError(f"{uri}: expected s3://bucket or s3://bucket/prefix")
    if prefix:
        checked(prefix, f"s3://{bucket}")
    return bucket, prefix
