"""`replay` gives old rejects the verdict of today, once, and every proof and view knows of it."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from pathlib import Path

import pytest

from headgate.claims.memory import MemoryClaimStore
from headgate.clock import SystemClock
from headgate.core.limits import Limits
from headgate.core.rules import Rule, Rules
from headgate.lake.lease import LocalLease
from headgate.lake.local import LocalStorage
from headgate.testing.commands import ok, run
from headgate.testing.kpl_writer import aggregate
from headgate.testing.memory_source import MemorySource, Record, Stream
from headgate.testing.records import ARRIVED_US
from headgate.testing.replays import breaches_of, replay_on
from headgate.testing.world import WINDOW_US, Attempt, World

FORMATS = ("delta", "parquet", "json")
STRICT = '[[rules]]\nname = "amount"\ncheck = "CAST(payload->>\'amount\' AS DOUBLE) < 100"\n'
LOOSE = STRICT.replace("< 100", "< 1000")
ARRIVED = 1_790_000_000  # Unix seconds; modification time of the source


def line(i: int) -> str:
    """Amounts 0 to 1,190: under the strict rule the first 10, under the loose one the first 100; ids come again."""
    name = "user:new" if i % 3 else "pay:order"
    event = {"event_uuid": f"id-{i % 90}", "event_name": name, "created_at": ARRIVED - i, "amount": i * 10}
    return json.dumps(event) + "\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source, two configurations, and a lake of each format under the strict one."""
    folder = tmp_path_factory.mktemp("made")
    array = json.dumps([json.loads(line(500)), json.loads(line(50))]) + "\n"
    (folder / "a.jsonl").write_text("".join(map(line, range(120))) + "nope\n" + array)
    os.utime(folder / "a.jsonl", (ARRIVED, ARRIVED))
    (folder / "strict.toml").write_text(STRICT)
    (folder / "loose.toml").write_text(LOOSE)
    for kind in FORMATS:
        options = ("--format", kind, "--config", folder / "strict.toml", "--source-name", "s", "--batch-events", 40)
        ok("run", folder / "a.jsonl", folder / kind, *options)
    return folder


@pytest.fixture(params=FORMATS)
def lake(request: pytest.FixtureRequest, made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "w", symlinks=True, copy_function=shutil.copy2)
    return tmp_path / "w" / request.param


def replay(lake: Path, *args: object, config: str = "loose") -> dict:
    return ok("replay", lake, "--config", lake.parent / f"{config}.toml", *args)


def counts(lake: Path) -> list[int]:
    """Rows of events, duplicates, rejected and rejected_all, and what quality counts as rejected."""
    tables = ("events", "duplicates", "rejected", "rejected_all")
    columns = ", ".join(f"(SELECT count(*) FROM {table}) AS {table}" for table in tables)
    (row,) = ok("query", lake, f"SELECT {columns}, (SELECT sum(rejected) FROM quality)::BIGINT AS q")
    return list(row.values())


def proven(lake: Path, name: str = "a.jsonl") -> bool:
    return ok("verify", lake.parent / name, lake, "--source-name", "s")["proven"]


def files(lake: Path) -> dict[str, int]:
    return {str(p.relative_to(lake)): p.stat().st_mtime_ns for p in lake.rglob("*") if p.is_file()}


def test_after_a_rule_change_rejects_become_events_once(lake: Path) -> None:
    assert counts(lake) == [10, 0, 113, 113, 113]
    first = replay(lake)
    # Ids 0 to 9 were taken; of the amounts below 1,000 those of 90 to 99 repeat ids that are.
    assert first["reasons"]["rule:amount"] == {"accepted": 80, "duplicate": 11, "rejected": 21, "none": 0, "left": 0}
    assert first["rejected"] == 22
    assert counts(lake) == [90, 11, 22, 113, 22]
    assert proven(lake)
    before = files(lake)
    again = replay(lake)
    assert (again["accepted"], again["duplicate"], again["entries"]) == (0, 0, [])
    assert {name for name, at in files(lake).items() if before.get(name) != at} <= {"_headgate/lease.lock"}
    assert ok("status", lake)["counts"] == {"received": 123, "accepted": 90, "duplicates": 11, "rejected": 22}
    rows = ok("status", lake)["tables"]["rejected"]["rows"]
    assert rows == 22


def test_a_replayed_event_keeps_its_position_and_its_claim(lake: Path) -> None:
    replay(lake)
    where = "FROM events WHERE event_uuid = 'id-50'"
    (row,) = ok("query", lake, f"SELECT source, sequence, epoch(arrived_at)::BIGINT AS arrived {where}")
    start = len("".join(map(line, range(50))))
    assert row == {"source": "s", "sequence": str(start), "arrived": ARRIVED}
    shutil.copy2(lake.parent / "a.jsonl", lake.parent / "b.jsonl")
    ran = ok("run", lake.parent / "b.jsonl", lake, "--config", lake.parent / "loose.toml", "--source-name", "s")
    assert (ran["accepted"], ran["duplicates"]) == (0, 101)
    rebuilt = ok("rebuild", lake)
    assert rebuilt["claims"] == 90
    shutil.copy2(lake.parent / "a.jsonl", lake.parent / "c.jsonl")
    ran = ok("run", lake.parent / "c.jsonl", lake, "--config", lake.parent / "loose.toml", "--source-name", "s")
    assert (ran["accepted"], ran["duplicates"]) == (0, 101)


def test_a_dry_run_counts_the_same_and_writes_nothing(lake: Path) -> None:
    before = files(lake)
    counted = replay(lake, "--dry-run")
    assert files(lake) == before
    done = replay(lake)
    assert counted["reasons"] == done["reasons"]
    assert counted["entries"] == []


def test_only_what_was_selected_is_replayed(lake: Path) -> None:
    assert replay(lake, "--reason", "malformed_json")["accepted"] == 0
    assert replay(lake, "--source", "other")["reasons"] == {}
    assert replay(lake, "--until", "2026-09-21T14:13:20Z")["reasons"] == {}  # ARRIVED
    assert replay(lake, "--since", "2026-09-21T14:13:21Z")["reasons"] == {}
    assert replay(lake, "--since", "2026-09-21T14:13:20Z", "--reason", "rule:amount")["accepted"] == 80


def test_a_lake_in_use_is_refused(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "delta", tmp_path / "delta")
    lease = LocalLease(tmp_path / "delta" / "_headgate", SystemClock().now_us)
    assert lease.try_acquire()
    refused = run("replay", tmp_path / "delta")
    lease.release()
    assert refused.exit_code == 1
    assert "in use" in refused.stderr
    assert "try again" in refused.stderr


def test_marks_that_are_gone_are_a_breach(lake: Path) -> None:
    replay(lake)
    (marks,) = (lake / "_headgate" / "settled").iterdir()
    marks.unlink()
    found = json.loads(run("verify", lake.parent / "a.jsonl", lake, "--source-name", "s", "--json").stdout)
    assert "settled" in {breach["kind"] for breach in found["breaches"]}


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--since", "yesterday"), "expected a time with an offset"),
        (("--until", "2026-11-20T00:00:00"), "expected a time with an offset"),
        (("--orphans", "--reason", "too_large"), "give one of them"),
    ],
)
def test_wrong_usage_is_said(made: Path, args: tuple[str, ...], said: str) -> None:
    refused = run("replay", made / "delta", *args)
    assert refused.exit_code == 2
    assert said in refused.stderr


def test_as_of_shows_a_reject_as_it_was_before_its_replay(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "w", symlinks=True)
    lake = tmp_path / "w" / "delta"
    (row,) = ok("query", lake, "SELECT now() AS t")
    replay(lake)
    then = ok("query", lake, "SELECT count(*) AS n FROM rejected", "--as-of", row["t"])
    assert then == [{"n": 113}]


# What a reject holds of its record: worlds of hand-made records.


def event(event_id: str, **more: object) -> bytes:
    return json.dumps({"event_uuid": event_id, "event_name": "a:b", "created_at": ARRIVED, **more}).encode()


def world(folder: Path, table_format: str, *records: Record, **attempt: object) -> Stream:
    stream = Stream(shards={"x": list(records)})
    store = MemoryClaimStore()
    done = World(stream, LocalStorage(str(folder)), table_format, lambda: store).run(Attempt(**attempt))
    assert done
    return stream


@pytest.mark.parametrize("table_format", FORMATS)
def test_a_record_may_give_several_events_now_or_none(tmp_path: Path, table_format: str) -> None:
    several = gzip.compress(event("1") + event("2") + event("1") + b'{"no":"id"}')
    user_records = aggregate([event("3", pad="." * 300), event("4")])
    stream = world(
        tmp_path / "lake",
        table_format,
        Record(data=several),
        Record(data=gzip.compress(b"\n" * 500)),
        Record(data=user_records),
        limits=Limits(max_record_bytes=200, max_event_bytes=200),
    )
    done = replay_on(tmp_path / "lake")
    assert done.tally == {
        ("too_large", "accepted"): 3,
        ("too_large", "duplicate"): 1,
        ("too_large", "rejected"): 1,
        ("too_large", "none"): 1,
    }
    assert len(done.entries) == 1
    assert breaches_of(tmp_path / "lake", MemorySource(stream)) == []
    assert ok("status", tmp_path / "lake")["counts"] == {
        "received": 6,
        "accepted": 4,
        "duplicates": 1,
        "rejected": 1,
    }
    assert replay_on(tmp_path / "lake").entries == []


@pytest.mark.parametrize("table_format", FORMATS)
def test_a_part_of_a_record_is_replayed_under_its_number(tmp_path: Path, table_format: str) -> None:
    stream = world(
        tmp_path / "lake",
        table_format,
        Record(data=b"[" + event("1") + b", " + event("2", pad="." * 200) + b"," + event("3") + b"]"),
        Record(data=event("4") + b' {"no": }\n' + event("5", pad="." * 200)),
        limits=Limits(max_event_bytes=150),
    )
    assert replay_on(tmp_path / "lake").tally == {("too_large", "accepted"): 2, ("malformed_json", "rejected"): 1}
    assert breaches_of(tmp_path / "lake", MemorySource(stream)) == []
    rows = ok("query", tmp_path / "lake", "SELECT event_uuid AS id, sequence AS s FROM events ORDER BY 1")
    assert [(row["id"], row["s"]) for row in rows] == [
        ("1", "0#0"),
        ("2", "0#1"),
        ("3", "0#2"),
        ("4", "1#0"),
        ("5", "1#2"),
    ]


def test_what_is_not_the_whole_record_is_left(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    whole = event("1") + b"\n"
    (tmp_path / "s" / "big.json").write_bytes(b"[" + event("2", pad="." * 5_000) + b"]")
    (tmp_path / "s" / "cut.jsonl.gz").write_bytes(gzip.compress(whole * 2 + event("3"))[:-9])
    (tmp_path / "small.toml").write_text("[validate]\nmax_event_bytes = 1000\n")
    ok("run", tmp_path / "s", tmp_path / "lake", "--config", tmp_path / "small.toml")
    reasons = ok("query", tmp_path / "lake", "SELECT reason, raw FROM rejected ORDER BY 1")
    assert {row["reason"] for row in reasons} == {"malformed_json", "too_large"}
    done = ok("replay", tmp_path / "lake")
    assert (done["left"], done["accepted"], done["rejected"]) == (2, 0, 0)


def test_an_old_reject_is_a_duplicate_of_a_younger_event_and_never_an_event_of_its_own(tmp_path: Path) -> None:
    late = ARRIVED_US + 3 * WINDOW_US
    records = [
        Record(data=event("1", n=9)),
        Record(data=event("2", n=9)),
        Record(data=event("1", n=1), arrived_us=late),
        Record(data=event("3", n=9), arrived_us=late),
        Record(data=event("3", n=9), arrived_us=late + WINDOW_US + 1),
    ]
    strict = Rules([Rule(name="n", check="CAST(payload->>'n' AS INT) < 5")])
    stream = world(tmp_path / "lake", "delta", *records, rules=strict)
    done = replay_on(tmp_path / "lake", batch_events=1)
    assert done.tally == {("rule:n", "accepted"): 3, ("rule:n", "duplicate"): 1}
    assert len(done.entries) == 4
    assert breaches_of(tmp_path / "lake", MemorySource(stream)) == []


def test_files_of_months_ago_are_backfilled_once_whatever_is_there_already(tmp_path: Path) -> None:
    day, old, new = 86_400, ARRIVED - 200 * 86_400, ARRIVED
    (tmp_path / "s").mkdir()
    for name, arrived, ids in (
        ("new", new, "ab"),
        ("old", old, "bc"),
        ("copy", old + 6 * day, "cd"),
        ("far", old + 20 * day, "c"),
    ):
        path = tmp_path / "s" / f"{name}.jsonl"
        if name == "old":
            ok("run", tmp_path / "s", tmp_path / "lake")  # the new file first, then all the old ones
        path.write_bytes(b"".join(event(one, created_at=old) + b"\n" for one in ids))
        os.utime(path, (arrived, arrived))
    ran = ok("run", tmp_path / "s", tmp_path / "lake")
    # b is owned by the younger file; c comes again beyond the window of its own time, and then earlier.
    assert (ran["accepted"], ran["duplicates"]) == (3, 2)
    assert ok("verify", tmp_path / "s", tmp_path / "lake")["proven"]
    assert ok("run", tmp_path / "s", tmp_path / "lake")["received"] == 0


def test_what_is_replayed_is_protected_as_what_is_read(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rejects that were kept before [privacy] was switched on are admitted without the value."""
    monkeypatch.setenv("HEADGATE_PRIVACY_KEY", "k" * 40)
    lake = tmp_path / "w" / "delta"
    shutil.copytree(made, tmp_path / "w", symlinks=True)
    config = tmp_path / "w" / "private.toml"
    config.write_text(LOOSE + '[privacy]\nmask = ["amount"]\n')
    before = ok("query", lake, "SELECT count(*) AS n FROM events")[0]["n"]
    ok("replay", lake, "--config", config)
    (row,) = ok(
        "query", lake, 'SELECT count(*) AS n, count(*) FILTER (payload LIKE \'%"amount": "***"%\') AS p FROM events'
    )
    assert row["n"] > before
    assert row["p"] == row["n"] - before
