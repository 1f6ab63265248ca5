"""The reference pages that are made from the code: cli, config, schema, costs and more. `make docs` writes them.

Deterministic: the same code gives the same bytes. A test compares them with what lies here.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import click
import msgspec
import pyarrow as pa
from costs import ROOTS, costs_page, with_costs
from meanings import (
    EMF_MEANINGS,
    EVENT_MEANINGS,
    EXIT_CODES,
    MEANINGS,
    POSITION_MEANINGS,
    REASONS,
    TABLE_MEANINGS,
    WARNINGS,
)

from headgate import errors
from headgate.config.analytics import FieldPolicy
from headgate.config.keys import keys
from headgate.config.load import ENV_FILE, ENV_PREFIX
from headgate.config.sections import SECTIONS, Rule
from headgate.core.reasons import ACCEPTED_AGAIN, PARTITION_FLOOD, REDELIVERED, RULE_PREFIX, Reason, Warn
from headgate.core.rules import RULE_COLUMNS
from headgate.core.schema import PARTITIONS, TABLES
from headgate.entrypoints.cli import COMMANDS, cli
from headgate.report.dashboard.metrics import LAKE_METRICS
from headgate.telemetry.catalogue import QUALITY_METRICS, RUN_METRICS, Metric
from headgate.telemetry.emf import METRICS as EMF_METRICS

DOCS = Path(__file__).parent
HELP_WIDTH = 100  # characters; the command line's own limit on a wide terminal
MADE = "<!-- made by `make docs`; changes here are lost -->\n\n"


def cli_page() -> str:
    """Every command's help."""
    top = click.Context(cli, info_name="headgate", **{**cli.context_settings, "terminal_width": HELP_WIDTH})
    parts = ["# The command line\n\n", _shell(cli.get_help(top))]
    parts.append(
        f"\nExit codes and what stands behind them: [errors](errors.md). `{ENV_FILE}` names a file in place of\n"
    )
    parts.append("`--config`; [config](config.md) lists all settings.\n")
    for name in COMMANDS:
        command = cli.get_command(top, name)
        assert command is not None  # noqa: S101 - the name is from the table of commands
        parts += [f"\n## headgate {name}\n\n", _shell(command.get_help(click.Context(command, top, name)))]
    return "".join(parts)


def config_page() -> str:
    """Every setting."""
    parts = [
        "# Configuration\n\n",
        f"Flags win over environment variables (`{ENV_PREFIX}SECTION__KEY`), these over the TOML file (`--config FILE` "
        f"or\n`{ENV_FILE}`), and the file over the defaults. Unknown keys are errors. `headgate init` writes a file "
        "with all of\nthis in it, `headgate config` shows what is in force and where it comes from.\n",
    ]
    for section, spec in SECTIONS.items():
        fields = msgspec.json.schema(spec)["$defs"][spec.__name__]["properties"]
        rows = []
        for key in keys(section):
            name = key.name.rpartition(".")[2]
            default = "none" if key.default is None else f"`{json.dumps(key.default)}`"
            variable = f"`{ENV_PREFIX}{key.name.replace('.', '__').upper()}`"
            limits = f"`{key.allowed}`" if key.allowed else ""
            rows.append((f"`{name}`", _kind(fields[name]), default, limits, key.description, variable))
        head = ("key", "type", "default", "limits", "what it is", "environment")
        parts += [f"\n## [{section}]\n\n{_first_line(spec)}\n\n", _table(head, rows)]
    return "".join([*parts, _fields_section(), _rules_section()])


def _fields_section() -> str:
    schema = msgspec.json.schema(FieldPolicy)["$defs"][FieldPolicy.__name__]
    rows = [
        (f"`{name}`", _kind(field), "yes" if name in schema["required"] else "no", field["description"])
        for name, field in schema["properties"].items()
    ]
    return (
        f"\n## [[analytics.fields]]\n\n{_first_line(FieldPolicy)}\n\nAny number of entries, in the file only. What "
        "each policy does to a table: [analytics](analytics.md#policies).\n\n"
        + _table(("key", "type", "required", "what it is"), rows)
    )


def _rules_section() -> str:
    fields = msgspec.json.schema(Rule)["$defs"][Rule.__name__]["properties"]
    needed = msgspec.json.schema(Rule)["$defs"][Rule.__name__]["required"]
    rows = [
        (f"`{name}`", _kind(field), "yes" if name in needed else "no", field["description"])
        for name, field in fields.items()
    ]
    seen = [(f"`{column.name}`", f"`{column.type}`", EVENT_MEANINGS.get(column.name) or POSITION_MEANINGS[column.name])
            for column in RULE_COLUMNS]  # fmt: skip
    return (
        f"\n## [[rules]]\n\n{_first_line(Rule)}\n\nAny number of rules, in the file only. Their order counts: the "
        "first broken one is the reason.\n\n"
        + _table(("key", "type", "required", "what it is"), rows)
        + "\nAn event breaks a rule where `when` is true (or not given) and `check` is not true. **Null is not true,\n"
        "and neither is an expression that fails on this event** (a cast of `'abc'` to a number, say). A rule that\n"
        "cannot be decided therefore rejects. Say what shall happen to a missing field:\n"
        "`coalesce(payload->>'amount', '0')`.\n\n"
        "A `when` that is null or fails is not true either: the rule is then not for this event.\n\n"
        "Predicates are SQL as DuckDB reads it. They see one event whose common fields are good, and nothing "
        "else:\nno other event, no table, no file. Times are UTC.\n\n" + _table(("column", "type", "what it is"), seen)
    )


def schema_page() -> str:
    """Columns of the four tables."""
    parts = [
        "# The tables of a lake\n\nTypes are Arrow's. No schema is ever inferred from data. Partition columns are not "
        "in the files; they are read\nfrom the log (`delta`) or the folder names (`parquet`, `json`). The values there "
        "are escaped: anything but ASCII\nletters, digits and `_.-` is percent-encoded, so are `_` and `.` in front "
        "and `.` at the end.\n"
    ]
    for name, schema in TABLES.items():
        _check_complete(MEANINGS[name], schema.names, name)
        by = ", ".join(f"`{column}`" for column in PARTITIONS[name])
        rows = [
            (f"`{field.name}`" + (" (partition)" if field.name in PARTITIONS[name] else ""), f"`{_type(field.type)}`",
             MEANINGS[name][field.name])
            for field in schema
        ]  # fmt: skip
        partitioning = f"Partitioned by {by}." if by else "Not partitioned."
        parts.append(f"\n## {name}\n\n{TABLE_MEANINGS[name]} {partitioning}\n\n")
        parts.append(_table(("column", "type", "what it is"), rows))
    parts.append(
        "\n## With `--format json`\n\nA line of `events` and `duplicates` is the original object with the derived "
        "fields added, `created_at` as Unix\nseconds, and `_headgate: {arrived_at, source, shard, sequence}`. Where "
        "the event has a field of such a name, ours\nwins and theirs is kept under `_original`; so is a `created_at` "
        "sent otherwise. `raw` of `rejected` is base64.\nThrough `headgate query` the columns are those above, and "
        "`payload` is the whole line.\n"
    )
    return "".join(parts)


def reasons_page() -> str:
    """Reject reasons and warnings."""
    _check_complete(REASONS, list(Reason), "reasons")
    _check_complete(WARNINGS, [*(w.label for w in Warn), PARTITION_FLOOD, REDELIVERED, ACCEPTED_AGAIN], "warnings")
    rejects = [(f"`{reason}`", REASONS[reason]) for reason in Reason]
    rejects.insert(-1, (f"`{RULE_PREFIX}<name>`", "A rule of your own is broken; see [config](config.md#rules)."))
    return (
        "# Reject reasons and warnings\n\n## Rejects\n\nA reject is a row in `rejected` with its exact bytes. Nothing "
        "else around it is lost: good events of the same\nrecord or file are stored. An event that breaks several "
        "rules carries one reason: its text and the types of its\nfields are looked at first, then id, name, time, "
        "your rules in their order, and the limit of types.\n\n"
        + _table(("reason", "the rule that it breaks"), rejects)
        + "\n## Warnings\n\nWarnings are counted, in the log, the summary and `quality`, and never change what is "
        "stored.\n\n" + _table(("warning", "what was seen"), [(f"`{name}`", WARNINGS[name]) for name in WARNINGS])
    )


def errors_page() -> str:
    """Errors by reaction, and exit codes."""
    rows = []
    for name, error in inspect.getmembers(errors, inspect.isclass):
        if issubclass(error, errors.HeadgateError) and error is not errors.HeadgateError:
            what, _, reaction = (inspect.getdoc(error) or "").partition(" Reaction: ")
            base = error.__mro__[1].__name__
            of = "" if base == "HeadgateError" else f" (a `{base}`)"
            code = "none" if error is errors.RecordError else str(error.exit_code)
            rows.append((f"`{name}`{of}", what, reaction, code))
    return (
        "# Errors and exit codes\n\nEvery error is of one of these families. A family says what Headgate does about "
        "it. The exit code is that of a\nprocess which the error ends; in a run `TransientError`, `CommitConflict` "
        "and `CommitUnknown` end nothing.\n\n"
        + _table(("error", "what happened", "reaction", "exit code"), sorted(rows))
        + "\nAn error is one line on standard error: what, where, how to mend it. `--debug` shows the traceback.\n\n"
        "## Exit codes\n\n" + _table(("code", "meaning"), [(str(c), EXIT_CODES[c]) for c in sorted(EXIT_CODES)])
    )


def metrics_page() -> str:
    """Every metric of Prometheus and CloudWatch."""
    _check_complete(EMF_MEANINGS, EMF_METRICS, "CloudWatch metrics")
    return (
        "# Metrics\n\n`headgate run ... --metrics 127.0.0.1:9464` (or `[telemetry] metrics`) serves them at `/metrics` "
        "in the text format of\nPrometheus, or in OpenMetrics where that is asked for. Nothing is served by default. "
        "What they are good for, `/healthz`,\n`/readyz` and alerts: [operations](operations.md#metrics-and-alerts).\n\n"
        "## What came in\n\nSums of the rows of [`quality`](quality.md) that this process committed, label by label. "
        "`event_type` is a label for the\nfirst `[telemetry] metric_event_types` types of which events were seen; all "
        "others are `other`, and parts of which no\ntype could be read `none`. A type called like these has `_` behind "
        "it. A type that has a label keeps it, and counters\nonly grow. `reason` and `warning` are those of "
        "[reasons](reasons.md), `field`, `rule` and `unit` those of\n[quality](schema.md#quality).\n\n"
        + _metrics(QUALITY_METRICS)
        + "\n## What the consumer does\n\n"
        + _metrics(RUN_METRICS)
        + "\nBeside them stand `process_cpu_seconds_total`, `process_resident_memory_bytes` and their like.\n\n"
        "## What the dashboard tells\n\n`headgate dashboard` serves `/metrics`, too: the same figures of what came in, "
        "of the whole lake instead of a process, and\nthese of the lake itself. While it runs its counters only grow: "
        "a type that was counted as `other` before an event of it\nwas accepted goes on under its own name, and what a "
        "replay takes back stays counted, beside what becomes of it. Started\nanew, it counts what the lake holds "
        "then.\n\n"
        + _metrics(LAKE_METRICS)
        + "\n## CloudWatch\n\nFunctions write a line of CloudWatch embedded metric format an invocation "
        "(`[telemetry] emf`), namespace `Headgate`,\ndimensions `Function` and `Lake`. What is not known in an "
        "invocation is not in its line. An invocation that comes again\nto Firehose's transformation counts again.\n\n"
        + _table(
            ("metric", "unit", "what it is"),
            [(f"`{name}`", unit, EMF_MEANINGS[name]) for name, unit in EMF_METRICS.items()],
        )
    )


def _metrics(metrics: Sequence[Metric]) -> str:
    rows = [(f"`{m.name}`", m.kind, ", ".join(f"`{label}`" for label in m.labels), m.unit, m.help) for m in metrics]
    return _table(("metric", "type", "labels", "unit", "what it is"), rows)


PAGES: dict[str, Callable[[], str]] = {
    "cli.md": cli_page,
    "config.md": config_page,
    "schema.md": schema_page,
    "reasons.md": reasons_page,
    "errors.md": errors_page,
    "designs/costs.md": costs_page,
    "metrics.md": metrics_page,
}
#: Pages of which one section is made: those of the designs.
PARTS = {f"designs/{root}.md": design for design, root in ROOTS.items()}


def page(name: str) -> str:
    """The text of one page.

    Args:
        name: its file name.
    """
    return MADE + PAGES[name]()


def with_part(name: str) -> str:
    """The text of a page of PARTS with its section made anew.

    Args:
        name: its file name.
    """
    return with_costs((DOCS / name).read_text(encoding="utf-8"), PARTS[name])


def main() -> None:
    """Write all pages beside this file."""
    for name in PARTS:
        (DOCS / name).write_text(with_part(name), encoding="utf-8")
    for name in PAGES:
        (DOCS / name).write_text(page(name), encoding="utf-8")


def _check_complete(meanings: Iterable[str], names: Iterable[str], where: str) -> None:
    if wrong := set(meanings) ^ set(names):
        raise KeyError(f"{where}: without a meaning, or a meaning without it: {', '.join(sorted(wrong))}")


def _kind(field: Mapping[str, object]) -> str:
    kinds = {
        "string": "text",
        "integer": "integer",
        "number": "number",
        "boolean": "true or false",
        "array": "list of texts",
    }
    options = field.get("anyOf")
    found = (
        [one.get("type", "string") for one in options] if isinstance(options, list) else [field.get("type", "string")]
    )
    return kinds[next(str(one) for one in found if one != "null")]


def _type(arrow: pa.DataType) -> str:
    return str(arrow).split(" ('")[0]


def _shell(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```\n"


def _first_line(spec: type) -> str:
    return (spec.__doc__ or "").splitlines()[0]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


if __name__ == "__main__":
    main()
