"""AWS Lambda: `handler` for a Kinesis event source mapping and for direct invocation.

The configuration comes from the environment: `HEADGATE_CONFIG` names a file in the image, `HEADGATE__SECTION__KEY` is
a setting. `HEADGATE__LAKE__URI` must name the lake, `HEADGATE__DEDUP__STORE` a shared claim store.

Answer: the counts of this invocation; `batchItemFailures` is always empty, because a batch is committed whole or
raises. A poison record is a row of `rejected` and never raises. Lambda must be set to ParallelizationFactor 1:
two batches of one shard at a time would interleave, which is refused where it is seen (`headgate.invocation`).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Protocol

from headgate.entrypoints.container import Container, open_container
from headgate.source.event_records import Json
from headgate.source.lambda_event import Origin, batch_of_event

_container: Container | None = None


class Context(Protocol):
    """What Lambda says of an invocation."""

    def get_remaining_time_in_millis(self) -> int:
        """Until Lambda ends the invocation."""
        ...


def handler(event: Json, context: Context) -> Mapping[str, object]:
    """Commit the records of an invocation.

    Args:
        event: of a Kinesis event source mapping, or `{"data": [event, ...]}`.
        context: knows the deadline.

    Returns:
        `received`, `accepted`, `duplicates`, `rejected`: of the records judged now; `skipped`: records that an
        earlier invocation had committed; `ledger_number`; `batchItemFailures`, empty.

    Raises:
        HeadgateError: the batch was not committed and must come again; the message says why.
    """
    global _container
    if _container is None:
        _container = open_container(context)
    with _container.invocation(context):
        return admit(_container, event, context)


def admit(container: Container, event: Json, context: Context) -> Mapping[str, object]:
    """See `handler`; in a container that is open."""
    origin = Origin(
        now_us=container.clock.now_us(),
        random_bits=secrets.randbits,
        source_name=container.config.source.name,
        request_id=getattr(context, "aws_request_id", None),
    )
    batch, copies = batch_of_event(event, origin)
    outcome = container.invocations.take(batch, lambda: context.get_remaining_time_in_millis() / 1000)
    return {
        **outcome.counts._asdict(),
        "skipped": outcome.skipped + copies,
        "ledger_number": outcome.number,
        "batchItemFailures": [],
    }
