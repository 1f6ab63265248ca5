"""What a price list holds: prices with unit and page, and the nodes of Redis.

Pure; `headgate.plan.listing` reads the list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

#: Every price that a bill may ask for, with the unit that the list must give it in.
UNITS = {
    "kinesis_shard_hour": "shard-hour",
    "kinesis_put": "1,000,000 PUT payload units",
    "kinesis_retention_shard_hour": "shard-hour",
    "kinesis_stream_hour": "stream-hour",
    "kinesis_in_gb": "GB",
    "kinesis_out_gb": "GB",
    "kinesis_stream_retention_gb_month": "GB-month",
    "kinesis_long_retention_gb_month": "GB-month",
    "kinesis_fan_out_shard_hour": "consumer-shard-hour",
    "kinesis_fan_out_gb": "GB",
    "kinesis_stream_fan_out_gb": "GB",
    "lambda_requests": "1,000,000 requests",
    "lambda_gb_second_x86_64": "GB-second",
    "lambda_gb_second_arm64": "GB-second",
    "firehose_gb": "GB",
    "firehose_partitioning_gb": "GB",
    "firehose_partitioning_objects": "1,000 objects",
    "fargate_vcpu_hour_x86_64": "vCPU-hour",
    "fargate_gb_hour_x86_64": "GB-hour",
    "fargate_vcpu_hour_arm64": "vCPU-hour",
    "fargate_gb_hour_arm64": "GB-hour",
    "fargate_disk_gb_hour": "GB-hour",
    "dynamodb_writes": "1,000,000 write request units",
    "dynamodb_gb_month": "GB-month",
    "dynamodb_recovery_gb_month": "GB-month",
    "s3_gb_month": "GB-month",
    "s3_puts": "1,000 requests",
    "s3_gets": "1,000 requests",
    "logs_gb": "GB",
    "alarm_month": "alarm-month",
    "dashboard_month": "dashboard-month",
}
_COUNT = {"1,000,000": 1_000_000.0, "1,000": 1_000.0}

Confirmation = Literal["price list", "third party", "not confirmed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """One price.

    Attributes:
        usd: of one unit.
        unit: what is billed.
        page: AWS's public page of it.
        confirmed: by what: a copy of AWS's Price List API, a page of somebody else's, or nothing.
        seen: where and as of when.
    """

    usd: float
    unit: str
    page: str
    confirmed: Confirmation
    seen: str

    def of(self, count: float) -> float:
        """USD for so many single units (`1,000 requests` is counted in requests)."""
        return self.usd * count / _COUNT.get(self.unit.split(" ")[0], 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node of ElastiCache.

    Attributes:
        name: its type.
        memory_bytes: all of its memory.
        usd_per_hour: its price.
    """

    name: str
    memory_bytes: float
    usd_per_hour: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """A price list.

    Attributes:
        region: which it is of.
        date: when it was looked up, ISO 8601.
        prices: by the names of UNITS.
        nodes: of Valkey, by name.
        node_seen: where their prices were seen.
    """

    region: str
    date: str
    prices: Mapping[str, Price]
    nodes: Mapping[str, Node]
    node_seen: str
