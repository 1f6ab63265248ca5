"""Configuration to the filing of what Firehose delivered."""

from __future__ import annotations

from headgate.config import Config
from headgate.jobs.filing import Filed, FilingSettings, file_delivered
from headgate.lake.lake import TableLake
from headgate.lake.opening import open_storage
from headgate.ports import Clock, Telemetry
from headgate.wiring.existing import s3_options


def file_deliveries(lake: TableLake, config: Config, *, clock: Clock, telemetry: Telemetry) -> Filed:
    """File what Firehose delivered where `[firehose] delivered` says, and what its transformation kept in the lake.

    Costs one listing of `_headgate/firehose/` where there is nothing of it.

    Args:
        lake: open for writing.
        config: the settings.
        clock: of the system.
        telemetry: takes facts.

    Raises:
        ConfigError: the delivery and the lake lie in one another.
        PermanentError: a human is needed.
        TransientError: a storage did not answer; call again.
        CommitUnknown: likewise.
    """
    where = config.firehose.delivered
    settings = FilingSettings(window_us=config.dedup.window_us, max_event_types=config.lake.max_event_types)
    delivery = None if where is None else open_storage(where, s3_options(config))
    return file_delivered(lake, delivery, settings, clock=clock, telemetry=telemetry)
