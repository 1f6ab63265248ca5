"""What a function's container opens once and keeps: configuration, lake, claim store, flow."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

from headgate.clock import SystemClock
from headgate.config import Config, environment, resolve
from headgate.core.rules import Rules
from headgate.errors import ConfigError
from headgate.invocation import Invocations, InvocationSettings
from headgate.lake.lake import TableLake
from headgate.lake.layout import set_claims_identity
from headgate.pipeline import FlowSettings, Pipeline
from headgate.ports import ClaimStore, Clock, Lake, Source, Telemetry
from headgate.wiring.claims import EMBEDDED, claims_of_lake, open_claims
from headgate.wiring.flow import flow_settings, rules_of
from headgate.wiring.job import Job
from headgate.wiring.lake import open_lake_for_writing
from headgate.wiring.telemetry import FunctionTelemetry, function_telemetry

LAKE_VARIABLE = "HEADGATE__LAKE__URI"
NAMELESS = "headgate"  # function outside Lambda
WHOLE = 1 << 40  # records, bytes, seconds: a batch is never cut


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """Opened once.

    Attributes:
        config: the settings.
        lake: the lake.
        open_claims: opens the claim store; called again where it lost data.
        invocations: commits batches.
        pipeline: makes the flow over a source, claims and the lake; a batch is never cut, nothing runs ahead.
        flow: settings of the flow.
        clock: time and waiting.
        telemetry: takes facts.
        told: metrics and traces of each invocation; None where nobody asked for them.
    """

    config: Config
    lake: TableLake
    open_claims: Callable[[], ClaimStore]
    invocations: Invocations
    pipeline: Callable[[Source, ClaimStore, Lake], Pipeline]
    flow: FlowSettings
    clock: Clock
    telemetry: Telemetry
    told: FunctionTelemetry | None = None

    def invocation(self, context: object) -> AbstractContextManager[object]:
        """One invocation: its metrics are written when it ends, however it ends.

        Args:
            context: of Lambda; names the function.
        """
        return nullcontext() if self.told is None else self.told.invocation(_function(context))


def open_container(context: object) -> Container:
    """Open what the environment names; where that fails, it is told as a failed invocation.

    Args:
        context: of Lambda; names the function.

    Raises:
        ConfigError: a setting is missing or wrong, or the claim store serves one process only.
    """
    resolved = resolve(None, environment(), {})
    config = resolved.config
    clock = SystemClock()
    if config.lake.uri is None:
        raise ConfigError(f"{LAKE_VARIABLE} is not set: name the lake, as in s3://bucket/prefix")
    identity = claims_of_lake(config)
    if identity.kind in EMBEDDED:
        raise ConfigError(
            f"the claim store {identity.kind} serves one process, and functions run side by side: set "
            "HEADGATE__DEDUP__STORE to redis://host:port/db, dynamodb://table or s3://bucket/prefix"
        )
    told = function_telemetry(config, config.lake.uri, out=sys.stdout, err=sys.stderr)
    telemetry = told.telemetry
    with told.opening(_function(context)):
        job = Job(source="-", lake=config.lake.uri, format=resolved.lake_format)
        lake = open_lake_for_writing(job, config, clock)
        set_claims_identity(lake.storage, identity)

        def own_claims() -> ClaimStore:
            set_claims_identity(lake.storage, identity)  # another one by now: the lake was moved to another store
            return open_claims(identity, lake, config, telemetry)

        return replace(assemble(config, lake, own_claims, clock=clock, telemetry=telemetry), told=told)


def _function(context: object) -> str:
    return str(getattr(context, "function_name", NAMELESS))


def assemble(
    config: Config,
    lake: TableLake,
    open_store: Callable[[], ClaimStore],
    *,
    clock: Clock,
    telemetry: Telemetry,
    settings: InvocationSettings | None = None,
    rules: Rules | None = None,
) -> Container:
    """Put the parts of a container together.

    Args:
        config: the settings.
        lake: opened.
        open_store: opens the claim store.
        clock: time and waiting.
        telemetry: takes facts.
        settings: of invocations; by default made of the settings.
        rules: the user's, compiled; by default made of the settings.
    """
    flow = replace(
        flow_settings(config),
        max_batch_events=WHOLE,
        max_batch_bytes=WHOLE,
        flush_seconds=float(WHOLE),
        refills=False,
        depth=0,
    )
    pipeline = _pipelines(flow, rules or rules_of(config), clock, telemetry)
    invocations = Invocations(
        lake=lake,
        open_claims=open_store,
        pipeline=pipeline,
        settings=settings or _settings(config),
        clock=clock,
        telemetry=telemetry,
        jitter=random.random,
    )
    return Container(
        config=config,
        lake=lake,
        open_claims=open_store,
        invocations=invocations,
        pipeline=pipeline,
        flow=flow,
        clock=clock,
        telemetry=telemetry,
    )


def _settings(config: Config) -> InvocationSettings:
    return InvocationSettings(
        margin_seconds=config.function.margin_seconds,
        publish_seconds=config.function.publish_seconds,
        retention_us=config.source.retention_us,
    )


def _pipelines(
    flow: FlowSettings, rules: Rules, clock: Clock, telemetry: Telemetry
) -> Callable[[Source, ClaimStore, Lake], Pipeline]:
    def pipeline(source: Source, claims: ClaimStore, lake: Lake) -> Pipeline:
        return Pipeline(
            source=source,
            claims=claims,
            lake=lake,
            rules=rules,
            settings=flow,
            clock=clock,
            telemetry=telemetry,
            jitter=random.random,
        )

    return pipeline
