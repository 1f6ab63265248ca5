"""Configuration to what the flow needs: envelope, limits, rules."""

from __future__ import annotations

from headgate.config import Config
from headgate.core.envelope import Envelope, decoder_of
from headgate.core.limits import Limits
from headgate.core.rules import Rule, Rules
from headgate.errors import ConfigError
from headgate.pipeline import FlowSettings


def limits_of(config: Config) -> Limits:
    """Sizes."""
    return Limits(max_event_bytes=config.validate.max_event_bytes, max_record_bytes=config.validate.max_record_bytes)


def envelope_of(config: Config) -> Envelope:
    """The envelope, tried out.

    Raises:
        ConfigError: one path runs through another.
    """
    envelope = Envelope(id=config.envelope.id, name=config.envelope.name, created_at=config.envelope.created_at)
    try:
        decoder_of(envelope)
    except ValueError as error:
        raise ConfigError(f"[envelope] {error}") from None
    return envelope


def flow_settings(config: Config) -> FlowSettings:
    """What the flow needs of the configuration."""
    return FlowSettings(
        envelope=envelope_of(config),
        limits=limits_of(config),
        max_future_us=config.validate.max_future_us,
        window_us=config.dedup.window_us,
        max_event_types=config.lake.max_event_types,
        max_batch_events=config.batch.max_events,
        max_batch_bytes=config.batch.max_bytes,
        flush_seconds=config.batch.flush_seconds,
    )


def rules_of(config: Config) -> Rules:
    """The user's rules, compiled."""
    return Rules([Rule(name=r.name, check=r.check, when=r.when) for r in config.rules])
