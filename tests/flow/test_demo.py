"""`demo` shows the whole flow, the same at every time, and touches no folder but its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from headgate.entrypoints.cli import cli

EVENTS = 1_500


def demo(folder: Path, *args: object, **env: str) -> Result:
    command = ["demo", "--dir", str(folder), "--events", str(EVENTS), *map(str, args)]
    return CliRunner().invoke(cli, command, env=env)


def test_demo_is_conserved_verified_and_as_generated(tmp_path: Path) -> None:
    result = demo(tmp_path / "demo")
    assert result.exit_code == 0, result.stderr
    assert "as generated  yes" in result.stdout
    assert "verified      proven, 1,500 positions" in result.stdout
    assert f"{EVENTS:,} received = " in result.stdout
    for reason in ("malformed_json", "not_an_object"):
        assert reason in result.stdout
    assert "headgate query" in result.stdout
    assert "\x1b" not in result.stdout


def test_demo_as_json_is_one_document(tmp_path: Path) -> None:
    result = demo(tmp_path / "demo", "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert told["as_generated"] is True
    assert told["differences"] == []
    assert told["verify"]["proven"] is True
    assert told["received"] == EVENTS == told["accepted"] + told["duplicates"] + told["rejected"]
    assert told["generated"]["accepted"] == told["accepted"] > EVENTS * 0.9
    assert sum(told["rejected_by_reason"].values()) == told["rejected"] > 0
    assert len(told["quality"]) == 5
    assert told["query"]["rows"]


def test_every_demo_gives_the_same_numbers(tmp_path: Path) -> None:
    def told(name: str) -> dict:
        found = json.loads(demo(tmp_path / name, "--json").stdout)
        times = ("source", "lake", "seconds", "events_per_second", "verify")
        return {key: value for key, value in found.items() if key not in times}

    first = told("a")
    assert told("b") == first
    assert told("a") == first


def test_settings_in_the_environment_do_not_change_the_demo(tmp_path: Path) -> None:
    result = demo(tmp_path / "demo", HEADGATE__ENVELOPE__ID="other", HEADGATE_CONFIG=str(tmp_path / "none.toml"))
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize("content", ["lake/precious", "events.jsonl", "notes.txt"])
def test_a_folder_that_is_not_the_demos_own_is_refused_and_left_alone(tmp_path: Path, content: str) -> None:
    file = tmp_path / "mine" / content
    file.parent.mkdir(parents=True)
    file.write_text("precious")
    result = demo(tmp_path / "mine")
    assert result.exit_code == 2
    assert "--dir" in result.stderr
    assert [p for p in (tmp_path / "mine").rglob("*") if p.is_file()] == [file]
    assert file.read_text() == "precious"


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert demo(tmp_path / "file").exit_code == 2


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert demo(tmp_path / "empty").exit_code == 0
