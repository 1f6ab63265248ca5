"""`[telemetry]` and `[log]`: what is told of the flow, and where."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from headgate.errors import ConfigError

LOOPBACK = "127.0.0.1"
MAX_PORT = 65_535
_ADDRESS = re.compile(r"(?:(?P<host>\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9_.-]+):)?(?P<port>[0-9]{1,5})")


class Address(NamedTuple):
    """Where to listen."""

    host: str
    port: int


def listen_address(text: str) -> Address:
    """`HOST:PORT`, `[IPv6]:PORT`, or `PORT` alone, which is of the loopback interface.

    Raises:
        ValueError: it is neither.
    """
    found = _ADDRESS.fullmatch(text.strip())
    if found is None or int(found["port"]) > MAX_PORT:
        raise ValueError("Expected HOST:PORT, or PORT alone for the loopback interface, as in 127.0.0.1:9464")
    return Address((found["host"] or LOOPBACK).strip("[]"), int(found["port"]))


def traces_wanted(env: Mapping[str, str]) -> bool:
    """True where the variables of OpenTelemetry name an endpoint for traces and do not switch them off.

    Args:
        env: the environment. See https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/.

    Raises:
        ConfigError: they ask for another protocol than OTLP over HTTP.
    """
    if env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or env.get("OTEL_TRACES_EXPORTER") == "none":
        return False
    if not any(env.get(f"OTEL_EXPORTER_OTLP_{which}ENDPOINT") for which in ("", "TRACES_")):
        return False
    for which in ("TRACES_", ""):
        protocol = env.get(variable := f"OTEL_EXPORTER_OTLP_{which}PROTOCOL")
        if protocol and protocol != "http/protobuf":
            raise ConfigError(f"{variable}={protocol}: traces are sent by http/protobuf only; set it to that")
        if protocol:
            break
    return True


class Telemetry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Metrics of a running consumer and of functions; traces follow the variables of OpenTelemetry."""

    metrics: Annotated[
        str | None,
        Meta(
            description="Where `run` serves /metrics, /healthz and /readyz: HOST:PORT, or PORT of the loopback "
            "interface; by default nowhere.",
            examples=["127.0.0.1:9464"],
        ),
    ] = None
    metric_event_types: Annotated[
        int,
        Meta(ge=0, le=10_000, description="Event types with a label of their own in metrics; the rest are `other`."),
    ] = 20
    emf: Annotated[
        bool, Meta(description="Functions write CloudWatch metrics: one line of embedded metric format an invocation.")
    ] = True

    def __post_init__(self) -> None:
        """Refuse what is no address."""
        if self.metrics is not None:
            listen_address(self.metrics)


class Log(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Log lines on standard error."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least level that is written.")
    ] = "info"
    format: Annotated[
        Literal["text", "json"] | None,
        Meta(
            description="text for people, json for machines; by default text on a terminal and json elsewhere.",
            examples=["json"],
        ),
    ] = None
