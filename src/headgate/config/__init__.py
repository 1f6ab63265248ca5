"""Settings: frozen, unknown keys refused, units in names; the only reader of the environment.

One specification (sections.py) is parser, defaults, help, sample file and reference page.
"""

from headgate.config.display import Setting, digest, effective, masked
from headgate.config.duration import duration_us
from headgate.config.load import Resolved, cache_folder, environment, load, resolve
from headgate.config.mask import mask_uri
from headgate.config.privacy import Privacy, privacy_key
from headgate.config.quality import Quality, Slo, missing_rates
from headgate.config.sample import sample_toml
from headgate.config.sections import (
    Batch,
    Config,
    Dedup,
    Envelope,
    Lake,
    LakeFormat,
    Rule,
    Source,
    Standby,
    Validate,
)
from headgate.config.streams import Firehose
from headgate.config.telemetry import Log, listen_address, traces_wanted

__all__ = [
    "Batch",
    "Config",
    "Dedup",
    "Envelope",
    "Firehose",
    "Lake",
    "LakeFormat",
    "Log",
    "Privacy",
    "Quality",
    "Resolved",
    "Rule",
    "Setting",
    "Slo",
    "Source",
    "Standby",
    "Validate",
    "cache_folder",
    "digest",
    "duration_us",
    "effective",
    "environment",
    "listen_address",
    "load",
    "mask_uri",
    "masked",
    "missing_rates",
    "privacy_key",
    "resolve",
    "sample_toml",
    "traces_wanted",
]
