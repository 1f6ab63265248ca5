"""`headgate erase` on lakes that commands made: replayed, built, compacted, and asked on a terminal."""

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from headgate.lake.local import LocalStorage
from headgate.testing.commands import ok, run
from headgate.testing.erasing import PERSON, others, traces

STRICT = '[[rules]]\nname = "amount"\ncheck = "CAST(payload->>\'amount\' AS DOUBLE) < 10"\n'
WHERE = f"payload->>'account' = '{PERSON}'"
ASKED = ("--where", WHERE, "--contains", PERSON)


def event(n: int) -> str:
    """Every third one is the person's; those from 10 on break the strict rule; ids come again after 15."""
    owner = PERSON if n % 3 == 0 else "other"
    name = f"of-them-{n % 15}" if owner == PERSON else f"id-{n % 15}"
    fields = {"event_uuid": name, "event_name": "pay:order", "created_at": 1_790_000_000 + n, "amount": n}
    return json.dumps({**fields, "account": owner}) + "\n"


@pytest.fixture(scope="module", params=["delta", "parquet", "json"])
def made(request, tmp_path_factory) -> Path:
    """Rows of the person and of others in every table: rejected by a rule, replayed, copied, built, compacted."""
    folder = tmp_path_factory.mktemp("made")
    source, lake = folder / "a.jsonl", folder / "lake"
    source.write_text("".join(map(event, range(20))) + f'{{"account":"{PERSON}"\n{{"account":"other"\n')
    (folder / "strict.toml").write_text(STRICT)
    ok("run", source, lake, "--format", request.param, "--config", folder / "strict.toml", "--batch-events", 5)
    ok("build", lake)
    if request.param == "delta":
        ok("compact", lake)
    assert ok("replay", lake)["accepted"] == 5
    ok("run", source, lake, "--source-name", "again")
    return lake


def test_a_dry_run_counts_and_writes_nothing(made):
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    done = ok("erase", made, *ASKED, "--dry-run")
    assert done["receipt"] is None
    assert done["found"]["rows"]["events"] == 5
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*")} == before


def test_wrong_use_is_said_in_one_line_and_touches_nothing(made):
    before = sorted(made.rglob("*"))
    for arguments, said in {
        (): "nothing to look for",
        ("--where", "nobody = 1"): "nobody",
        ("--where", "payload"): "not true or false",
        ("--where", "true) FROM events --"): "--where",
        ("--where", "event_uuid IN (SELECT 'a')"): "subquery",
        ("--where", "count(*) > 1"): "aggregate",
    }.items():
        result = run("erase", made, *arguments)
        assert result.exit_code == 2
        assert said in result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert sorted(made.rglob("*")) == before


def test_asked_on_a_terminal_a_no_removes_nothing(made):
    before = traces(LocalStorage(made))
    main = "from headgate.entrypoints.cli import main; main()"
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", main, "erase", str(made), *ASKED],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "HEADGATE_CONFIG": ""},
    ) as process:
        os.close(theirs)
        os.write(ours, b"n\n")
        said, _ = process.communicate()
    os.close(ours)
    assert process.returncode == 1
    assert b"rows found" in said
    assert set(before) <= set(traces(LocalStorage(made)))


def test_everything_goes_what_replays_settled_too_and_the_lake_goes_on(made, tmp_path):
    lake = tmp_path / "lake"
    shutil.copytree(made, lake)
    storage = LocalStorage(lake)
    before = others(storage)
    assert sum(map(len, before.values())) > 20
    shown = run("erase", lake, *ASKED)
    assert shown.exit_code == 0, shown.stderr
    assert "receipt.json" in shown.stdout
    assert traces(storage) == []
    assert others(storage) == before
    assert "nothing matches" in run("erase", lake, *ASKED).stdout
    if (lake / "events" / "_delta_log").exists():
        ok("compact", lake)
    assert ok("build", lake)["rows"] == 0
    assert ok("query", lake, "SELECT count(*) AS n FROM rejected_all") == [{"n": 7 + 2}]
    assert others(storage) == before
