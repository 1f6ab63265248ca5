"""Where commands write: whole files, devices as they are; what `doctor` looks for."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from headgate.entrypoints.commands.doctor import DEPENDENCIES
from headgate.entrypoints.whole_file import whole_file
from headgate.testing.commands import run

ROOT = Path(__file__).parents[2]
EVENT = '{"event_uuid": "a", "event_name": "b", "created_at": 1790000000}\n'


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    (tmp_path / "a.jsonl").write_text(EVENT)
    assert run("run", tmp_path / "a.jsonl", tmp_path / "lake").exit_code == 0
    return tmp_path / "lake"


def test_a_device_stays_a_device(lake: Path, tmp_path: Path) -> None:
    null = tmp_path / "null"
    null.symlink_to("/dev/null")
    for command in (
        ("query", lake, "SELECT 1", "--output", "csv", "--out", null),
        ("report", lake, "--out", null),
        ("generate", "--events", 5, "--out", null, "--truth", null),
    ):
        assert run(*command).exit_code == 0
        assert null.is_symlink()


def test_what_fails_in_the_middle_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("before")
    with pytest.raises(TypeError), whole_file(path) as file:
        file.write("no bytes")  # type: ignore[arg-type]
    assert [one.name for one in tmp_path.iterdir()] == ["out"]
    assert path.read_text() == "before"


def test_a_link_and_permissions_stay(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("before")
    (tmp_path / "file").chmod(0o600)
    (tmp_path / "link").symlink_to("file")
    with whole_file(tmp_path / "link") as file:
        file.write(b"after")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "after"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    result = run("generate", "--events", 5, "--out", tmp_path / "none" / "out.jsonl")
    assert (result.exit_code, "make it first" in result.stderr) == (2, True)


def test_doctor_looks_for_everything_that_headgate_needs() -> None:
    needs = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    assert sorted(DEPENDENCIES) == sorted(need.split(">")[0] for need in needs)
