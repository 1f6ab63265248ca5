"""What the page of AWS says of records that were set aside: each way back ends with the event there, once."""

import base64
import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from pages import ROOT, blocks

from headgate.config import Config
from headgate.entrypoints.aws_lambda import admit
from headgate.errors import PermanentError
from headgate.jobs.old_rows import Selection
from headgate.jobs.replay import Replay
from headgate.lake.local import LocalStorage
from headgate.records import Counts
from headgate.testing.action_log import ActionLog
from headgate.testing.containers import Platform, no_rules
from headgate.testing.event_source_mapping import EventSourceMapping, StreamRecord
from headgate.testing.filing_world import FIRST, SHARD, FilingWorld, event, record
from headgate.testing.lake_rows import read_table
from headgate.testing.records import ARRIVED_US
from headgate.testing.scripted_storage import Killed
from headgate.wiring.flow import flow_settings

PAGE = ROOT / "docs" / "aws.md"
DAY = 24 * 3600  # seconds


def by_hand(result: str, document: bytes, folder: Path) -> bytes:
    """What the program in the page makes of a file that holds this document."""
    (code,) = [b.body for b in blocks(PAGE.read_text("utf-8")) if f"> {result} <<'PY'" in b.body]
    program = textwrap.dedent(code).partition("<<'PY'\n")[2].partition("\nPY\n")[0]
    (folder / "in").write_bytes(document)
    return subprocess.run(
        [sys.executable, "-", folder / "in"], input=program.encode(), capture_output=True, check=True
    ).stdout


@pytest.fixture
def world(tmp_path: Path) -> FilingWorld:
    return FilingWorld(folder=tmp_path)


def given_up(world: FilingWorld) -> bytes:
    """One event is answered `Ok`, and Firehose delivers it nowhere; gives the line of the answer."""
    world.deliver([record(0, event(1), ARRIVED_US)])
    (name,) = world.delivery.list("")
    line = world.delivery.get(name)
    assert line is not None
    world.delivery.delete(name)
    return line


def set_aside(raw: bytes) -> bytes:
    """As Firehose writes it under its error prefix."""
    return json.dumps({"errorCode": "x", "rawData": base64.b64encode(raw).decode()}).encode() + b"\n"


def replayed(world: FilingWorld) -> dict[str, int]:
    platform = world.platform
    settings = flow_settings(Config())
    job = Replay(
        platform.lake(),
        rules=no_rules(),
        settings=settings,
        open_claims=lambda: platform.store,
        clock=platform.clock,
        telemetry=platform.telemetry,
    )
    return {verdict: count for (_, verdict), count in job.run(Selection(orphans=True)).tally.items()}


def test_a_line_that_firehose_gave_up_is_filed_at_its_position_once_it_lies_among_the_delivered(
    world: FilingWorld, tmp_path: Path
) -> None:
    line = given_up(world)
    missing = by_hand("missing.jsonl", set_aside(line.rstrip(b"\n")), tmp_path)
    for name in ("by-hand/1", "by-hand/2"):
        world.delivery.put(name, missing)
    assert world.file().counts == Counts(1, 1, 0, 0)
    assert world.file().counts == Counts()
    assert [(row["event_uuid"], row["sequence"]) for row in world.rows("events")] == [("id-1", str(FIRST))]
    assert world.verify().breaches == []


def test_a_record_as_it_was_sent_is_no_delivered_line_and_stops_the_filing_by_name(
    world: FilingWorld, tmp_path: Path
) -> None:
    given_up(world)
    world.delivery.put("by-hand/1", by_hand("missing.jsonl", set_aside(event(1)), tmp_path))
    with pytest.raises(PermanentError, match="by-hand/1"):
        world.file()


def test_an_event_that_is_sent_again_is_a_duplicate_until_a_day_later_orphans_are_replayed(world: FilingWorld) -> None:
    given_up(world)
    clock = world.platform.clock
    again = clock.now_us()
    world.deliver([record(1, event(1), again)])
    assert (world.file().waiting, world.ids()) == (1, [])
    clock.step(DAY + 1)
    assert world.file().counts == Counts(1, 0, 1, 0)
    assert [breach.kind for breach in world.verify().breaches] == ["orphan"]
    assert replayed(world) == {"accepted": 1}
    assert [(row["event_uuid"], row["shard"]) for row in world.rows("events")] == [("id-1", SHARD)]
    assert world.verify().breaches == []
    world.deliver([record(2, event(2), clock.now_us()), record(3, event(1), clock.now_us())])
    world.file()
    assert (world.ids(), len(world.rows("duplicates"))) == (["id-1", "id-2"], 2)  # one of them settled
    assert world.verify().breaches == []


@pytest.mark.parametrize("is_text", [True, False])
@pytest.mark.parametrize("is_by_data", [True, False])
def test_a_batch_of_the_failure_destination_finds_its_claims_only_at_its_positions(
    tmp_path: Path, is_text: bool, is_by_data: bool
) -> None:
    platform = Platform(storage=LocalStorage(tmp_path / "lake"))
    platform.lake().close()
    batch = EventSourceMapping().event([StreamRecord(SHARD, n, event(n % 2), ARRIVED_US) for n in range(1, 4)])
    log = ActionLog()
    log.fail("storage.put", "killed before")  # after the claims, before the commit
    with pytest.raises(Killed):
        admit(platform.container(log), batch, platform.deadline())
    later = EventSourceMapping().event([StreamRecord(SHARD, 9, event(9), ARRIVED_US)])
    admit(platform.container(), later, platform.deadline())
    document = json.dumps({"payload": json.dumps(batch) if is_text else batch}).encode()
    by_data = json.loads(by_hand("data.json", document, tmp_path))
    whole = json.loads(by_hand("batch.json", document, tmp_path))

    answer = admit(platform.container(), by_data if is_by_data else whole, platform.deadline())

    accepted, duplicates = (0, 3) if is_by_data else (2, 1)
    assert (answer["accepted"], answer["duplicates"], answer["skipped"]) == (accepted, duplicates, 0)
    if not is_by_data:
        assert admit(platform.container(), whole, platform.deadline())["skipped"] == 3
        lake = platform.lake()
        lake.publish()
        lake.close()
        assert sorted(row["sequence"] for row in read_table(platform.storage, "events").to_pylist()) == ["1", "2", "9"]
