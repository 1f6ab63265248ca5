"""The Lambda runtime killed by SIGKILL between any two effects: the batch comes again, and is in the lake once."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest
from deltalake import DeltaTable

from headgate.lake.opening import open_storage
from headgate.testing.event_source_mapping import EventSourceMapping, FunctionError, StreamRecord
from headgate.testing.lambda_runtime import LambdaFunction
from headgate.testing.laws import entries
from headgate.testing.records import ARRIVED_US
from headgate.testing.server_valkey import valkey

CHILD = Path(__file__).parent.parent / "integration"
FIRST = 49590338271490256608559692538361571095921575989136588898
MAPPING = EventSourceMapping()


@pytest.fixture(scope="module")
def claims(tmp_path_factory):
    with valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server.uri


def batch(number):
    """Three events of its own, one copy of the first batch's, one reject."""
    bodies = [
        *(
            json.dumps({"event_uuid": f"b{number}-{n}", "event_name": f"t{n}:x", "created_at": 1.79e9})
            for n in range(3)
        ),
        json.dumps({"event_uuid": "b0-0", "event_name": "t0:x", "created_at": 1.79e9}),
        "rubbish",
    ]
    at = FIRST + number * 100
    return [StreamRecord("shardId-000000000000", at + n, b.encode(), ARRIVED_US) for n, b in enumerate(bodies)]


@pytest.mark.kill
@pytest.mark.parametrize(("table_format", "step"), [("delta", 3), ("parquet", 5)])
def test_a_runtime_killed_at_any_effect_loses_and_repeats_nothing(table_format, step, tmp_path, claims):
    path = os.pathsep.join(filter(None, [str(CHILD), os.environ.get("PYTHONPATH")]))
    env = {"LAKE": str(tmp_path / "lake"), "CLAIMS": claims, "PYTHONPATH": path, "FORMAT": table_format}
    with LambdaFunction("lambda_child.handler", tmp_path / "calm", env) as calm:
        calm(MAPPING.event(batch(0)))
        with LambdaFunction("lambda_child.handler", tmp_path / "measured", env) as measured:
            effects = measured(MAPPING.event(batch(1)))["effects"]
        assert effects > 9
        numbers = range(0, effects, step)
        for number in numbers:
            deadly = {**env, "DIE_AT": str(number)}
            died = pytest.raises(FunctionError, match="ended")
            with LambdaFunction("lambda_child.handler", tmp_path / f"deadly{number}", deadly) as function, died:
                function(MAPPING.event(batch(number + 2)))
            calm(MAPPING.event(batch(number + 2)))
    lake = tmp_path / "lake"
    check(open_storage(str(lake)), lake, [0, 1, *(number + 2 for number in numbers)], table_format)


def check(storage, lake, batches, table_format):
    """Each event in `events` once, counts conserved, and every position in exactly one table."""
    if table_format == "delta":
        tables = {t: DeltaTable(str(lake / t)).to_pyarrow_table() for t in ("events", "duplicates", "rejected")}
    else:
        import pyarrow.dataset as ds

        tables = {t: ds.dataset(lake / t, format="parquet").to_table() for t in ("events", "duplicates", "rejected")}
    assert Counter(tables["events"]["event_uuid"].to_pylist()) == Counter(
        f"b{number}-{n}" for number in batches for n in range(3)
    )
    positions = Counter(p for table in tables.values() for p in table["sequence"].to_pylist())
    assert positions == Counter(str(FIRST + number * 100 + n) for number in batches for n in range(5))
    ledger = [entry for entry in entries(storage) if entry.kind == "batch"]
    assert sum(entry.counts.received for entry in ledger) == 5 * len(batches)
    assert all(entry.counts.is_conserved for entry in ledger)
