"""Configuration to the typed tables."""

from __future__ import annotations

from headgate.config import Config
from headgate.core.analytics.policy import Contract, FieldPolicy
from headgate.lake.analytics import BuildSettings


def build_settings(config: Config, *, is_preview: bool = False) -> BuildSettings:
    """How tables are built.

    Args:
        config: the settings.
        is_preview: True where nothing may be written.
    """
    section, envelope = config.analytics, config.envelope
    lines = [FieldPolicy(line.table, line.field, line.policy) for line in section.fields]
    return BuildSettings(
        contract=Contract(default=section.policy, lines=lines, max_columns=section.max_columns),
        envelope=frozenset(path for path in (envelope.id, envelope.name, envelope.created_at) if "." not in path),
        max_tables=section.max_tables,
        is_preview=is_preview,
    )
