"""Configuration to what the flow needs: envelope, limits, rules, privacy."""

from __future__ import annotations

from headgate.config import Config, environment, privacy_key
from headgate.core.envelope import Envelope, decoder_of
from headgate.core.limits import Limits
from headgate.core.missing import Fields
from headgate.core.privacy import Privacy
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
        privacy=privacy_of(config),
        fields=Fields(config.quality.fields, envelope_of(config)),
    )


def privacy_of(config: Config) -> Privacy | None:
    """What is done to payloads; None where nothing is.

    Raises:
        ConfigError: a path is wrong, or the key is missing or too short.
    """
    section = config.privacy
    if not section.is_on:
        return None
    return Privacy(
        hashed=section.hash,
        masked=section.mask,
        dropped=section.drop,
        key=privacy_key(section, environment()),
        is_withholding=section.unparseable == "withhold",
        envelope=envelope_of(config),
    )


def rules_of(config: Config) -> Rules:
    """The user's rules, compiled."""
    return Rules([Rule(name=r.name, check=r.check, when=r.when) for r in config.rules])
