"""What the columns, reasons, warnings and exit codes mean, for the pages that make_pages.py writes."""

from __future__ import annotations

from headgate.core.limits import MAX_DEPTH, MAX_ID_BYTES, MAX_NAME_BYTES, Limits
from headgate.core.partition import MAX_VALUE_BYTES
from headgate.core.quality import PARTITION_FLOOD_FROM
from headgate.core.reasons import ACCEPTED_AGAIN, PARTITION_FLOOD, REDELIVERED, Reason, Warn
from headgate.entrypoints.cli import EXIT_BROKEN_PIPE, EXIT_FAILURE, EXIT_INTERRUPTED, EXIT_USAGE
from headgate.errors import BreachError

MIB = 1 << 20  # bytes

TABLE_MEANINGS = {
    "events": "Accepted events, each once.",
    "duplicates": "Second and later copies of accepted events, each with the position of its original.",
    "rejected": "What could not be read, or broke a rule, byte for byte (after `[privacy]`, where that is on). What a "
    "replay has settled shows in the view `rejected_all` only.",
    "quality": "One row a commit and event type: the counts. What is not known is null. A replay adds rows with "
    "negative numbers for what it takes back, so that the sums hold.",
}

POSITION_MEANINGS = {
    "arrived_at": "When the stream took the record. A file: its modification time when first seen, later hour by hour "
    "for what it grows by. Standard input: the start of the run.",
    "source": "The source's name: absolute path or URI, or `[source] name`.",
    "shard": "The shard within the source. A file: its path relative to the source, `@`, and a digest of its first "
    "bytes.",
    "sequence": "Position within the shard, decimal text. A file: the offset of the record in the inflated bytes. "
    "Ends in `#n` for the n-th event (from 0) inside a record.",
}

EVENT_MEANINGS = {
    "event_uuid": "The id as it was sent; an integer as its decimal text.",
    "event_name": "The name as it was sent.",
    "event_type": "First part of the name.",
    "event_subtype": "Second part of the name; null where there is none or it is empty.",
    "created_at": "Unix seconds, whatever the unit was.",
    "created_datetime": "The same instant, rounded to microseconds.",
    "created_date": "Its UTC date.",
    "payload": "The event's own JSON text, byte for byte (after `[privacy]`, where that is on).",
}

MEANINGS: dict[str, dict[str, str]] = {
    "events": {**EVENT_MEANINGS, **POSITION_MEANINGS},
    "duplicates": {
        **EVENT_MEANINGS,
        **POSITION_MEANINGS,
        "original_shard": "Shard of the copy that owns the id.",
        "original_sequence": "Its position in that shard.",
        "conflict": "True where the bytes of the two copies differ.",
        "arrival_date": "UTC date of `arrived_at`.",
    },
    "rejected": {
        "raw": "The exact bytes. Only the first ones of a line above `max_record_bytes`, and of a document of a "
        "`.json` file above `max_event_bytes`.",
        "reason": "See [reasons](reasons.md).",
        "detail": "One sentence.",
        "event_type": "First part of the name, where that much could be read.",
        **POSITION_MEANINGS,
        "headgate_version": "The version that rejected it.",
        "arrival_date": "UTC date of `arrived_at`.",
    },
    "quality": {
        "entry_id": "The commit's own name, as in its ledger entry.",
        "staged_at": "Wall-clock time at which the batch's files were begun.",
        "event_type": "Null: what no type could be read of.",
        "received": "Accepted + duplicates + rejected.",
        "accepted": "Rows in `events`.",
        "duplicates": "Rows in `duplicates`.",
        "conflicts": "Those of them whose bytes differ from the original's.",
        "rejected": "Rows in `rejected`.",
        "reasons": "Reject reason to number of rejects.",
        "warnings": "Warning to number of events.",
        "payload_bytes": "Bytes of all parts, rejects included.",
        "created_min": "Earliest `created_datetime` of events; null where there are none.",
        "created_max": "Latest `created_datetime` of events; null where there are none.",
        "arrived_max": "Latest `arrived_at`.",
        "missing": "Field to number of parts without it (absent, null or the empty text). Common fields as "
        "`event_uuid`, `event_name` and `created_at`, of every part that is an object; fields of `[quality] fields` of "
        "events (accepted and duplicates), 0 included where there were events.",
        "rule_passes": "Rule to number of events that keep it; one that it does not apply to counts in neither.",
        "rule_failures": "Rule to number of events that break it, also where another one is the reject reason.",
        "units": "How `created_at` of events was sent, to their number: `seconds`, `milliseconds`, `microseconds`, "
        "`nanoseconds`, `text` (ISO 8601), `numeric_text` (a number in quotes, of any unit).",
        "created_to_arrived": "Histogram of events: upper bound in seconds to the number between it and the bound "
        "before it; 0 counts those that arrived before they were created, infinity those above the last bound.",
        "created_to_arrived_sum": "Sum of these durations in seconds, those below 0 left out.",
        "created_to_arrived_max": "Longest of them in seconds; null where there is none.",
        "arrived_to_staged": "The same from `arrived_at` to when the files were begun; null of a replay.",
        "arrived_to_staged_sum": "Sum of these durations in seconds, those below 0 left out.",
        "arrived_to_staged_max": "Longest of them in seconds; null where there is none.",
        "dedup_seconds": "On the first row of a commit alone: seconds that the batch was in de-duplication.",
        "shard_lag": "On the first row of a commit alone: shard to seconds since its newest record of the batch "
        "arrived, when the files were begun; the 100 furthest behind.",
    },
}

REASONS: dict[Reason, str] = {
    Reason.MALFORMED_JSON: "No JSON as RFC 8259 has it: also NaN, trailing commas, invalid UTF-8, lone surrogates, "
    f"nesting deeper than {MAX_DEPTH}, anywhere in the event; a compressed stream that is broken or ends early.",
    Reason.NOT_AN_OBJECT: "Valid JSON, but no object: a number, a string, an array inside an array.",
    Reason.TOO_LARGE: f"An event above `max_event_bytes` ({Limits().max_event_bytes // MIB} MiB), or a record that "
    f"inflates to more than `max_record_bytes` ({Limits().max_record_bytes // MIB} MiB).",
    Reason.EVENT_UUID_MISSING: "No id: the field is absent, null or the empty text.",
    Reason.EVENT_UUID_INVALID: f"The id is neither text nor an integer, or longer than {MAX_ID_BYTES} bytes.",
    Reason.EVENT_NAME_MISSING: "No name: the field is absent, null or the empty text.",
    Reason.EVENT_NAME_INVALID: f"The name is no text, is longer than {MAX_NAME_BYTES} bytes, or its first part is "
    f"empty or does not fit a folder name ({MAX_VALUE_BYTES} bytes, escaped).",
    Reason.CREATED_AT_MISSING: "No time: the field is absent or null. 0 is a time: 1970-01-01.",
    Reason.CREATED_AT_INVALID: "No number, numeric text or ISO 8601 date-time with an offset, or not between the "
    "years 1970 and 9999.",
    Reason.CREATED_AT_IN_FUTURE: "Later than the record's arrival plus `[validate] max_future`.",
    Reason.EVENT_TYPE_LIMIT: "The lake holds `[lake] max_event_types` types, and this would be another.",
}

WARNINGS: dict[str, str] = {
    Warn.EVENT_SUBTYPE_MISSING.label: "The name has one part, or its second part is empty.",
    Warn.CREATED_AT_UNIT_MS.label: "`created_at` is a number from 1e11 up to 1e14: milliseconds.",
    Warn.CREATED_AT_UNIT_US.label: "`created_at` is a number from 1e14 up to 1e17: microseconds.",
    Warn.CREATED_AT_UNIT_NS.label: "`created_at` is a number from 1e17: nanoseconds.",
    Warn.CREATED_AT_TEXT.label: "`created_at` is text.",
    Warn.DUPLICATE_KEY.label: "A common field is given twice; the last value counts.",
    Warn.KPL_OUTSIDE_SHARD.label: "A record of a Kinesis Producer Library aggregate whose hash key lies outside "
    "the shard that it came from: the aggregate was put just before or after a split or merge.",
    PARTITION_FLOOD: f"One batch touches {PARTITION_FLOOD_FROM} or more partitions of `events`, each of which costs "
    "a file. Counted once a batch.",
    REDELIVERED: "A line that Firehose delivered again: a row at its position is in the tables already. Dropped when "
    "it is filed.",
    ACCEPTED_AGAIN: "An event that the transformation accepted though another position held its id, because the claim "
    "store had lost its data. Filed as a duplicate of the other.",
}

EXIT_CODES = {
    0: "Success. Also a run that SIGTERM or the first Ctrl-C ended: it commits what it has read.",
    EXIT_FAILURE: "Failure: a human is needed, or a bug. `plan`: the volume cannot work so.",
    EXIT_USAGE: "Wrong usage or configuration; nothing was touched.",
    BreachError.exit_code: "`verify` or `demo` found a broken promise, or `check` what is not allowed.",
    EXIT_INTERRUPTED: "Interrupted by Ctrl-C where there is nothing to drain, or by a second one.",
    EXIT_BROKEN_PIPE: "The reader of standard output went away.",
}

EMF_MEANINGS = {
    "Received": "Accepted + duplicates + rejected of the invocation.",
    "Accepted": "Events that were accepted.",
    "Duplicates": "Second and later copies.",
    "Conflicts": "Those of them whose bytes differ from the original's.",
    "Rejected": "What could not be read or broke a rule.",
    "Warnings": "Warnings of all kinds.",
    "Bytes": "Bytes of all parts.",
    "CommitSeconds": "Time of the ledger entry; not of Firehose's transformation, which makes none.",
    "Lag": "From the newest arrival of the invocation's records to now.",
    "ColdStart": "1 for the first invocation of a container.",
    "Failed": "1 where the invocation raised, so that its records come again.",
}
