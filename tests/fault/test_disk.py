"""A full disk is waited for; what is wrong for good is said in one line. Nothing is lost either way."""

import ctypes
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.testing.independent import breaches
from headgate.testing.processes import Child, run

KIB = 1024
DISK = 16 * 1024 * KIB  # bytes of the small disk
PR_CAPBSET_DROP = 24
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        assert "CI" not in os.environ, "the full disk is part of what CI must show: run it as a user who may mount"
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    code, child = run(
        [
            *("generate", "--events", "4000", "--types", "4", "--late", "0", "--seed", "2"),
            *("--out", tmp_path / "events.jsonl", "--truth", tmp_path / "truth.json"),
        ],
        tmp_path / "logs",
    )
    assert code == 0, child.errors()
    return tmp_path / "events.jsonl"


def truth(source: Path) -> dict[str, object]:
    return json.loads(source.with_name("truth.json").read_text())


def without_privilege() -> None:
    """In the child: permissions count for root too."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None)
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def fill(disk: Path, free: int) -> Path:
    """A file that leaves so many bytes."""
    filler = disk / "filler"
    status = os.statvfs(disk)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, status.f_bavail * status.f_bsize - free)
    return filler


@pytest.mark.parametrize(
    ("table_format", "free"),
    [("delta", 200 * KIB), ("delta", 700 * KIB), ("parquet", 200 * KIB), ("json", 700 * KIB)],
)
def test_a_full_disk_is_waited_for(tmp_path: Path, source: Path, disk: Path, table_format: str, free: int) -> None:
    lake = disk / "lake"
    first = tmp_path / "first.jsonl"
    lines = source.read_bytes().splitlines(keepends=True)
    first.write_bytes(b"".join(lines[:500]))
    first.rename(source)  # the lake is made while there is room, then its source grows and the disk fills
    assert run(["run", source, lake, "--format", table_format], tmp_path / "logs")[0] == 0
    source.write_bytes(b"".join(lines))
    filler = fill(disk, free)
    with Child(["run", source, lake, "--batch-events", "500"], tmp_path / "logs") as child:
        line = child.wait_for_line("the disk is full: free some space")
        assert "retried" in line
        assert str(lake) in line
        filler.unlink()
        assert child.wait() == 0, child.errors()
    assert "Traceback" not in child.errors()
    assert breaches(lake, truth(source)) == []


def failed(tmp_path: Path, *args: str | Path) -> tuple[int, str]:
    """Exit code and the one line of a run that fails."""
    code, child = run(["run", *args], tmp_path / "logs", before=without_privilege)
    lines = [line for line in child.errors().splitlines() if " INFO " not in line]
    assert len(lines) == 1, child.errors()
    return code, lines[0]


def test_a_lake_path_that_is_a_file_is_said(tmp_path: Path, source: Path) -> None:
    wrong = tmp_path / "file"
    wrong.write_bytes(b"mine")
    code, line = failed(tmp_path, source, wrong)
    assert (code, str(wrong) in line) == (1, True)
    assert wrong.read_bytes() == b"mine"


def test_a_lake_that_may_not_be_made_is_said(tmp_path: Path, source: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o555)
    code, line = failed(tmp_path, source, folder / "lake")
    assert (code, "no permission" in line, str(folder) in line) == (1, True, True)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("closed", [".", "events/_delta_log", "_headgate/claims"])
def test_a_lake_that_may_not_be_entered_is_said_and_taken_up_later(tmp_path: Path, source: Path, closed: str) -> None:
    lake = tmp_path / "lake"
    lines = source.read_bytes().splitlines(keepends=True)
    source.write_bytes(b"".join(lines[:500]))
    assert run(["run", source, lake], tmp_path / "logs")[0] == 0
    source.write_bytes(b"".join(lines))
    (lake / closed).chmod(0)
    code, line = failed(tmp_path, source, lake)
    (lake / closed).chmod(0o755)
    assert (code, str(lake) in line, "bug" in line) == (1, True, False), line
    assert run(["run", source, lake], tmp_path / "logs")[0] == 0
    assert breaches(lake, truth(source)) == []


def test_a_file_that_may_not_be_read_is_waited_for(tmp_path: Path, source: Path) -> None:
    lake = tmp_path / "lake"
    source.chmod(0)
    with Child(["run", source, lake], tmp_path / "logs", before=without_privilege) as child:
        line = child.wait_for_line("retried")
        assert f"cannot read {source}: Permission denied" in line
        source.chmod(0o644)
        assert child.wait() == 0, child.errors()
    assert breaches(lake, truth(source)) == []
