"""`verify` counts erased rows as a term of their own, and takes no missing row for an erased one."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from headgate.core.envelope import Envelope
from headgate.core.limits import Limits
from headgate.errors import TransientError
from headgate.jobs.existing import find_lake
from headgate.jobs.verify import VerifySettings, verify
from headgate.lake.erasures import erased_rows, write_rows
from headgate.lake.local import LocalStorage
from headgate.testing.commands import ok, run
from headgate.testing.erasure import erase_rows, finish, record_rows, remove_rows

FORMATS = ("delta", "parquet", "json")
TABLES = ("events", "duplicates", "rejected")
ARRIVED = 1_790_000_000  # Unix seconds
STRICT = '[[rules]]\nname = "n"\ncheck = "CAST(payload->>\'n\' AS INT) < 5"\n'
LOOSE = STRICT.replace("< 5", "< 8")

Row = Mapping[str, Any]


def line(i: int) -> str:
    """160 events of 90 ids; 2 of 10 break the strict rule for good, 3 under it only."""
    event = {"event_uuid": f"id-{i % 90}", "event_name": f"t{i % 3}:x", "created_at": ARRIVED - i, "n": i % 10}
    return json.dumps(event) + "\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    (folder / "a.jsonl").write_text("".join(map(line, range(160))))
    os.utime(folder / "a.jsonl", (ARRIVED, ARRIVED))
    (folder / "strict.toml").write_text(STRICT)
    (folder / "loose.toml").write_text(LOOSE)
    for kind in FORMATS:
        options = ("--format", kind, "--config", folder / "strict.toml", "--source-name", "s", "--batch-events", 80)
        ok("run", folder / "a.jsonl", folder / kind, *options)
    return folder


@pytest.fixture(params=FORMATS)
def lake(request: pytest.FixtureRequest, made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "w", symlinks=True, copy_function=shutil.copy2)
    return tmp_path / "w" / request.param


def storage(lake: Path) -> LocalStorage:
    return LocalStorage(str(lake))


def found(lake: Path) -> dict:
    done = run("verify", lake.parent / "a.jsonl", lake, "--source-name", "s", "--json")
    assert done.stdout.startswith("{"), done.stderr
    proof = json.loads(done.stdout)
    assert done.exit_code == (3 if proof["breaches"] else 0)
    return proof


def breaches(proof: dict) -> dict[str, str]:
    return {breach["kind"]: breach["sentence"] for breach in proof["breaches"]}


def every(n: int) -> Callable[[Row], bool]:
    """One row of n, by its position."""
    return lambda row: int(row["sequence"].partition("#")[0]) % n == 0


def test_erased_rows_and_the_rows_that_are_left_are_those_that_the_ledger_counts(lake: Path) -> None:
    before = found(lake)
    erased = {table: erase_rows(storage(lake), table, every(3), erasure=table) for table in TABLES}
    assert all(erased.values())

    proof = found(lake)

    assert breaches(proof) == {}
    assert proof["erased"] == erased
    assert proof["rows"] == {table: before["rows"][table] - erased[table] for table in TABLES}
    assert proof["counts"] == before["counts"]
    done = run("verify", lake.parent / "a.jsonl", lake, "--source-name", "s")
    assert done.exit_code == 0
    assert f"events {erased['events']}, duplicates {erased['duplicates']}" in done.stdout


@pytest.mark.parametrize(
    ("lake", "table"), [("delta", "events"), ("parquet", "duplicates"), ("json", "rejected")], indirect=["lake"]
)
def test_a_row_that_is_missing_and_not_recorded_is_lost(lake: Path, table: str) -> None:
    erase_rows(storage(lake), table, every(3))
    unrecorded = rows_of(lake, table)[:2]
    places = {row["sequence"] for row in unrecorded}
    remove_rows(storage(lake), table, lambda row: row["sequence"] in places)

    proof = found(lake)

    assert breaches(proof)["lost"].startswith(f"2 rows of {table} missing that the ledger counts")
    assert breaches(proof)["missing"].startswith("2 events of the source missing in the lake")
    (lost,) = [breach for breach in proof["breaches"] if breach["kind"] == "lost"]
    assert "of them erased" in lost["examples"][0]


def rows_of(lake: Path, table: str) -> list[Row]:
    return ok("query", lake, f"SELECT sequence FROM {table} ORDER BY sequence")  # type: ignore[return-value]


@pytest.mark.parametrize("lake", ["json"], indirect=True)
def test_rows_that_are_recorded_and_still_there_are_rows(lake: Path) -> None:
    before = found(lake)
    for table in TABLES:
        assert record_rows(storage(lake), table, every(2), erasure=table)
    proof = found(lake)
    assert breaches(proof) == {}
    assert proof["erased"] == dict.fromkeys(TABLES, 0)
    assert proof["rows"] == before["rows"]


def test_a_half_done_erasure_is_proven_and_so_is_the_whole(lake: Path) -> None:
    for table in TABLES:
        record_rows(storage(lake), table, every(2), erasure=table)
        remove_rows(storage(lake), table, every(4))
    half = found(lake)
    assert breaches(half) == {}
    for table in TABLES:
        remove_rows(storage(lake), table, every(2))
    whole = found(lake)
    assert breaches(whole) == {}
    assert all(0 < half["erased"][table] < whole["erased"][table] for table in TABLES)


def test_a_duplicate_whose_original_was_erased_is_no_orphan(lake: Path) -> None:
    originals = {row["sequence"] for row in originals_of(lake)}
    erase_rows(storage(lake), "events", lambda row: row["sequence"] in originals)
    assert breaches(found(lake)) == {}
    remaining = [row["sequence"] for row in rows_of(lake, "events")]
    assert not originals & set(remaining)


def originals_of(lake: Path) -> list[Row]:
    return ok("query", lake, "SELECT original_sequence AS sequence FROM duplicates")  # type: ignore[return-value]


@pytest.mark.parametrize("lake", ["parquet"], indirect=True)
def test_a_duplicate_whose_original_is_gone_and_not_recorded_is_an_orphan(lake: Path) -> None:
    originals = sorted({row["sequence"] for row in originals_of(lake)})
    erase_rows(storage(lake), "events", lambda row: row["sequence"] in originals[1:])
    remove_rows(storage(lake), "events", lambda row: row["sequence"] == originals[0])
    assert breaches(found(lake))["orphan"] == "1 duplicate without an original in events"


@pytest.mark.parametrize("lake", ["parquet"], indirect=True)
def test_a_copy_that_came_more_than_the_window_after_an_erased_original_is_named(lake: Path) -> None:
    place = originals_of(lake)[0]["sequence"]
    erase_rows(storage(lake), "events", lambda row: row["sequence"] == place)
    recorded = erased_rows(storage(lake))
    earlier = pc.subtract(recorded["arrived_at"], pa.scalar(3_600_000_000, pa.duration("us")))
    write_rows(storage(lake), "e1-events", recorded.set_column(6, "arrived_at", earlier))
    done = run("verify", lake.parent / "a.jsonl", lake, "--source-name", "s", "--window", "1m", "--json")
    assert done.exit_code == 3
    assert breaches(json.loads(done.stdout)) == {
        "window": "1 duplicate that came more than the window after the original"
    }


def test_settled_rows_that_were_erased_are_no_breach(lake: Path) -> None:
    replayed = ok("replay", lake, "--config", lake.parent / "loose.toml")
    assert replayed["accepted"]
    rejected = found(lake)["rows"]["rejected"]
    settled = ok("query", lake, "SELECT sequence FROM rejected_all EXCEPT SELECT sequence FROM rejected")
    places = {row["sequence"] for row in settled[::2]}  # type: ignore[call-overload]
    kept = ok("query", lake, "SELECT sequence FROM rejected ORDER BY sequence")
    places |= {row["sequence"] for row in kept[:3]}  # type: ignore[index]
    erase_rows(storage(lake), "rejected", lambda row: row["sequence"] in places, erasure="rejects")
    erase_rows(storage(lake), "events", every(2), erasure="events")

    proof = found(lake)

    assert breaches(proof) == {}
    assert (proof["erased"]["rejected"], proof["rows"]["rejected"]) == (3, rejected - 3)
    again = ok("replay", lake, "--config", lake.parent / "loose.toml")
    assert (again["accepted"], again["entries"]) == (0, [])


@pytest.mark.parametrize("lake", ["delta"], indirect=True)
def test_a_settled_row_that_is_gone_and_not_recorded_is_a_breach(lake: Path) -> None:
    ok("replay", lake, "--config", lake.parent / "loose.toml")
    settled = ok("query", lake, "SELECT sequence FROM rejected_all EXCEPT SELECT sequence FROM rejected")
    places = sorted(row["sequence"] for row in settled)  # type: ignore[union-attr]
    record_rows(storage(lake), "rejected", lambda row: row["sequence"] in places[1:4])
    remove_rows(storage(lake), "rejected", lambda row: row["sequence"] in places[:3])
    assert "and 2 were erased" in breaches(found(lake))["settled"]


@pytest.mark.parametrize(("window", "kinds"), [("7d", {"same_id"}), ("1s", set())])
@pytest.mark.parametrize("lake", ["parquet", "delta"], indirect=True)
def test_an_erased_event_that_came_back_as_new_within_the_window_is_a_breach(
    lake: Path, window: str, kinds: set[str]
) -> None:
    wanted = every(2)
    erase_rows(storage(lake), "events", wanted)
    held = sorted(storage(lake).list("_headgate/erasures/"))
    contents = {path: storage(lake).get(path) for path in held}
    for path in held:
        storage(lake).delete(path)
    shutil.rmtree(lake / "_headgate" / "claims")
    copies = lake.parent / "b.jsonl"
    copies.write_text("".join(map(line, range(160))))
    os.utime(copies, (ARRIVED + 3_600, ARRIVED + 3_600))
    config = lake.parent / "window.toml"
    config.write_text(f'{STRICT}[dedup]\nwindow = "{window}"\n')
    assert ok("run", copies, lake, "--config", config)["accepted"]
    for path, content in contents.items():
        storage(lake).put(path, content or b"")
    done = run("verify", copies, lake, "--window", window, "--json")
    assert done.exit_code == (3 if kinds else 0), done.stdout
    assert set(breaches(json.loads(done.stdout))) == kinds


@pytest.mark.parametrize("lake", ["delta", "parquet"], indirect=True)
def test_what_an_erasure_takes_away_meanwhile_is_no_breach(lake: Path) -> None:
    def erase(what: str) -> None:
        if what == "tables":
            erase_rows(storage(lake), "events", every(2))

    settings = VerifySettings(envelope=Envelope(), limits=Limits(), window_us=1)
    with pytest.raises(TransientError, match="were erased while it was read"):
        verify(find_lake(str(lake)), None, settings, source_name="s", describe=erase)
    assert breaches(found(lake)) == {}


@pytest.mark.parametrize("lake", ["delta"], indirect=True)
def test_files_that_are_gone_while_an_erasure_has_not_ended_are_no_breach_yet(lake: Path) -> None:
    record_rows(storage(lake), "events", every(2), erasure="x")
    next((lake / "events").rglob("*.parquet")).unlink()
    options = ("--source-name", "s")
    done = run("verify", lake.parent / "a.jsonl", lake, *options)
    assert done.exit_code == 1
    assert "run `headgate erase` again" in done.stderr
    finish(storage(lake), "x-events")
    assert "unreadable" in breaches(found(lake))
