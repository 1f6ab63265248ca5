"""Every metric: name, kind, labels and meaning. The endpoint, the reference page and the tests are made from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram", "info"]

TYPE = "event_type"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric family.

    Attributes:
        name: as it is scraped; of a histogram without `_bucket`, `_sum`, `_count`.
        kind: what it is.
        labels: their names.
        help: one sentence.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """The base unit, or what is counted."""
        name = self.name.removesuffix("_total")
        return next((unit for unit in ("seconds", "bytes") if name.endswith(f"_{unit}")), "")

    @property
    def series(self) -> tuple[str, ...]:
        """The names under which samples are scraped."""
        if self.kind == "histogram":
            return tuple(f"{self.name}_{end}" for end in ("bucket", "sum", "count"))
        return (self.name,)


RECEIVED = Metric(
    name="headgate_received_events_total",
    kind="counter",
    labels=(TYPE,),
    help="Parts that were committed: accepted, duplicates and rejected together.",
)
ACCEPTED = Metric(
    name="headgate_accepted_events_total", kind="counter", labels=(TYPE,), help="Events that are in the table events."
)
DUPLICATES = Metric(
    name="headgate_duplicate_events_total",
    kind="counter",
    labels=(TYPE, "kind"),
    help="Second and later copies; natural: the very bytes of the original, conflicting: other bytes.",
)
REJECTED = Metric(
    name="headgate_rejected_events_total",
    kind="counter",
    labels=(TYPE, "reason"),
    help="Parts that could not be read or broke a rule, by reject reason.",
)
WARNINGS = Metric(
    name="headgate_event_warnings_total", kind="counter", labels=(TYPE, "warning"), help="Events with a warning."
)
MISSING = Metric(
    name="headgate_missing_fields_total",
    kind="counter",
    labels=(TYPE, "field"),
    help="Parts that lack a field: it is absent, null or the empty text.",
)
LOOKED = Metric(
    name="headgate_checked_fields_total",
    kind="counter",
    labels=(TYPE, "field"),
    help="Parts that were looked at for a field.",
)
RULES = Metric(
    name="headgate_rule_checks_total",
    kind="counter",
    labels=(TYPE, "rule", "outcome"),
    help="Events that a rule of your own applied to; outcome is pass or fail.",
)
UNITS = Metric(
    name="headgate_time_units_total",
    kind="counter",
    labels=(TYPE, "unit"),
    help="Events by the way in which created_at was sent.",
)
BYTES = Metric(
    name="headgate_payload_bytes_total", kind="counter", labels=(TYPE,), help="Bytes of all parts, rejects included."
)
AHEAD_EVENTS = Metric(
    name="headgate_ahead_events_total",
    kind="counter",
    labels=(TYPE,),
    help="Events that arrived before they were created: a producer's clock is ahead.",
)
CREATED_TO_ARRIVED = Metric(
    name="headgate_created_to_arrived_seconds",
    kind="histogram",
    labels=(TYPE,),
    help="From an event's creation to its arrival; those below 0 are in the first bucket and not in the sum.",
)
ARRIVED_TO_STAGED = Metric(
    name="headgate_arrived_to_staged_seconds",
    kind="histogram",
    labels=(TYPE,),
    help="From an event's arrival to the moment at which its files were begun.",
)
DEDUP_SECONDS = Metric(
    name="headgate_dedup_seconds_total", kind="counter", help="Time that batches were in de-duplication."
)
NEWEST_ARRIVAL = Metric(
    name="headgate_newest_arrival_timestamp_seconds",
    kind="gauge",
    labels=(TYPE,),
    help="When the newest accepted event arrived; time() minus it is the freshness.",
)
SHARD_LAG = Metric(
    name="headgate_shard_lag_seconds",
    kind="gauge",
    labels=("shard",),
    help="Lag of each shard of the last commit; left out where there are 100 or more.",
)
MAX_SHARD_LAG = Metric(
    name="headgate_max_shard_lag_seconds", kind="gauge", help="The longest lag of a shard of the last commit."
)

#: What the rows of the table quality say.
QUALITY_METRICS = (
    RECEIVED, ACCEPTED, DUPLICATES, REJECTED, WARNINGS, MISSING, LOOKED, RULES, UNITS, BYTES, AHEAD_EVENTS,
    CREATED_TO_ARRIVED, ARRIVED_TO_STAGED, DEDUP_SECONDS, NEWEST_ARRIVAL, SHARD_LAG, MAX_SHARD_LAG,
)  # fmt: skip

BATCHES = Metric(name="headgate_commits_total", kind="counter", help="Batches that were committed.")
FILES = Metric(name="headgate_written_files_total", kind="counter", help="Files of committed batches.")
FILE_BYTES = Metric(name="headgate_written_bytes_total", kind="counter", help="Bytes of these files.")
LAST_COMMIT = Metric(
    name="headgate_last_commit_timestamp_seconds",
    kind="gauge",
    help="When this process last committed; absent before its first commit.",
)
LEDGER_NUMBER = Metric(
    name="headgate_ledger_number", kind="gauge", help="The ledger number that this process last wrote or began at."
)
PUBLISHED_NUMBER = Metric(
    name="headgate_published_number", kind="gauge", help="Up to here readers see the entries of the ledger."
)
STAGE_WALL = Metric(
    name="headgate_stage_wall_seconds_total",
    kind="counter",
    labels=("stage",),
    help="Wall time of a stage, its waiting for the outside world included.",
)
STAGE_CPU = Metric(
    name="headgate_stage_cpu_seconds_total",
    kind="counter",
    labels=("stage",),
    help="CPU time of a stage's own thread.",
)
STAGE_BATCHES = Metric(
    name="headgate_stage_batches_total", kind="counter", labels=("stage",), help="Batches that passed a stage."
)
RETRIES = Metric(
    name="headgate_retries_total",
    kind="counter",
    labels=("stage",),
    help="Times that a stage waited and tried again because the outside world did not answer.",
)
READY = Metric(name="headgate_ready", kind="gauge", help="1 where the flow runs, as /readyz says it.")
STANDBY = Metric(name="headgate_standby", kind="gauge", help="1 while another consumer works on the lake.")
STANDBYS = Metric(
    name="headgate_standbys_total", kind="counter", help="Times that the consumer began to stand by for another one."
)
CONFLICTS = Metric(
    name="headgate_commit_conflicts_total",
    kind="counter",
    help="Batches that the ledger did not take because another writer was first.",
)
NOTICES = Metric(
    name="headgate_notices_total", kind="counter", help="Sentences in the log that a person may want to read."
)
LEFT = Metric(
    name="headgate_publications_left_total",
    kind="counter",
    help="Committed batches whose publication was left to the next one.",
)
REBUILT = Metric(name="headgate_rebuilt_claims_total", kind="counter", help="Claims that were filled in from the lake.")
WITHDRAWN = Metric(
    name="headgate_withdrawn_claims_total",
    kind="counter",
    help="Claims that were made but never committed, and taken back.",
)
COMPACTIONS = Metric(
    name="headgate_compactions_total",
    kind="counter",
    labels=("outcome",),
    help="Compactions beside the run; outcome is ended or failed.",
)
LOST_FACTS = Metric(
    name="headgate_lost_facts_total",
    kind="counter",
    help="Facts that a log, a metric or a trace could not take; the flow does not wait for them.",
)
LAG_RECORDS = Metric(name="headgate_source_lag_records", kind="gauge", help="Records that wait unread in the source.")
LAG_BYTES = Metric(name="headgate_source_lag_bytes", kind="gauge", help="Bytes that wait unread in the source.")
LAG_SECONDS = Metric(
    name="headgate_source_lag_seconds",
    kind="gauge",
    help="How far reading is behind the tip of the source, in the shard that is furthest behind.",
)
BUILD = Metric(
    name="headgate_build_info", kind="info", labels=("version", "python"), help="The version that runs; always 1."
)

#: What only a running consumer knows.
RUN_METRICS = (
    BATCHES, FILES, FILE_BYTES, LAST_COMMIT, LEDGER_NUMBER, PUBLISHED_NUMBER, STAGE_WALL, STAGE_CPU, STAGE_BATCHES,
    RETRIES, READY, STANDBY, STANDBYS, CONFLICTS, NOTICES, LEFT, REBUILT, WITHDRAWN, COMPACTIONS, LOST_FACTS,
    LAG_RECORDS, LAG_BYTES, LAG_SECONDS, BUILD,
)  # fmt: skip
