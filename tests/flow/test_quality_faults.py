"""A stream with known faults: `quality` and `check` give the very figures that were put in, also after kills."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import duckdb
import pytest

from headgate.claims.memory import MemoryClaimStore
from headgate.core.envelope import Envelope
from headgate.core.figures import COLUMNS, figures_of
from headgate.core.limits import Limits
from headgate.core.slo import Allowed
from headgate.errors import PermanentError
from headgate.jobs.check import Checked, check
from headgate.jobs.existing import ExistingLake, find_lake
from headgate.jobs.quality_rows import quality_between
from headgate.jobs.verify import VerifySettings, verify
from headgate.lake.local import LocalStorage
from headgate.lake.read import relation
from headgate.testing.action_log import ActionLog
from headgate.testing.faulty_stream import EVENTS, HOUR, HOUR_US, START_US, faulty_hour, good_hour
from headgate.testing.memory_source import Stream
from headgate.testing.world import WINDOW_US, Attempt, World

FORMATS = ("delta", "parquet", "json")
KILLS = {
    "unharmed": [],
    "killed": [
        ("claims.claim", "killed after"),
        ("lake.stage", "killed after"),
        ("lake.commit", "killed before"),
        ("lake.commit", "killed after"),
        ("lake.publish", "killed before"),
    ],
}


def run(world: World, kills: list[tuple[str, str]]) -> None:
    """Processes that die one after the other, and one that does not."""
    for effect, fault in kills:
        log = ActionLog()
        log.fail(effect, fault, 2)
        assert world.run(Attempt(fields=("user.id",), batch_events=700, log=log)) is None, effect
    world.run(Attempt(fields=("user.id",), batch_events=700))


@pytest.fixture(scope="module", params=[(f, k) for f in FORMATS for k in KILLS], ids="-".join)
def lake(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ExistingLake:
    """A good hour and a faulty one, each committed at its end."""
    table_format, kills = request.param
    folder = tmp_path_factory.mktemp("lake")
    claims = MemoryClaimStore()
    stream = Stream(shards={"s": good_hour()})
    world = World(stream, LocalStorage(folder), table_format, lambda: claims)
    world.clock.step(HOUR - 1)
    run(world, [])
    stream.shards["s"] += faulty_hour()
    world.clock.step(HOUR)
    run(world, KILLS[kills])
    return find_lake(str(folder))


def checked(lake: ExistingLake, allowed: Allowed, hour: int = 1, **more: object) -> Checked:
    start = START_US + hour * HOUR_US
    return check(lake, allowed, start_us=start, end_us=start + HOUR_US, **more)


def breaches(lake: ExistingLake, allowed: Allowed, hour: int = 1) -> list[str]:
    return [finding.sentence for finding in checked(lake, allowed, hour).breaches]


def test_quality_holds_the_injected_figures(lake: ExistingLake) -> None:
    start = START_US + HOUR_US
    found = figures_of(quality_between(lake, start, start + HOUR_US, COLUMNS))
    assert found.keys() == {"pay", "click", "late", None}
    pay = found["pay"]
    assert (pay.received, pay.accepted, pay.duplicates, pay.conflicts, pay.rejected) == (1_200, 1_152, 48, 16, 0)
    assert (dict(pay.missing), pay.looked["user.id"], pay.looked["event_uuid"]) == ({"user.id": 24}, 1_200, 1_200)
    assert dict(pay.latency) == {2.5: 1_152, 5.0: 48}
    assert dict(found["click"].latency) == {2.5: 1_200}
    assert dict(found["late"].latency) == {7_200.0: 1_200}
    assert (found[None].received, found[None].rejected, dict(found[None].looked)) == (6, 6, {})


def test_units_rules_and_times_are_in_the_table(lake: ExistingLake) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone='UTC'")
        table = relation(connection, lake.storage, "quality").to_arrow_table().to_pylist()
    units: dict[str, Counter[str]] = {}
    for row in table:
        units.setdefault(row["event_type"], Counter()).update(dict(row["units"]))
    assert units["click"] == {"seconds": EVENTS + EVENTS // 4, "milliseconds": EVENTS * 3 // 4}
    assert units["pay"] == {"seconds": 2 * EVENTS}
    assert all(sum(dict(r["arrived_to_staged"]).values()) == r["accepted"] + r["duplicates"] for r in table)
    commits = {row["entry_id"] for row in table}
    assert len([row for row in table if row["dedup_seconds"] is not None]) == len(commits)
    (last,) = [dict(row["shard_lag"]) for row in table if row["shard_lag"]][-1:]
    assert last.keys() == {"s"}
    staged = {row["staged_at"] for row in table}
    assert len(staged) == 2


def test_the_good_hour_breaks_nothing(lake: ExistingLake) -> None:
    allowed = Allowed(
        rates={"max_duplicate_rate": 0.0, "max_conflict_rate": 0.0, "max_reject_rate": 0.0},
        missing={None: 0.0},
        freshness_seconds=HOUR / EVENTS + 1.0,
        latency_seconds=2.5,
        events=4 * EVENTS,
    )
    found = checked(lake, allowed, hour=0)
    assert found.breaches == []
    assert found.unjudged == []
    assert found.figures.accepted == 4 * EVENTS


def test_check_names_every_injected_fault_and_no_other(lake: ExistingLake) -> None:
    rates = {"max_duplicate_rate": 0.039, "max_conflict_rate": 0.013, "max_reject_rate": 0.0016}
    assert breaches(lake, Allowed(rates=rates)) == [
        "duplicates of pay: 4 % (48 of 1,200), allowed 3.9 %",
        "conflicting duplicates of pay: 1.33 % (16 of 1,200), allowed 1.3 %",
        "rejects of all types: 0.166 % (6 of 3,606), allowed 0.16 %",
    ]
    assert breaches(lake, Allowed(missing={None: 0.019})) == [
        "missing user.id of pay: 2 % (24 of 1,200), allowed 1.9 %"
    ]
    late = "min of their creation (between 60 min and 61 min), allowed 30 min"
    assert breaches(lake, Allowed(latency_seconds=1_800.0)) == [
        f"latency of all types: 95 % arrive within 60.9 {late}",
        f"latency of late: 95 % arrive within 61 {late}",
    ]
    assert breaches(lake, Allowed(volume_ratio=0.75)) == [
        "volume of all types: 3,552 accepted, 74 % of the 4,800 in the same time right before, at least 75 % expected",
        "volume of stops: 0 accepted, 0 % of the 1,200 in the same time right before, at least 75 % expected",
    ]
    assert breaches(lake, Allowed(freshness_seconds=60.0)) == [
        "freshness of stops: newest accepted event arrived 60 min ago, allowed 60 s"
    ]
    assert breaches(lake, Allowed(events=3_553)) == ["volume of all types: 3,552 accepted, at least 3,553 expected"]


def test_what_is_allowed_just_so_is_kept(lake: ExistingLake) -> None:
    rates = {"max_duplicate_rate": 48 / 1_200, "max_conflict_rate": 16 / 1_200, "max_reject_rate": 6 / 3_606}
    allowed = Allowed(
        rates=rates, missing={"user.id": 24 / 1_200}, latency_seconds=7_200.0, volume_ratio=0.0, events=3_552
    )
    assert checked(lake, allowed).breaches == []


def test_a_window_without_data_breaks_freshness_and_volume_only(lake: ExistingLake) -> None:
    rates = {"max_duplicate_rate": 0.0, "max_conflict_rate": 0.0, "max_reject_rate": 0.0}
    quiet = checked(lake, Allowed(rates=rates, missing={None: 0.0}, latency_seconds=0.1), hour=2)
    assert (quiet.breaches, quiet.figures.received) == ([], 0)
    assert quiet.unjudged == [*rates, "max_missing_rate", "max_latency_p95"]
    asked = Allowed(freshness_seconds=600.0, volume_ratio=0.5, events=1)
    found = checked(lake, asked, hour=2).breaches
    assert Counter(breach.check for breach in found) == {"max_freshness": 5, "min_volume_ratio": 4, "min_events": 1}
    assert [b.event_type for b in found if b.check == "min_volume_ratio"] == [None, "click", "late", "pay"]


def test_quality_is_still_proven(lake: ExistingLake) -> None:
    settings = VerifySettings(envelope=Envelope(), limits=Limits(), window_us=WINDOW_US, is_forgetful=True)
    proof = verify(lake, None, settings, source_name="stream")
    assert proof.breaches == []
    assert proof.counts.received == 2 * EVENTS + 5 * EVENTS + 6


def test_a_file_of_quality_that_is_gone_is_an_error_and_no_silence(lake: ExistingLake, tmp_path: Path) -> None:
    shutil.copytree(lake.path, tmp_path / "copy")
    copied = find_lake(str(tmp_path / "copy"))
    for file in (tmp_path / "copy" / "quality").glob("*.*"):
        file.unlink()
    with pytest.raises(PermanentError, match="quality"):
        checked(copied, Allowed(events=1))
