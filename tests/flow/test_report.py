"""The report of a stream with known faults has the injected figures, and those of `quality` and `check`."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from headgate.claims.memory import MemoryClaimStore
from headgate.core.slo import Allowed
from headgate.jobs.check import check
from headgate.jobs.existing import find_lake
from headgate.lake.local import LocalStorage
from headgate.lake.read import relation
from headgate.report.collect import Report, collect
from headgate.report.drift import LateHour, Turn, UnitSwitch
from headgate.report.findings import verdict
from headgate.report.history import Span
from headgate.report.lake_tables import shards_table
from headgate.report.machine import for_machines
from headgate.report.page import render
from headgate.report.tables import types_table
from headgate.testing.commands import ok, run
from headgate.testing.compaction import compacted
from headgate.testing.faulty_stream import EVENTS, HOUR, HOUR_US, START_US, faulty_hour, good_hour
from headgate.testing.memory_source import Stream
from headgate.testing.world import Attempt, World

FORMATS = ("delta", "parquet", "json")
MINUTE_US = 60_000_000
COUNTS = ("received", "accepted", "duplicates", "conflicts", "rejected")


@pytest.fixture(scope="module", params=FORMATS)
def lake(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good hour and a faulty one, each committed at its end."""
    folder = tmp_path_factory.mktemp("lake")
    claims = MemoryClaimStore()
    stream = Stream(shards={"s": good_hour()})
    world = World(stream, LocalStorage(folder), request.param, lambda: claims)
    world.clock.step(HOUR - 1)
    world.run(Attempt(fields=("user.id",), batch_events=2_000))
    stream.shards["s"] += faulty_hour()
    world.clock.step(HOUR)
    world.run(Attempt(fields=("user.id",), batch_events=2_000))
    return folder


@pytest.fixture(scope="module")
def report(lake: Path) -> Report:
    return collect(find_lake(str(lake)), now_us=START_US + 2 * HOUR_US)


def targets(page: str) -> set[str]:
    return set(re.findall(r'href="#([^"]*)"', page))


def anchors(page: str) -> set[str]:
    return set(re.findall(r' id="([^"]*)"', page))


def test_the_injected_faults_are_named_exactly(report: Report) -> None:
    first, second = (START_US + hour * HOUR_US - 1_000_000 for hour in (1, 2))
    minute = second - second % MINUTE_US
    (switch,) = report.drift.switches
    assert switch == UnitSwitch(
        event_type="click", unit="milliseconds", before="seconds", began_us=minute, events=900, share=0.75
    )
    (stopped,) = report.drift.stopped
    assert (stopped.event_type, stopped.events, report.drift.begun) == ("stops", EVENTS, [])
    assert stopped == Turn(
        event_type="stops", at_us=first - first % MINUTE_US + MINUTE_US, events=EVENTS, expected=EVENTS
    )
    (late,) = report.drift.late
    created = START_US + HOUR_US - 3_660_000_000
    assert late == LateHour(
        event_type="late",
        staged_us=second - second % HOUR_US,
        late=EVENTS,
        events=EVENTS,
        created_min_us=created,
        created_max_us=created + (EVENTS - 1) * (HOUR_US // EVENTS),
    )


def test_totals_are_the_injected_ones_and_conserved(report: Report) -> None:
    total, pay = report.total, report.types["pay"]
    assert (total.received, total.accepted, total.duplicates, total.conflicts, total.rejected) == (
        8_406, 8_352, 48, 16, 6,
    )  # fmt: skip
    assert report.is_conserved
    assert (dict(pay.missing)["user.id"], pay.looked["user.id"], dict(total.reasons)) == (
        24,
        2_400,
        {"malformed_json": 6},
    )
    series = report.history.series(report.span)
    assert [getattr(series, name).sum() for name in COUNTS] == [getattr(total, name) for name in COUNTS]


def test_report_sql_and_check_agree(lake: Path, report: Report) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone='UTC'")
        quality = relation(connection, LocalStorage(lake), "quality")  # noqa: F841  read by DuckDB
        sums = ", ".join(f"sum({name})::BIGINT" for name in COUNTS)
        by_sql = {
            row[0]: row[1:] for row in connection.sql(f"SELECT event_type, {sums} FROM quality GROUP BY 1").fetchall()
        }
    found = for_machines(report)
    assert {one["event_type"]: tuple(one[name] for name in COUNTS) for one in found["types"]} == by_sql
    second = collect(find_lake(str(lake)), now_us=START_US + 3 * HOUR_US, since_us=START_US + HOUR_US)
    checked = check(find_lake(str(lake)), Allowed(), start_us=START_US + HOUR_US, end_us=START_US + 2 * HOUR_US)
    assert [for_machines(second)["totals"][name] for name in COUNTS] == [
        getattr(checked.figures, name) for name in COUNTS
    ]
    assert second.total.missing["user.id"] == checked.figures.missing["user.id"] == 24


def test_every_fault_has_a_sentence_and_a_command_that_can_be_typed(report: Report) -> None:
    said = {finding.sentence: finding for finding in report.findings}
    for start in (
        "stops stopped arriving at", "16 duplicates had other bytes", "click sends created_at as milliseconds since",
        "1,200 events of late arrived more than an hour after", "0.0714 % of what was received was rejected (6)",
    ):  # fmt: skip
        assert [sentence for sentence in said if sentence.startswith(start)], (start, list(said))
    assert verdict(report.findings) == "bad"
    page = render(report)
    for finding in report.findings:
        assert not finding.command or finding.command.startswith("headgate ")
        assert page.count(f'href="#{finding.topic}"') > (finding.topic != "late"), finding
    assert targets(page) <= anchors(page)
    for text in (
        "8,406 received = 8,352 accepted + 48 duplicates + 6 rejected",
        "conserved",
        "milliseconds",
        "{</pre>",
    ):
        assert text in page, text


def test_the_json_is_plain_and_has_the_same_figures(report: Report) -> None:
    found = json.loads(json.dumps(for_machines(report), allow_nan=False))
    assert found["conserved"] is True
    assert found["drift"]["switches"][0]["event_type"] == "click"
    late = next(one for one in found["types"] if one["event_type"] == "late")
    assert late["created_to_arrived"]["buckets"] == {"2.5": EVENTS, "7200.0": EVENTS}
    assert sum(found["series"]["received"]) == found["totals"]["received"]
    assert found["tables"]["events"]["files"] > 0
    assert {sample["group"] for sample in found["samples"]["duplicates"]} == {"natural", "conflicting"}
    assert [sample["text"] for sample in found["samples"]["rejects"]] == ["{"] * 3


@pytest.mark.parametrize("table_format", FORMATS)
def test_a_lake_without_events_has_a_report(tmp_path: Path, table_format: str) -> None:
    (tmp_path / "none.jsonl").write_text("")
    ok("run", tmp_path / "none.jsonl", tmp_path / "lake", "--format", table_format)
    found = collect(find_lake(str(tmp_path / "lake")), now_us=START_US)
    assert (found.total.received, found.is_conserved, found.history.rows) == (0, True, 0)
    assert "Nothing came in yet" in render(found)
    assert for_machines(found)["totals"]["accepted"] == 0


def test_compaction_and_a_quiet_time_change_nothing_but_what_they_are_about(tmp_path: Path) -> None:
    lines = [{"event_uuid": f"i{n}", "event_name": f"t{n % 3}", "created_at": 1_790_000_000} for n in range(300)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in [*lines, *lines[:9]]) + "nope\n")
    ok("run", tmp_path / "a.jsonl", tmp_path / "lake", "--batch-events", "30")
    lake = find_lake(str(tmp_path / "lake"))
    before = collect(lake, now_us=START_US)
    compacted(tmp_path / "lake")
    after = collect(lake, now_us=START_US)
    assert (after.total, after.types) == (before.total, before.types)
    assert sum(table.joinable for table in before.facts.tables) > 0
    assert sum(table.joinable for table in after.facts.tables) == 0
    assert (after.total.received, after.total.duplicates, after.total.rejected) == (310, 9, 1)
    quiet = collect(lake, now_us=4_000_000_000_000_001, since_us=4_000_000_000_000_000)
    assert (quiet.total.received, quiet.is_conserved) == (0, True)
    page = render(quiet)
    assert "Nothing in this time" in page
    assert "time" in {finding.topic for finding in quiet.findings}  # a part that this page has not
    assert targets(page) <= anchors(page)


def test_a_time_that_holds_only_a_replay_has_a_report_with_negative_sums(tmp_path: Path) -> None:
    lines = [{"event_uuid": f"i{n}", "event_name": "pay", "created_at": 1_790_000_000, "n": n} for n in range(200)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for name, limit in (("strict", 50), ("loose", 150)):
        rule = f"[[rules]]\nname = 'small'\ncheck = \"CAST(payload->>'n' AS DOUBLE) < {limit}\"\n"
        (tmp_path / f"{name}.toml").write_text(rule)
    ok("run", tmp_path / "a.jsonl", tmp_path / "lake", "--config", tmp_path / "strict.toml")
    lake = find_lake(str(tmp_path / "lake"))
    since_us = (collect(lake, now_us=START_US).history.last_us or 0) + 1
    ok("replay", tmp_path / "lake", "--config", tmp_path / "loose.toml")
    found = collect(lake, now_us=since_us, since_us=since_us)
    assert (found.total.received, found.total.accepted, found.total.rejected) == (0, 100, -100)
    assert found.is_conserved
    assert "0 received = 100 accepted + 0 duplicates + -100 rejected" in render(found)
    whole = collect(lake, now_us=since_us)
    assert (whole.is_conserved, dict(whole.total.rule_failures)["small"]) == (True, 50)
    shown = [sample.text[-4:-1] for sample in whole.rejects]
    assert len(shown) == 3
    assert set(shown) <= {str(n) for n in range(150, 200)}


def test_the_command_writes_the_page_whole_and_says_what_stands_out(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("rubbish\n" * 200)
    ok("run", tmp_path / "a.jsonl", tmp_path / "lake")
    out = tmp_path / "r.html"
    out.write_text("old")
    done = run("report", tmp_path / "lake", "--out", out)
    assert (done.exit_code, out.read_text().startswith("<!doctype html>")) == (0, True)
    assert "100 % of what was received was rejected (200)" in done.stdout
    assert [path.name for path in tmp_path.glob(".r.html*")] == []
    printed = run("report", tmp_path / "lake", "--out", "-")
    assert printed.stdout.startswith("<!doctype html>")
    assert ok("report", tmp_path / "lake", "--window", "1h")["totals"]["rejected"] == 200
    for wrong, said in (
        (("--out", tmp_path), "is a folder"),
        (("--out", tmp_path / "no" / "r.html"), "there is no folder"),
        (("--since", "yesterday"), "expected a time with an offset"),
        (("--window", "0s"), "expected more than 0s"),
    ):
        failed = run("report", tmp_path / "lake", *wrong)
        assert failed.exit_code == 2, wrong
        assert said in failed.stderr


def test_counts_that_do_not_add_up_are_said_aloud(report: Report) -> None:
    broken = replace(report, total=replace(report.total, accepted=1), is_conserved=False)
    page = render(broken)
    assert "not conserved" in page
    assert "8,406 received ≠ 1 accepted" in page


def test_what_is_to_be_copied_from_the_page_is_shown_as_it_is(report: Report) -> None:
    sample = replace(report.rejects[0], text='{"a": "5 min, 3 %"}')
    page = render(replace(report, lake="/data/2 d/lake", rejects=[sample]))
    assert "headgate check &#39;/data/2 d/lake&#39;" in page
    assert "{&#34;a&#34;: &#34;5 min, 3 %&#34;}" in page
    assert "\N{NO-BREAK SPACE}" not in page
    assert '<span class="unit">0.0714 %</span> of what was received was rejected' in page


def test_the_lag_of_a_shard_is_left_out_where_another_source_has_one_of_its_name(report: Report) -> None:
    status = report.facts.status
    (own,) = status.shards
    assert report.history.lags.keys() == {own.shard} == for_machines(report)["shard_lag"].keys()
    assert shards_table(report).rows[0].cells[-1] != "–"
    twins = replace(status, shards=[own, replace(own, source="another")])
    both = replace(report, facts=replace(report.facts, status=twins))
    assert [row.cells[-1] for row in shards_table(both).rows] == ["–", "–"]
    assert for_machines(both)["shard_lag"] == {}


def test_a_type_that_no_step_of_the_charts_holds_has_its_row(report: Report) -> None:
    rows = types_table(replace(report, span=Span(START_US - HOUR_US, HOUR_US, 1))).rows
    assert len(rows) == len(report.types)


def test_values_that_fit_no_column_of_a_typed_table_are_told(tmp_path: Path) -> None:
    for file, amount in (("a", 5), ("b", "much <b>")):
        events = [
            {"event_uuid": f"{file}{n}", "event_name": "pay", "created_at": 1_790_000_000 + n, "amount": amount}
            for n in range(20)
        ]
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / f"{file}.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
        ok("run", tmp_path / "in", tmp_path / "lake")
        if file == "a":
            ok("build", tmp_path / "lake")
            said = [finding.sentence for finding in collect(find_lake(str(tmp_path / "lake")), now_us=1).findings]
            assert not [sentence for sentence in said if "typed tables" in sentence]
    lake = find_lake(str(tmp_path / "lake"))
    behind = [finding for finding in collect(lake, now_us=1).findings if "typed tables" in finding.sentence]
    assert [finding.command for finding in behind] == [f"headgate build {tmp_path / 'lake'}"]
    ok("build", tmp_path / "lake")
    found = collect(lake, now_us=1)
    (typed,) = found.facts.typed
    assert (typed.name, sum(typed.drift.values())) == ("pay", 20)
    assert [finding.level for finding in found.findings if "20 values of amount" in finding.sentence] == ["warn"]
    assert "values that are in no column" in render(found)
    assert for_machines(found)["typed"]["drift"][0]["values"] == 20
