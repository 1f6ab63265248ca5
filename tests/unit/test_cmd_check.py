"""`check`: exit codes, sentences, JSON, defaults, and what is wrong with an option."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from headgate.testing.commands import run

FORMATS = ("delta", "parquet", "json")


def line(i: int, kind: str = "a", **more: object) -> str:
    return json.dumps({"event_uuid": str(i), "event_name": kind, "created_at": 1_700_000_000, **more}) + "\n"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 400 events of `a` and 100 of `b` are 40 duplicates of `a`; 10 lines are rubbish."""
    file = tmp_path_factory.mktemp("source") / "a.jsonl"
    lines = [line(i % 360, user={"id": i % 360 or None}) for i in range(400)]
    file.write_text("".join([*lines, *(line(1_000 + i, "b\x1b") for i in range(100)), *["rubbish\n"] * 10]))
    return file


@pytest.fixture(scope="module", params=FORMATS)
def lake(request: pytest.FixtureRequest, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lake") / "lake"
    done = run("run", source, folder, "--format", request.param, HEADGATE__QUALITY__FIELDS="user.id")
    assert done.exit_code == 0, done.stderr
    return folder


def test_what_is_kept_is_said_with_exit_code_0(lake: Path) -> None:
    found = run("check", lake, "--max-reject-rate", 0.02, "--max-duplicate-rate", 0.1, "--min-events", 460)
    assert found.exit_code == 0, found.stdout
    assert "510 received = 460 accepted + 40 duplicates + 10 rejected" in found.stdout
    assert "max_reject_rate: 3 of 3 kept (all types, a, b\\x1b)" in found.stdout
    assert "rejects of all types: 1.96 % (10 of 510), allowed 2 %" in found.stdout
    assert found.stdout.splitlines()[-1] == "kept"


def test_each_breach_is_a_sentence_and_the_exit_code_3(lake: Path) -> None:
    found = run("check", lake, "--max-duplicate-rate", 0.09, "--max-missing-rate", "user.id=0.003")
    assert found.exit_code == 3
    said = [text for text in found.stdout.splitlines() if text.startswith("BREACH")]
    assert said == [
        "BREACH duplicates of a: 10 % (40 of 400), allowed 9 %",
        "BREACH missing user.id of all types: 20.4 % (102 of 500), allowed 0.3 %",
        "BREACH missing user.id of a: 0.5 % (2 of 400), allowed 0.3 %",
        "BREACH missing user.id of b\\x1b: 100 % (100 of 100), allowed 0.3 %",
    ]
    assert found.stdout.splitlines()[-1] == "NOT kept: 4 breaches"


def test_for_machines(lake: Path) -> None:
    found = run("check", lake, "--type", "a", "--max-duplicate-rate", 0.09, "--min-volume-ratio", 0.5, "--json")
    assert found.exit_code == 3
    told = json.loads(found.stdout)
    assert (told["kept"], told["default_thresholds"], told["not_judged"]) == (False, False, ["min_volume_ratio"])
    assert told["counts"] == {"received": 400, "accepted": 360, "duplicates": 40, "conflicts": 0, "rejected": 0}
    (breach,) = told["breaches"]
    assert (breach["check"], breach["event_type"], breach["found"], breach["allowed"]) == (
        "max_duplicate_rate",
        "a",
        0.1,
        0.09,
    )


def test_without_thresholds_the_defaults_hold_and_are_named(lake: Path) -> None:
    found = run("check", lake)
    assert found.exit_code == 0
    assert "the defaults are used" in found.stdout
    checks = {finding["check"] for finding in json.loads(run("check", lake, "--json").stdout)["checked"]}
    assert checks == {"max_duplicate_rate", "max_conflict_rate", "max_reject_rate"}


def test_thresholds_come_from_the_configuration_and_flags_win(lake: Path, tmp_path: Path) -> None:
    file = tmp_path / "headgate.toml"
    file.write_text('[quality.slo]\nmax_reject_rate = 0.01\nmax_freshness = "1d"\nmin_sample = 1\n')
    found = run("check", lake, "--config", file)
    assert found.exit_code == 3
    assert "BREACH rejects of all types: 1.96 % (10 of 510), allowed 1 %" in found.stdout
    assert run("check", lake, "--config", file, "--max-reject-rate", 0.5).exit_code == 0
    assert run("check", lake, HEADGATE__QUALITY__SLO__MAX_REJECT_RATE="0.01").exit_code == 3


def test_a_window_that_has_not_ended_is_judged_by_now(lake: Path) -> None:
    since = (datetime.now(UTC) - timedelta(minutes=30)).isoformat()
    for more in ((), ("--window", "300d")):
        found = run("check", lake, "--since", since, *more, "--max-freshness", "2h")
        assert found.exit_code == 0, found.stdout


def test_an_hour_without_data_breaks_only_what_asks_for_data(lake: Path) -> None:
    old = ("--since", "2020-01-01T00:00:00Z", "--window", "1h")
    found = run("check", lake, *old, "--max-reject-rate", 0)
    assert found.exit_code == 0
    assert "max_reject_rate: not judged" in found.stdout
    assert run("check", lake, *old, "--min-events", 1).exit_code == 3
    assert run("check", lake, *old, "--max-freshness", "1h").exit_code == 3
    assert run("check", lake, "--since", "2020-01-01T00:00:00Z", "--max-reject-rate", 0).exit_code == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--type", "c"], "has no event type 'c'"),
        (["--window", "soon"], "--window: 'soon' is no duration"),
        (["--window", "0s"], "--window 0s: expected more than 0s"),
        (["--since", "yesterday"], "expected a time with an offset"),
        (["--since", "9999-01-01T00:00:00Z"], "lies in the future"),
        (["--since", "0001-01-01T00:00:00Z"], "lies before 1970"),
        (["--window", "999999d"], "at most 36500d"),
        (["--max-reject-rate", "2"], "quality.slo.max_reject_rate = 2"),
        (["--max-missing-rate", "x=y"], "field=share"),
        (["--max-freshness", "soon"], "max_freshness"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_2(lake: Path, options: list[str], said: str) -> None:
    found = run("check", lake, *options)
    assert found.exit_code == 2
    assert said in found.stderr
    assert len(found.stderr.splitlines()) == 1


def test_a_folder_that_is_no_lake_is_named(tmp_path: Path) -> None:
    found = run("check", tmp_path)
    assert (found.exit_code, "no lake" in found.stderr) == (2, True)
