"""An erasure killed at any call of the storage: nobody else's row is touched, and the next erasure comes to its end."""

import contextlib
import json
import shutil
from pathlib import Path

import pytest

from headgate.lake.lake import open_lake
from headgate.lake.local import LocalStorage
from headgate.lake.options import LakeOptions
from headgate.testing.action_log import ActionLog, LoggedStorage
from headgate.testing.compaction import now_us
from headgate.testing.erasing import PERSON, admit, erased, ledger_breaches, others, traces
from headgate.testing.processes import Child, run, wait_until
from headgate.testing.scripted_storage import Killed

pytestmark = pytest.mark.kill

SCRIPT = Path(__file__).parent / "killed_erase.py"
FAULTS = ("killed before", "killed after")


@pytest.fixture(scope="module", params=["delta", "parquet", "json"])
def made(request, tmp_path_factory):
    """A small lake: one entry of everybody's rows, one of nobody else's, one without any of the person's."""
    path = tmp_path_factory.mktemp("made") / "lake"
    lake = open_lake(LocalStorage(path), request.param, LakeOptions(), now_us=now_us)
    for owners in (["ann", PERSON], [PERSON], ["bob"]):
        admit(lake, owners)
    lake.close()
    return path


def test_killed_at_any_effect_the_next_erasure_finishes(made, tmp_path):
    calm, log = tmp_path / "calm", ActionLog()
    shutil.copytree(made, calm)
    before = others(LocalStorage(calm))
    erased(LoggedStorage(LocalStorage(calm), log))
    assert traces(LocalStorage(calm)) == []
    assert len(log.effects) > 10
    for number in range(0, len(log.effects), 3):
        lake = tmp_path / str(number)
        shutil.copytree(made, lake)
        storage = LocalStorage(lake)
        with contextlib.suppress(Killed):
            erased(LoggedStorage(storage, ActionLog(faults={number: FAULTS[number // 2 % 2]})))
        receipt = erased(storage)
        assert traces(storage) == [], log.texts()[number]
        assert others(storage) == before, log.texts()[number]
        assert ledger_breaches(storage) == [], log.texts()[number]
        if receipt is not None:
            assert {t: of["rows"] for t, of in receipt["tables"].items()} == dict.fromkeys(before, 2)
        assert erased(storage) is None
        shutil.rmtree(lake)


POINTS = [("put", "rows.parquet", "after", 1), ("put", "events/", "after", 1), ("put", "receipt.json", "before", 1)]


@pytest.mark.parametrize("point", POINTS, ids=lambda p: "-".join(map(str, p)).replace("/", "."))
def test_killed_by_the_system_it_is_no_different(made, tmp_path, point):
    lake = tmp_path / "lake"
    shutil.copytree(made, lake)
    before = others(LocalStorage(lake))
    code, child = run([SCRIPT, lake, *map(str, point)], tmp_path / "logs")
    assert code == -9, child.errors()
    assert others(LocalStorage(lake)) == before
    assert len(erased(LocalStorage(lake))["continues"]) == 1
    assert traces(LocalStorage(lake)) == []
    assert others(LocalStorage(lake)) == before


def test_beside_a_run_all_its_events_come_in_and_the_persons_go(tmp_path):
    source, lake, logs = tmp_path / "source", tmp_path / "lake", tmp_path / "logs"
    source.mkdir()

    def events(first, count):
        for n in range(first, first + count):
            owner = PERSON if n % 10 == 0 else "other"
            name = f"of-them-{n}" if owner == PERSON else f"id-{n}"
            yield json.dumps({"event_uuid": name, "event_name": "a:b", "created_at": 1, "account": owner}) + "\n"

    (source / "a.jsonl").write_text("".join(events(0, 500)))
    command = ["run", source, lake, "--follow", "--batch-events", "50", "--flush-seconds", "0.2"]
    with Child(command, logs) as consumer:
        committed = lambda: len(list((lake / "_headgate" / "ledger").glob("*.json"))) >= 10  # noqa: E731
        wait_until(lambda: committed() or not consumer.is_running, "all of the first file")
        (source / "b.jsonl").write_text("".join(events(500, 500)))
        arguments = ["erase", lake, "--where", f"payload->>'account' = '{PERSON}'", "--json"]
        code, child = run(arguments, logs)
        assert code == 0, child.errors()
        assert len(list((lake / "_headgate" / "erasures").glob("*/receipt.json"))) == 1
        consumer.signal(15)
        assert consumer.wait() == 0, consumer.errors()
    code, child = run([*command[:3], "--once"], logs)
    assert code == 0, child.errors()
    code, child = run(arguments, logs)
    assert code == 0, child.errors()
    storage = LocalStorage(lake)
    assert traces(storage) == []
    assert len(others(storage)["events"]) == 900
