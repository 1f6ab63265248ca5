"""`[quality]` and `[quality.slo]`: what is counted beside the common fields, and what `headgate check` allows."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from headgate.config.duration import duration_us

NonEmpty = Annotated[str, Meta(min_length=1)]
Share = Annotated[float, Meta(ge=0, le=1)]
Ratio = Annotated[float, Meta(ge=0)]
Number = Annotated[int, Meta(ge=0)]


def missing_rates(texts: tuple[str, ...]) -> dict[str | None, float]:
    """The share that is allowed by field; None stands for all fields.

    Raises:
        ValueError: a text is neither a share nor `field=share`.
    """
    rates: dict[str | None, float] = {}
    for text in texts:
        field, sign, share = text.rpartition("=")
        try:
            rate = float(share)
        except ValueError:
            rate = -1.0
        if not 0 <= rate <= 1 or (sign and not field.strip()):
            raise ValueError(f"Expected a share from 0 to 1 or field=share, not {text!r}")
        rates[field.strip() or None] = rate
    return rates


class Slo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `headgate check` allows; with nothing said 10 % duplicates, 5 % conflicts and 5 % rejects."""

    max_duplicate_rate: Annotated[Share | None, Meta(description="Duplicates / received.", examples=[0.1])] = None
    max_conflict_rate: Annotated[
        Share | None,
        Meta(description="Duplicates with other bytes than the original / received.", examples=[0.02]),
    ] = None
    max_reject_rate: Annotated[Share | None, Meta(description="Rejected / received.", examples=[0.02])] = None
    max_missing_rate: Annotated[
        tuple[NonEmpty, ...],
        Meta(
            description="Share of events without a field, for all fields (`0.05`) or for one (`user.id=0.02`).",
            examples=[["0.05", "user.id=0.02"]],
        ),
    ] = ()
    max_freshness: Annotated[
        str | None, Meta(description="Time since the newest accepted event arrived.", examples=["15m"])
    ] = None
    max_latency_p95: Annotated[
        str | None,
        Meta(description="95 % of events arrive so soon after they were created, or sooner.", examples=["5m"]),
    ] = None
    min_volume_ratio: Annotated[
        Ratio | None, Meta(description="Accepted / accepted in the same time before.", examples=[0.5])
    ] = None
    volume_baseline: Annotated[
        Literal["previous", "day_before"],
        Meta(description="previous: the window right before; day_before: the same window a day before."),
    ] = "previous"
    min_events: Annotated[
        Number | None, Meta(description="Events accepted in the window, of all types.", examples=[1000])
    ] = None
    min_sample: Annotated[int, Meta(ge=1, description="Events from which on rates, latency and volume are judged.")] = (
        100
    )

    def __post_init__(self) -> None:
        """Refuse texts that are no durations, and shares that are none."""
        for text in (self.max_freshness, self.max_latency_p95):
            if text is not None:
                duration_us(text)
        missing_rates(self.max_missing_rate)


class Quality(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is counted in `quality` beside the common fields."""

    fields: Annotated[
        tuple[NonEmpty, ...],
        Meta(
            description="Payload fields whose absence is counted, names joined by dots.",
            examples=[["user.id", "amount"]],
        ),
    ] = ()
    slo: Slo = Slo()
