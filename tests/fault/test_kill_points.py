"""The process dies at a named effect; the next one finishes, and an independent reader finds all exact."""

import json
import random
from pathlib import Path

import pytest

from headgate.testing.independent import breaches
from headgate.testing.processes import run

pytestmark = pytest.mark.kill

DRIVER = str(Path(__file__).with_name("killed_run.py"))
EVENTS = 3_000

LEDGER = "_headgate/ledger/"
CREATION = [
    "storage put_if_absent _headgate/format.json before 1",
    "storage put_if_absent _headgate/format.json after 1",
    "storage put_if_absent _headgate/claims.json before 1",
    f"storage put_if_absent {LEDGER} before 1",
    f"storage put_if_absent {LEDGER} after 1",
]
CLAIMS = [
    "claims claim - after 1",
    "claims claim - after 3",
    "claims withdraw - after 1",
    "claims sync - after 3",
    "claims mark_seen - before 3",
    "claims mark_seen - after 3",
]
STAGING = [
    "storage put events after 9",
    "storage put duplicates after 2",
    "storage put quality after 1",
    "storage sync_folders quality before 1",
    "storage sync_folders quality after 1",
]
ENTRY = [
    f"storage put_if_absent {LEDGER} before 1",
    f"storage put_if_absent {LEDGER} after 2",
    "storage put _headgate/published.json before 2",
    "storage put _headgate/published.json after 2",
]
DELTA = [
    f"storage put_if_absent {table}/_delta_log/ {when} {nth}"
    for table in ("events", "duplicates", "rejected", "quality")
    for when, nth in (("before", 2), ("after", 1))
]
PLAIN = [
    *(
        f"storage rename {table}/ {when} {nth}"
        for table in ("events", "duplicates", "rejected", "quality")
        for when, nth in (("before", 2), ("after", 1))
    ),
    "storage rename events/ after 7",
    "storage delete /unpublished before 1",
    "storage delete /unpublished after 1",
]
DELTA_CREATION = [
    "storage put_if_absent events/_delta_log/ after 1",
    "storage put_if_absent rejected/_delta_log/ before 1",
]


def cases() -> list[tuple[str, str, list[str]]]:
    # Claims and entries are the same for all formats; parquet and json share what stages and publishes their files.
    found = [
        ("delta", "claims", CLAIMS),
        ("delta", "staging", STAGING),
        ("json", "staging", STAGING),
        ("delta", "entry", ENTRY),
        ("parquet", "entry", ENTRY),
        ("json", "publication", PLAIN),
        ("delta", "publication", DELTA),
        ("delta", "creation", [*CREATION[:2], *DELTA_CREATION, *CREATION[2:]]),
    ]
    return [*found, ("parquet", "creation", CREATION)]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    code, _ = run(
        [
            *("generate", "--events", str(EVENTS), "--types", "4", "--late", "0", "--invalid", "0.03"),
            *("--seed", "5", "--out", folder / "events.jsonl", "--truth", folder / "truth.json"),
        ],
        folder / "logs",
    )
    assert code == 0
    return folder / "events.jsonl"


@pytest.mark.parametrize(
    ("table_format", "name", "points"),
    cases(),
    ids=lambda value: value if isinstance(value, str) else "points",
)
def test_a_run_that_died_at_a_point_is_finished_by_the_next_one(
    tmp_path: Path, source: Path, table_format: str, name: str, points: list[str]
) -> None:
    lake, rng = tmp_path / "lake", random.Random(name)
    for point in points:
        effect, _, nth = point.rpartition(" ")
        size = str(rng.randint(50, 150))
        code, child = run([DRIVER, source, lake, table_format, effect, nth, size], tmp_path / "logs")
        assert code == -9, f"{point} was not reached: {child.errors()}"
    code, child = run(["run", source, lake], tmp_path / "logs")
    assert code == 0, child.errors()
    assert breaches(lake, json.loads(source.with_name("truth.json").read_text())) == []
