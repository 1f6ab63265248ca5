"""Configuration to a lake that is there, opened to look at it."""

from __future__ import annotations

from headgate.config import Config, environment, load
from headgate.jobs.existing import ExistingLake, find_lake
from headgate.lake.s3_options import S3Options


def s3_options(config: Config) -> S3Options:
    """How a client of S3 is made."""
    section = config.storage
    return S3Options(
        region=section.region,
        endpoint_url=section.endpoint_url,
        is_http_allowed=section.allow_http,
        sse=section.encryption,
        kms_key_id=section.kms_key_id,
    )


def existing_lake(lake: str, config: Config | None = None) -> ExistingLake:
    """A lake that is there.

    Args:
        lake: folder or URI.
        config: the settings; by default those of the environment and of the file that it names.

    Raises:
        ConfigError: there is none.
    """
    return find_lake(lake, s3_options(config or load(None, environment(), {})))
