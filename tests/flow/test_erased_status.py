"""`status` names erasures and counts the rows that are left; `query` says why a time before one cannot be shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from headgate.lake.local import LocalStorage
from headgate.testing.commands import ok, run
from headgate.testing.erasure import erase_rows, finish, record_rows, remove_rows

TABLES = ("events", "duplicates", "rejected")
STRICT = '[[rules]]\nname = "n"\ncheck = "CAST(payload->>\'n\' AS INT) < 5"\n'


@pytest.fixture(params=["delta", "parquet", "json"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """40 records of 20 ids, half of them rejected by a rule."""
    events = [
        {"event_uuid": f"id-{i % 20}", "event_name": f"t{i % 2}", "created_at": 1_790_000_000, "n": i % 10}
        for i in range(40)
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    (tmp_path / "strict.toml").write_text(STRICT)
    ok("run", tmp_path / "a.jsonl", tmp_path / "lake", "--format", request.param, "--config", tmp_path / "strict.toml")
    return tmp_path / "lake"


def storage(lake: Path) -> LocalStorage:
    return LocalStorage(str(lake))


def rows(lake: Path) -> dict[str, int | None]:
    return {table: ok("status", lake)["tables"][table]["rows"] for table in TABLES}


def counted(lake: Path) -> dict[str, int]:
    (found,) = ok("query", lake, "SELECT " + ", ".join(f"(SELECT count(*) FROM {t}) AS {t}" for t in TABLES))
    return found


def early(lake: Path, table: str) -> Callable[[Mapping[str, Any]], bool]:
    """The first three rows of a table, settled or not."""
    name = table if table == "events" else f"{table}_all"
    found = ok("query", lake, f"SELECT sequence FROM {name} ORDER BY CAST(sequence AS INT) LIMIT 3")
    places = {row["sequence"] for row in found}
    return lambda row: row["sequence"] in places


def test_finished_erasures_are_counted_and_so_are_the_rows_that_are_left(lake: Path) -> None:
    assert ok("status", lake)["erasures"] == {"number": 0, "rows": {}, "unfinished": []}
    assert "erasures  " not in run("status", lake).stdout
    for table in TABLES:
        assert erase_rows(storage(lake), table, early(lake, table)) == 3
    assert rows(lake) == counted(lake)
    found = ok("status", lake)
    assert found["erasures"] == {"number": 3, "rows": dict.fromkeys(sorted(TABLES), 3), "unfinished": []}
    assert found["counts"]["received"] == 40
    assert "3, erased: duplicates 3, events 3, rejected 3" in run("status", lake).stdout


def test_rows_that_replays_had_settled_are_not_taken_off_twice(lake: Path) -> None:
    assert ok("replay", lake)["accepted"]
    for table in TABLES:
        assert erase_rows(storage(lake), table, early(lake, table)) == 3
    assert rows(lake) == counted(lake)


def test_an_erasure_without_a_receipt_is_named_until_it_has_one(lake: Path) -> None:
    wanted = early(lake, "events")
    record_rows(storage(lake), "events", wanted, erasure="x")
    is_delta = (lake / "events" / "_delta_log").exists()
    for _ in range(2):  # before the rows go, and after
        found = ok("status", lake)
        assert found["erasures"] == {"number": 1, "rows": {}, "unfinished": ["x-events"]}
        assert found["tables"]["events"]["rows"] == (counted(lake)["events"] if is_delta else None)
        assert "not finished: x-events: run `headgate erase` again" in run("status", lake).stdout
        remove_rows(storage(lake), "events", wanted)
    erase_rows(storage(lake), "rejected", lambda row: False, erasure="y")
    finish(storage(lake), "y-rejected", continues=["x-events"])
    assert rows(lake) == counted(lake)
    assert ok("status", lake)["erasures"]["unfinished"] == []


@pytest.mark.parametrize("lake", ["delta"], indirect=True)
def test_a_time_before_an_erasure_cannot_be_shown_any_more(lake: Path) -> None:
    as_of = datetime.now(tz=UTC).isoformat()
    erase_rows(storage(lake), "events", early(lake, "events"))
    done = run("query", lake, "SELECT count(payload) FROM events", "--as-of", as_of)
    assert done.exit_code == 2
    assert "files of that time were deleted since" in done.stderr
    assert "`erase` does not keep them" in done.stderr
    assert ok("query", lake, "SELECT count(*) AS n FROM rejected", "--as-of", as_of) == [{"n": 20}]
