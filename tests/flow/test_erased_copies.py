"""Copies of erased events come back as their duplicates at every entry point, whoever lost the claims meanwhile."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headgate.claims.memory import MemoryClaimStore
from headgate.core.erased import ERASED
from headgate.core.keys import keys_of
from headgate.decision import ERASED_AGAIN
from headgate.entrypoints.aws_lambda import admit
from headgate.invocation import InvocationSettings
from headgate.jobs.old_rows import Selection, old_batches
from headgate.lake.entry import entry_path
from headgate.lake.erasures import erased_rows, write_rows
from headgate.lake.local import LocalStorage
from headgate.records import OWNER, Claims, Shard
from headgate.telemetry.facts import CommitRefused
from headgate.testing.action_log import ActionLog
from headgate.testing.commands import ok, run
from headgate.testing.containers import Platform
from headgate.testing.erasure import erase_rows, remove_rows
from headgate.testing.event_source_mapping import EventSourceMapping, StreamRecord
from headgate.testing.laws import rows
from headgate.testing.memory_source import MemorySource, Record, Stream
from headgate.testing.memory_storage import MemoryStorage
from headgate.testing.records import ARRIVED_US
from headgate.testing.replays import breaches_of, replay_on
from headgate.testing.scripted_storage import Killed
from headgate.testing.world import WINDOW_US, Attempt, World

ARRIVED = 1_790_000_000  # Unix seconds
DAY = 86_400  # seconds
FIRST = 49590338271490256608559692538361571095921575989136588898

Row = Mapping[str, Any]


def event(number: int, **more: object) -> bytes:
    return json.dumps({"event_uuid": f"id-{number}", "event_name": "a:b", "created_at": ARRIVED, **more}).encode()


def write(path: Path, numbers: list[int], days: float = 0) -> Path:
    path.write_bytes(b"".join(event(n) + b"\n" for n in numbers))
    os.utime(path, (ARRIVED + days * DAY, ARRIVED + days * DAY))
    return path


def of_ids(*numbers: int) -> Callable[[Row], bool]:
    return lambda row: row.get("event_uuid") in {f"id-{n}" for n in numbers}


@pytest.fixture(params=["delta", "parquet", "json"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Ids 0 to 9, each twice; the events 0 to 4 are erased."""
    ok("run", write(tmp_path / "a.jsonl", [*range(10), *range(10)]), tmp_path / "lake", "--format", request.param)
    assert erase_rows(LocalStorage(str(tmp_path / "lake")), "events", of_ids(*range(5))) == 5
    return tmp_path / "lake"


def counts(lake: Path) -> list[int]:
    tables = ("events", "duplicates")
    (row,) = ok("query", lake, "SELECT " + ", ".join(f"(SELECT count(*) FROM {t}) AS {t}" for t in tables))
    return list(row.values())


@pytest.mark.parametrize("is_rebuilt", [True, False])
def test_after_a_rebuild_copies_of_erased_events_are_duplicates_within_the_window(lake: Path, is_rebuilt: bool) -> None:
    shutil.rmtree(lake / "_headgate" / "claims")
    if is_rebuilt:
        rebuilt = ok("rebuild", lake)
        assert (rebuilt["claims"], rebuilt["erased"]) == (5, 5)
    copies = write(lake.parent / "b.jsonl", [0, 7, 10, 4, 0], days=6.9)
    done = ok("run", copies, lake)
    assert (done["accepted"], done["duplicates"]) == (1, 4)
    assert ok("verify", copies, lake)["proven"]
    assert ok("verify", lake.parent / "a.jsonl", lake)["proven"]


def test_beyond_the_window_the_id_is_free_and_the_next_owner_is_an_ordinary_one(lake: Path) -> None:
    shutil.rmtree(lake / "_headgate" / "claims")
    later = write(lake.parent / "b.jsonl", [0, 0, 1], days=7.1)
    done = ok("run", later, lake)
    assert (done["accepted"], done["duplicates"]) == (2, 1)
    done = ok("run", write(lake.parent / "c.jsonl", [0, 1, 2], days=5), lake)
    assert (done["accepted"], done["duplicates"]) == (0, 3)
    assert ok("verify", later, lake)["proven"]


def test_a_rebuild_says_how_many_ids_it_knows_without_their_claims(lake: Path) -> None:
    assert "5 ids of erased events known, too" in run("rebuild", lake).stdout


@pytest.mark.parametrize("is_open", [True, False])
def test_a_replay_of_orphans_leaves_duplicates_of_erased_events_alone(lake: Path, is_open: bool) -> None:
    before = counts(lake)
    if not is_open:  # the digests go with the window, the positions stay
        storage = LocalStorage(str(lake))
        recorded = (
            erased_rows(storage)
            .drop_columns(["digest"])
            .append_column(ERASED.field("digest"), pa.nulls(5, ERASED.field("digest").type))
        )
        write_rows(storage, "e1-events", recorded)
    shutil.rmtree(lake / "_headgate" / "claims")
    assert ok("replay", lake, "--orphans", "--dry-run")["reasons"] == {}
    assert ok("replay", lake, "--orphans")["entries"] == []
    assert counts(lake) == before
    assert ok("verify", lake.parent / "a.jsonl", lake)["proven"]


def test_a_replayed_reject_with_an_erased_id_is_a_duplicate(lake: Path) -> None:
    strict = lake.parent / "strict.toml"
    strict.write_text('[[rules]]\nname = "n"\ncheck = "payload->>\'n\' IS NULL"\n')
    rejects = lake.parent / "b.jsonl"
    rejects.write_bytes(event(3, n=1) + b"\n" + event(30, n=1) + b"\n")
    os.utime(rejects, (ARRIVED + DAY, ARRIVED + DAY))
    assert ok("run", rejects, lake, "--config", strict)["rejected"] == 2
    done = ok("replay", lake)
    assert (done["accepted"], done["duplicate"]) == (1, 1)
    assert ok("verify", rejects, lake)["proven"]


class Streamed:
    """Functions on a lake, and what they are asked about."""

    def __init__(self) -> None:
        self.world = Platform(storage=MemoryStorage(), settings=InvocationSettings(publish_seconds=0.0))

    def invoke(self, first: int, *data: bytes, days: float = 0, log: ActionLog | None = None) -> tuple[int, int]:
        arrived = ARRIVED_US + int(days * DAY * 1_000_000)
        some = [StreamRecord("shardId-000000000000", FIRST + first + i, d, arrived) for i, d in enumerate(data)]
        answer = admit(self.world.container(log), EventSourceMapping().event(some), self.world.deadline(60.0))
        return answer["accepted"], answer["duplicates"]


@pytest.mark.parametrize("effect", ["claims.load", "claims.claim", "storage.put", "storage.put_if_absent"])
def test_a_function_on_a_store_that_lost_its_data_knows_erased_ids(effect: str) -> None:
    streamed = Streamed()
    assert streamed.invoke(0, event(1), event(2), event(3)) == (3, 0)
    erase_rows(streamed.world.storage, "events", of_ids(1, 2))
    streamed.world.store.renew()
    log = ActionLog()
    log.fail(effect, "killed after")
    with pytest.raises(Killed):
        streamed.invoke(10, event(1), event(3), event(4), log=log)
    received = streamed.invoke(10, event(1), event(3))
    second = streamed.invoke(12, event(4), event(2))
    assert tuple(a + b for a, b in zip(received, second, strict=True)) in {(1, 3), (0, 1)}  # committed before the kill
    assert sorted(row["event_uuid"] for row in rows(streamed.world, "events")) == ["id-3", "id-4"]  # type: ignore[arg-type]
    assert streamed.invoke(20, event(1), days=7.1) == (1, 0)


def test_records_that_were_committed_and_erased_are_never_judged_again() -> None:
    """A ledger that was put back to an earlier state does not bring them into the lake again."""
    held = {"a": [Record(data=event(n)) for n in range(4)]}
    world = World(Stream(shards=held), MemoryStorage(), "parquet", MemoryClaimStore)
    assert world.run(Attempt(batch_events=2)) is not None
    erase_rows(world.storage, "events", of_ids(2, 3))
    world.storage.delete(entry_path(world.ledger().number))
    log = ActionLog()
    log.fail("lake.refresh", "killed before", nth=8)  # else it waits for ever

    assert world.run(Attempt(batch_events=2, log=log)) is None

    assert {text.split()[0] for text in log.texts()}.isdisjoint({"claims.claim", "lake.stage", "lake.commit"})
    assert ERASED_AGAIN in {fact.error for fact in world.telemetry.facts if isinstance(fact, CommitRefused)}
    assert [row["event_uuid"] for row in rows(world, "events")] == ["id-0", "id-1"]


def test_a_replay_on_a_shared_store_claims_no_erased_id_for_an_orphan(tmp_path: Path) -> None:
    """Else a copy beyond the window of the erased event would be a duplicate of what is none itself."""
    store, seconds = MemoryClaimStore(is_embedded=False), 1_000_000
    world = World(Stream(), LocalStorage(str(tmp_path)), "parquet", lambda: store)
    copy, original, later = (Record(data=event(1), arrived_us=ARRIVED_US + s * seconds) for s in (50, 0, 120))
    # An id that was claimed for a record which never came: its copy is an orphan.
    lost = np.zeros(1, dtype=OWNER)
    lost["shard"], lost["sub"], lost["arrived"] = store.shard_number(Shard("stream", "z")), -1, ARRIVED_US
    world.stream.shards = {"a": []}
    assert world.run(Attempt()) == []
    store.claim(Claims(keys=keys_of(pa.array(["id-1"])), owners=lost), WINDOW_US)
    world.stream.shards = {"a": [copy]}
    assert world.run(Attempt()) is not None
    assert [row["original_shard"] for row in rows(world, "duplicates")] == ["z"]
    store.renew()
    world.stream.shards["b"] = [original]
    assert world.run(Attempt()) is not None
    erase_rows(world.storage, "events", of_ids(1))
    store.renew()

    done = replay_on(tmp_path, selection=Selection(orphans=True), open_claims=lambda: store)

    assert dict(done.tally) == {("orphan", "duplicate"): 1}
    world.stream.shards["c"] = [later]
    assert world.run(Attempt()) is not None
    assert [row["shard"] for row in rows(world, "events")] == ["c"]
    assert breaches_of(tmp_path, MemorySource(world.stream)) == []


def test_an_original_that_is_erased_while_orphans_are_looked_for_is_found_in_its_record(tmp_path: Path) -> None:
    storage = LocalStorage(str(tmp_path))
    held = {"a": [Record(data=event(n % 3)) for n in range(6)]}
    assert World(Stream(shards=held), storage, "parquet", MemoryClaimStore).run(Attempt()) is not None
    remove_rows(storage, "events", of_ids(0, 1))
    lake = Platform(storage=storage).lake()
    batches = old_batches(lake, [], Selection(orphans=True), max_rows=1, max_bytes=1 << 20)
    assert next(batches).names["original_sequence"].to_pylist() == ["0"]
    row = {"table": "events", "source": "stream", "shard": "a", "sequence": "1", "arrived_at": ARRIVED_US}
    write_rows(storage, "e", pa.Table.from_pylist([row], schema=ERASED))
    assert list(batches) == []
    lake.close()
