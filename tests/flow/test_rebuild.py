"""`rebuild` gives a claim store that judges as the lost one did, and an interrupted one repairs itself."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.claims.memory import MemoryClaimStore
from headgate.clock import SystemClock
from headgate.jobs.rebuild import rebuild
from headgate.lake.lake import LakeOptions, TableLake, open_or_create
from headgate.lake.layout import ClaimsIdentity, claims_identity
from headgate.lake.lease import LocalLease
from headgate.records import Claims
from headgate.testing.commands import ok, run

EVENTS = 400


@pytest.fixture(params=["delta", "parquet", "json"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A lake of 400 generated lines; `a.jsonl` beside it is its source."""
    options = ("--types", 3, "--duplicates", 0.1, "--start", "2025-06-01T00:00:00Z")
    ok("generate", "--events", EVENTS, "--out", tmp_path / "a.jsonl", *options)
    ok("run", tmp_path / "a.jsonl", tmp_path / "lake", "--format", request.param)
    return tmp_path / "lake"


def again(lake: Path, name: str, *args: object) -> dict:
    """The same events under another name: all but the rejects must be duplicates."""
    shutil.copy(lake.parent / "a.jsonl", lake.parent / name)
    result = ok("run", lake.parent / name, lake, *args)
    assert result["accepted"] == 0
    assert result["duplicates"] + result["rejected"] == EVENTS
    assert ok("verify", lake.parent / name, lake)["proven"] is True
    return result


def test_after_a_rebuild_runs_give_the_same_verdicts(lake: Path) -> None:
    accepted = ok("status", lake)["counts"]["accepted"]
    shutil.rmtree(lake / "_headgate" / "claims")
    rebuilt = ok("rebuild", lake)
    assert rebuilt["claims"] == accepted
    assert ok("run", lake.parent / "a.jsonl", lake)["received"] == 0
    again(lake, "b.jsonl")
    assert ok("status", lake)["claims"]["generation"] == rebuilt["generation"]


def test_every_rebuild_begins_a_new_generation_and_leaves_no_old_store(lake: Path) -> None:
    first, second = ok("rebuild", lake), ok("rebuild", lake)
    assert first["generation"] != second["generation"]
    assert second["number"] == first["number"] + 1
    assert [p.name for p in (lake / "_headgate").iterdir() if p.name.startswith((".claims", "claims."))] == [
        "claims.json"
    ]


def test_claims_move_to_another_store(lake: Path) -> None:
    store = f"rocksdb:{lake.parent / 'elsewhere' / 'claims'}"
    ok("rebuild", lake, "--dedup", store)
    refused = run("run", lake.parent / "a.jsonl", lake)
    assert refused.exit_code == 2
    assert "elsewhere" in refused.stderr
    again(lake, "b.jsonl", "--dedup", store)
    ok("rebuild", lake)
    again(lake, "c.jsonl", "--dedup", store)


def test_a_folder_with_something_else_in_it_is_not_touched(lake: Path) -> None:
    other = lake.parent / "photos"
    other.mkdir()
    (other / "cat.jpg").write_text("cat")
    refused = run("rebuild", lake, "--dedup", f"rocksdb:{other}")
    assert refused.exit_code == 2
    assert "holds something already" in refused.stderr
    assert (other / "cat.jpg").read_text() == "cat"
    again(lake, "b.jsonl")


def test_a_lake_in_use_is_refused(lake: Path) -> None:
    lease = LocalLease(lake / "_headgate", SystemClock().now_us)
    assert lease.try_acquire()
    refused = run("rebuild", lake)
    lease.release()
    assert refused.exit_code == 1
    assert "in use" in refused.stderr
    ok("rebuild", lake)


BOUND = 2  # effects of `DyingStore` after which the lake of these tests is bound to the new store


class Killed(BaseException):
    """The process ends here."""


class DyingStore(MemoryClaimStore):
    """Dies at the n-th effect."""

    def __init__(self, effects: Iterator[int], last: int) -> None:
        super().__init__()
        self._effects, self._last = effects, last

    def load(self, claims: Claims) -> None:
        self._step()
        super().load(claims)

    def sync(self) -> None:
        self._step()
        super().sync()

    def mark_seen(self, number: int, positions: object) -> None:
        self._step()
        super().mark_seen(number, {})

    def _step(self) -> None:
        if next(self._effects) == self._last:
            raise Killed


def opened(lake: Path) -> TableLake:
    return open_or_create(str(lake), None, LakeOptions(), now_us=SystemClock().now_us)


@pytest.mark.parametrize("last", [0, 2, 4])
@pytest.mark.parametrize("repair", ["run", "rebuild"])
def test_a_rebuild_that_was_killed_repairs_itself(lake: Path, last: int, repair: str) -> None:
    folder = lake / "_headgate" / "claims"
    one = opened(lake)
    identity = claims_identity(one.storage)
    assert identity is not None
    effects = iter(range(100))
    with pytest.raises(Killed):
        rebuild(
            one,
            LocalLease(lake / "_headgate", SystemClock().now_us),
            identity,
            lambda: DyingStore(effects, last),
            folder=folder,
            is_other=False,
            advance=lambda _: None,
        )
    one.close()
    if repair == "rebuild":
        ok("rebuild", lake)
    again(lake, "b.jsonl")


@pytest.mark.parametrize("repair", ["run", "rebuild"])
def test_a_move_that_was_killed_repairs_itself(lake: Path, repair: str) -> None:
    folder = lake.parent / "other"
    one = opened(lake)
    effects = iter(range(100))
    with pytest.raises(Killed):
        rebuild(
            one,
            LocalLease(lake / "_headgate", SystemClock().now_us),
            ClaimsIdentity(kind="rocksdb", identity=str(folder)),
            lambda: DyingStore(effects, 0 if repair == "run" else BOUND),
            folder=folder,
            is_other=True,
            advance=lambda _: None,
        )
    one.close()
    if repair == "run":
        again(lake, "b.jsonl")
        return
    refused = run("run", lake.parent / "b.jsonl", lake)  # the lake is bound to the other store by now
    assert refused.exit_code == 2
    assert str(folder) in refused.stderr
    folder.mkdir()
    (folder / "half").write_text("made by the rebuild that was killed")
    ok("rebuild", lake, "--dedup", f"rocksdb:{folder}")
    again(lake, "b.jsonl", "--dedup", f"rocksdb:{folder}")


def test_rebuild_of_no_lake_is_a_usage_error_and_makes_none(tmp_path: Path) -> None:
    refused = run("rebuild", tmp_path / "none")
    assert refused.exit_code == 2
    assert "no such folder" in refused.stderr
    assert list(tmp_path.iterdir()) == []
