"""The settings of streams and of the functions that read them."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from headgate.config.compaction import MIB

NonEmpty = Annotated[str, Meta(min_length=1)]
ConsumerName = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_.-]{1,128}$")]  # RegisterStreamConsumer API reference


class Kinesis(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a stream is read."""

    max_ahead_bytes: Annotated[
        int, Meta(ge=MIB, le=4096 * MIB, description="Bytes of records read ahead, of all shards together.")
    ] = 64 * MIB
    fan_out: Annotated[
        ConsumerName | None, Meta(description="Consumer of enhanced fan-out; by default GetRecords.", examples=["lake"])
    ] = None


class Function(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Lambda functions."""

    publish_seconds: Annotated[
        float, Meta(ge=0, le=3600, description="Seconds between two publications of all functions together.")
    ] = 10.0
    margin_seconds: Annotated[
        float, Meta(gt=0, le=300, description="Seconds before the deadline at which nothing new is begun.")
    ] = 3.0


class Firehose(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a delivery stream delivers, for filing it into the lake."""

    delivered: Annotated[
        NonEmpty | None,
        Meta(
            description="Where it delivers what the transformation accepted: a folder or s3://bucket/prefix.",
            examples=["s3://bucket/delivered"],
        ),
    ] = None
