"""The independent reader sees a lake that was tampered with: what it finds exact, is."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from headgate.testing.independent import breaches, visible_files
from headgate.testing.processes import run


def lose(lake: Path) -> None:
    Path(visible_files(lake, "events")[0]).unlink()


def repeat(lake: Path) -> None:
    path = Path(visible_files(lake, "events")[0])
    shutil.copy(path, path.with_name(f"{path.name[:32]}-999.parquet"))


def add_foreign_rows(lake: Path) -> None:
    path = Path(visible_files(lake, "rejected")[0])
    shutil.copy(path, path.with_name(f"{'0' * 32}-0.parquet"))


def lose_duplicates(lake: Path) -> None:
    for path in visible_files(lake, "duplicates"):
        Path(path).unlink()


def miscount(lake: Path) -> None:
    _change(lake, "counts", [1, 1, 1, 1])


def leave_a_gap(lake: Path) -> None:
    entries = sorted((lake / "_headgate" / "ledger").iterdir())
    entries[-2].unlink()


def _change(lake: Path, name: str, value: object) -> None:
    path = sorted((lake / "_headgate" / "ledger").iterdir())[-1]
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))


TAMPERINGS: list[tuple[Callable[[Path], None], str]] = [
    (lose, "rows of a ledger entry"),
    (repeat, "more than once"),
    (add_foreign_rows, "rows of a ledger entry"),
    (lose_duplicates, "duplicates: found 0"),
    (miscount, "not conserved"),
    (leave_a_gap, "says that it is number"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    wanted = ["--events", "1000", "--types", "3", "--seed", "4", "--invalid", "0.05"]
    files = ["--out", folder / "events.jsonl", "--truth", folder / "truth.json"]
    assert run(["generate", *wanted, *files], folder / "logs")[0] == 0
    command = ["run", folder / "events.jsonl", folder / "lake", "--format", "parquet", "--batch-events", "300"]
    assert run(command, folder / "logs")[0] == 0
    return folder


@pytest.mark.parametrize(("tamper", "law"), TAMPERINGS)
def test_a_lake_that_was_tampered_with_is_not_exact(
    tmp_path: Path, made: Path, tamper: Callable[[Path], None], law: str
) -> None:
    lake, truth = tmp_path / "lake", json.loads((made / "truth.json").read_text())
    shutil.copytree(made / "lake", lake)
    assert breaches(lake, truth) == []
    tamper(lake)
    assert any(law in breach for breach in breaches(lake, truth))
