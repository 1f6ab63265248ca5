"""A replay that dies, fails or is overtaken at any effect: the next one finishes, and nothing is there twice."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from headgate.claims.memory import MemoryClaimStore
from headgate.core.rules import Rule, Rules
from headgate.errors import TransientError
from headgate.lake.local import LocalStorage
from headgate.testing.action_log import ActionLog
from headgate.testing.laws import rows
from headgate.testing.memory_source import MemorySource, Record, Stream
from headgate.testing.records import ARRIVED_US
from headgate.testing.replays import breaches_of, replay_on
from headgate.testing.scripted_storage import Killed
from headgate.testing.world import Attempt, World

pytestmark = pytest.mark.kill

FORMATS = ("delta", "parquet", "json")
STRICT = Rules([Rule(name="n", check="CAST(payload->>'n' AS INT) < 5")])
LOOSE = Rules([Rule(name="n", check="CAST(payload->>'n' AS INT) < 15")])
RECORDS = 30


def event(i: int, n: int) -> bytes:
    name = "a:b" if i % 2 else "c:d"
    return json.dumps({"event_uuid": f"id-{i}", "event_name": name, "created_at": 1_790_000_000, "n": n}).encode()


class Case:
    """A lake with 5 events and 25 rejects, of which the loose rule lets 10 in; then copies of all ids come."""

    def __init__(self, folder: Path, table_format: str) -> None:
        self.lake = folder / "lake"
        self.stream = Stream(shards={"x": [Record(data=event(i, i)) for i in range(RECORDS)]})
        self.store = MemoryClaimStore()
        self.world = World(self.stream, LocalStorage(str(self.lake)), table_format, lambda: self.store)
        assert self.world.run(Attempt(rules=STRICT))

    def copies(self) -> None:
        """The same ids in another shard, all of them good."""
        records = [Record(data=event(i, 0), arrived_us=ARRIVED_US + 1) for i in range(RECORDS)]
        self.stream.shards["y"] = records
        assert self.world.run(Attempt(rules=STRICT)) is not None

    def replay(self, log: ActionLog | None = None, **options: object) -> object:
        return replay_on(self.lake, rules=LOOSE, log=log, batch_events=7, **options)

    def check(self, accepted: int) -> None:
        assert breaches_of(self.lake, MemorySource(self.stream)) == []
        ids = [row["event_uuid"] for row in rows(self.world, "events")]
        assert len(ids) == len(set(ids)) == accepted == self.world.ledger().counts.accepted


@pytest.fixture(scope="module", params=FORMATS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, Path]:
    folder = tmp_path_factory.mktemp(request.param)
    case = Case(folder, request.param)
    shutil.copytree(case.lake, folder / "fresh")
    return case, folder / "fresh"


@pytest.fixture
def case(made: tuple[Case, Path]) -> Callable[[], Case]:
    """Gives the case as it was at first."""
    one, fresh = made

    def anew() -> Case:
        shutil.rmtree(one.lake)
        shutil.copytree(fresh, one.lake)
        one.stream.shards.pop("y", None)
        one.store = MemoryClaimStore()  # its process has ended
        return one

    return anew


def effects(anew: Callable[[], Case]) -> int:
    log = ActionLog()
    anew().replay(log)
    assert log.texts().count("storage.put_if_absent _headgate/ledger/00000000000000000003.json") == 1
    return len(log.effects)


#: What comes after the kill, and which effects are struck; by the end of the file every kind of effect was.
THEN = {"replay": slice(0, None, 4), "copies": slice(1, None, 8), "copies, then replay": slice(2, None, 8)}


@pytest.mark.parametrize("then", THEN)
def test_killed_at_any_effect_the_next_one_finishes(case: Callable[[], Case], then: str) -> None:
    for n in range(effects(case))[THEN[then]]:
        one, log = case(), ActionLog(faults={n: "killed before"})
        with pytest.raises(Killed):
            one.replay(log)
        if then != "replay":
            one.copies()
        if then != "copies":
            one.replay()
        # Whoever comes first owns an id: 5 events, then the 10 that were replayed, or copies of all 30 ids.
        one.check(15 if then == "replay" else RECORDS)
        if then != "copies":
            assert one.replay().entries == []


def test_an_error_or_a_lost_answer_at_any_effect_is_tried_again(case: Callable[[], Case]) -> None:
    for n in range(0, effects(case), 5):
        one = case()
        one.replay(ActionLog(faults={n: "error after" if n % 2 else "error before"}))
        one.check(15)
        assert one.replay().entries == []


def test_a_storage_that_stays_away_ends_the_replay_and_nothing_is_lost(case: Callable[[], Case]) -> None:
    number = effects(case)
    one = case()
    with pytest.raises(TransientError, match="replay again"):
        one.replay(ActionLog(faults=dict.fromkeys(range(number // 2, 10_000), "error before")))
    one.replay()
    one.check(15)


def test_of_two_replays_at_once_one_settles(case: Callable[[], Case]) -> None:
    one, log = case(), ActionLog()
    others: list[object] = []
    log.when("storage.put", lambda: others.append(one.replay()) if not others else None, nth=2)
    done = one.replay(log)
    assert len(others[0].entries) == 2
    assert done.entries == []
    one.check(15)


def test_a_run_between_reading_and_committing_makes_the_replay_judge_again(case: Callable[[], Case]) -> None:
    one, log = case(), ActionLog()
    log.when("storage.put", one.copies, nth=2)
    assert {verdict for _, verdict in one.replay(log).tally} == {"duplicate", "rejected"}
    one.check(RECORDS)


@pytest.mark.parametrize("table_format", FORMATS)
def test_beside_a_shared_store_a_killed_replay_is_finished_by_the_next(tmp_path: Path, table_format: str) -> None:
    one = Case(tmp_path, table_format)
    shutil.copytree(one.lake, tmp_path / "fresh")
    log = ActionLog()
    one.replay(log, open_claims=lambda: MemoryClaimStore(is_embedded=False))
    for n in range(0, len(log.effects), 9):
        shutil.rmtree(one.lake)
        shutil.copytree(tmp_path / "fresh", one.lake)
        one.stream.shards.pop("y", None)
        store = one.store = MemoryClaimStore(is_embedded=False)
        with pytest.raises(Killed):
            one.replay(ActionLog(faults={n: "killed before"}), open_claims=lambda store=store: store)
        one.replay(open_claims=lambda store=store: store)
        one.copies()
        one.check(RECORDS)
