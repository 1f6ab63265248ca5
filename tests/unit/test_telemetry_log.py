"""Log lines: one line a fact whatever it holds, JSON that can be read back, colours on a terminal only."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace

import pytest

from headgate.config import Config
from headgate.config.telemetry import Log
from headgate.records import Counts
from headgate.telemetry.facts import BatchCommitted, BatchFinished, LagMeasured, Noticed, RunStarted, StageTimed
from headgate.telemetry.log import LogLines
from headgate.wiring.telemetry import log_lines

HOSTILE = "\x1b[2Jgone\r\n2026-01-01 INFO forged\u2028\u202e\x9b31m\x7f"
FINISHED = BatchFinished(
    number=12, counts=Counts(250_000, 240_000, 9_000, 1_000), conflicts=3_000, reasons={"malformed_json": 1_000},
    warnings={"created_at_text": 7}, types=100, payload_bytes=80_000_000, files=120, file_bytes=9_000_000, shards=4,
    seconds={"decode": 0.41234, "ack": 0.0}, took_seconds=2.5, lag={"bytes": 0.0},
)  # fmt: skip


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Full(io.StringIO):
    def write(self, text):
        raise OSError(28, "No space left on device")


def written(*facts, style="json", level="info", **more):
    stream = io.StringIO()
    lines = LogLines(stream, level=level, style=style, now_us=lambda: 1_790_000_000_123_000, **more)
    for fact in facts:
        lines.emit(fact)
    return stream.getvalue()


def test_a_batch_is_one_line_with_everything_that_matters():
    line = json.loads(written(FINISHED))
    assert (line["event"], line["level"], line["number"]) == ("batch_committed", "INFO", 12)
    assert line["counts"] == {"received": 250_000, "accepted": 240_000, "duplicates": 9_000, "rejected": 1_000}
    assert line["reasons"] == {"malformed_json": 1_000}
    assert line["seconds"] == {"decode": 0.4123, "ack": 0.0}
    assert {"warnings", "files", "file_bytes", "payload_bytes", "shards", "types", "conflicts", "lag"} < line.keys()


def test_what_a_batch_tells_on_its_way_is_for_debugging_only():
    way = [
        BatchCommitted(number=1, counts=Counts()),
        StageTimed(stage="ack", batch=1, wall_seconds=0, cpu_seconds=0),
        LagMeasured(lag={"bytes": 1.0}),
    ]
    assert written(*way) == ""
    assert [json.loads(line)["event"] for line in written(*way, level="debug").splitlines()] == [
        "entry_written", "stage_timed", "lag_measured",
    ]  # fmt: skip


def test_lines_for_people_are_aligned():
    lines = written(FINISHED, replace(FINISHED, counts=Counts(5, 5, 0, 0)), style="text").splitlines()
    assert {line.index("received") for line in lines} == {lines[0].index("received")}
    assert {line.index("duplicates") for line in lines} == {lines[0].index("duplicates")}
    assert "250,000 received" in lines[0]


@pytest.mark.parametrize("style", ["text", "json"])
def test_nothing_from_the_data_steers_a_terminal_or_forges_a_line(style):
    finished = replace(FINISHED, reasons={HOSTILE: 1})
    started = RunStarted(source=HOSTILE, lake=HOSTILE, format="delta", claims="", ledger_number=0)
    text = written(Noticed(what=HOSTILE), finished, started, style=style)
    assert text.count("\n") == 3
    assert len(text.splitlines()) == 3
    assert text.replace("\n", "").isprintable()


def test_a_line_that_cannot_be_written_is_lost_and_nothing_else():
    LogLines(Full(), level="info", style="json", now_us=lambda: 0).emit(FINISHED)
    closed = io.StringIO()
    closed.close()
    LogLines(closed, level="info", style="text", now_us=lambda: 0).emit(FINISHED)


@pytest.mark.parametrize(
    ("stream", "env", "said", "is_text", "is_coloured"),
    [
        (Terminal, {}, None, True, True),
        (Terminal, {"NO_COLOR": "1"}, None, True, False),
        (Terminal, {"TERM": "dumb"}, None, True, False),
        (Terminal, {}, "json", False, False),
        (io.StringIO, {}, None, False, False),
        (io.StringIO, {}, "text", True, False),
    ],
)
def test_text_and_colour_are_for_terminals_unless_a_setting_says_otherwise(
    monkeypatch, stream, env, said, is_text, is_coloured
):
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    to = stream()
    log_lines(Config(log=Log(format=said)), to).emit(FINISHED)
    assert to.getvalue().startswith("{") is not is_text
    assert bool(re.search("\x1b\\[", to.getvalue())) is is_coloured
