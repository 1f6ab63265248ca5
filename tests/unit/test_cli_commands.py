"""The commands generate, init, config and doctor, as a user types them."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import zstandard

from headgate.config import sample_toml
from headgate.testing.commands import run

START = ("--start", "2026-01-01T00:00:00Z")


def generated(out: Path, *args: object) -> bytes:
    result = run("generate", "--events", 300, "--out", out, *START, *args)
    assert result.exit_code == 0, result.stderr
    return out.read_bytes()


def test_generate_compresses_as_the_name_says(tmp_path: Path) -> None:
    plain = generated(tmp_path / "a.jsonl")
    assert plain.count(b"\n") == 300
    assert gzip.decompress(generated(tmp_path / "a.jsonl.gz")) == plain
    packed = generated(tmp_path / "a.jsonl.zst")
    assert zstandard.ZstdDecompressor().decompressobj().decompress(packed) == plain
    assert generated(tmp_path / "b.jsonl.gz") == generated(tmp_path / "c.jsonl.gz")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "a.jsonl",
        "a.jsonl.gz",
        "a.jsonl.zst",
        "b.jsonl.gz",
        "c.jsonl.gz",
    ]


def test_generate_to_standard_output_keeps_the_summary_out_of_it(tmp_path: Path) -> None:
    plain = generated(tmp_path / "a.jsonl")
    for more in ((), ("--json",)):
        result = run("generate", "--events", 300, "--out", "-", *START, *more)
        assert result.exit_code == 0
        assert result.stdout_bytes == plain
        assert "300" in result.stderr


def test_generate_writes_the_truth(tmp_path: Path) -> None:
    truth_path = tmp_path / "truth.json"
    result = run("generate", "--events", 2000, "--out", tmp_path / "a.jsonl", "--truth", truth_path, "--json", *START)
    truth = json.loads(truth_path.read_text())
    assert json.loads(result.stdout) == truth
    assert truth["received"] == 2000 == truth["accepted"] + truth["duplicates"] + truth["rejected"]
    assert truth["rejected"] == sum(truth["rejected_by_reason"].values()) > 0
    assert truth["accepted"] == sum(truth["accepted_by_type"].values())
    assert truth["spec"]["start_ms"] == 1_767_225_600_000


def test_generate_by_default_ends_now_and_never_in_the_future(tmp_path: Path) -> None:
    before = datetime.now(UTC).timestamp()
    options = ("--events", 400, "--rate", 10, "--invalid", 0, "--late", 0, "--types", 3)
    assert run("generate", *options, "--out", tmp_path / "a.jsonl").exit_code == 0
    lines = (tmp_path / "a.jsonl").read_text("utf-8").splitlines()
    created = [json.loads(line)["created_at"] for line in lines]
    assert before - 15 < max(created) <= datetime.now(UTC).timestamp()
    assert before - 70 < min(created) < before - 35


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (("--events", 5, "--out", "kinesis://"), "names no stream"),
        (("--events", 5, "--out", "s3://bucket/x"), "not supported"),
        (("--events", 5, "--out", "."), "is a folder"),
        (("--events", 5, "--out", "no/such/folder/x.jsonl"), "does not exist"),
        (("--events", 5, "--out", "-", "--start", "yesterday"), "--start 'yesterday'"),
        (("--events", 5, "--out", "-", "--start", "2026-01-01T00:00:00"), "offset"),
        (("--events", 5, "--out", "-", "--rate", 0), "rate"),
        (("--events", 5, "--out", "-", "--rate", "nan"), "rate"),
        (("--events", 5, "--out", "-", "--rate", 1e-300), "created between"),
        (("--events", 5, "--out", "-", "--duplicates", 0.7, "--invalid", 0.7), "duplicates + invalid"),
        (("--events", -5, "--out", "-"), "--events"),
        (("--out", "-"), "--events"),
    ],
)
def test_generate_refuses_what_it_cannot_do(args: tuple[object, ...], word: str) -> None:
    result = run("generate", *args)
    assert result.exit_code == 2
    assert word in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_a_truth_file_that_cannot_be_written_is_said_before_the_work(tmp_path: Path) -> None:
    result = run("generate", "--events", 5, "--out", tmp_path / "a.jsonl", "--truth", tmp_path / "no" / "truth.json")
    assert result.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_init_writes_the_sample_and_never_overwrites_unasked(tmp_path: Path) -> None:
    target = tmp_path / "headgate.toml"
    assert run("init", tmp_path).exit_code == 0
    assert target.read_text("utf-8") == sample_toml()
    target.write_text("# mine\n")
    result = run("init", tmp_path)
    assert result.exit_code == 2
    assert "--force" in result.stderr
    assert target.read_text() == "# mine\n"
    forced = run("init", target, "--force", "--json")
    assert json.loads(forced.stdout) == {"path": str(target)}
    assert target.read_text("utf-8") == sample_toml()


def test_init_says_where_it_cannot_write(tmp_path: Path) -> None:
    result = run("init", tmp_path / "no" / "x.toml")
    assert result.exit_code == 2
    assert "x.toml: cannot be written" in result.stderr


def test_config_shows_values_origins_and_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("[batch]\nmax_events = 7\n")
    env = {"HEADGATE__DEDUP__STORE": "redis://u:hunter2@h/0"}
    result = run("config", "--config", path, "--json", **env)
    settings = json.loads(result.stdout)["settings"]
    assert settings["batch.max_events"] == {"value": 7, "origin": str(path)}
    assert settings["dedup.store"] == {"value": "redis://u:***@h/0", "origin": "HEADGATE__DEDUP__STORE"}
    assert settings["lake.format"] == {"value": "delta", "origin": "default"}
    human = run("config", "--config", path, **env)
    assert "hunter2" not in human.stdout + result.stdout
    assert str(path) in human.stdout


def test_config_names_an_unknown_key(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("[batch]\nmax_event = 7\n")
    result = run("config", "--config", path)
    assert result.exit_code == 2
    assert result.stderr == f"error: {path}: unknown setting batch.max_event; did you mean batch.max_events?\n"


def test_doctor_finds_this_machine_fit_and_leaves_nothing(tmp_path: Path) -> None:
    result = run("doctor", "--dir", tmp_path, "--json")
    answer = json.loads(result.stdout)
    checks = {check["name"]: check for check in answer["checks"]}
    assert result.exit_code == 0
    assert answer["ok"] is True
    assert {
        "python",
        "duckdb",
        "rocksdb",
        "hard links",
        "fsync",
        "disk",
        "memory",
        "open files",
        "clock",
    } <= set(checks)
    assert checks["rocksdb"]["ok"]
    assert checks["hard links"]["found"] == "exclusive"
    assert list(tmp_path.iterdir()) == []
    assert "ready" in run("doctor", "--dir", tmp_path).stdout


def test_doctor_fails_where_an_essential_thing_does_not_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "zstandard.py").write_text("raise ImportError('broken for this test')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "zstandard")
    result = run("doctor", "--dir", tmp_path)
    assert result.exit_code == 1
    assert "broken for this test" in result.stdout
    assert "pip install" in result.stdout
    assert "not ready" in result.stdout


def test_doctor_refuses_a_folder_that_is_not_there(tmp_path: Path) -> None:
    result = run("doctor", "--dir", tmp_path / "no")
    assert result.exit_code == 2
