"""An erasure, proven: what is gone is a term of its own, and nothing of it comes back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from headgate.testing.commands import ok

EVENTS = 400


def line(number: int, person: int) -> str:
    return json.dumps({"event_uuid": f"id-{number}", "event_name": "a:b", "created_at": 1.79e9, "person": person})


@pytest.mark.parametrize("table_format", ["delta", "parquet", "json"])
def test_an_erased_lake_is_proven_and_keeps_copies_out_when_its_claims_are_lost(
    tmp_path: Path, table_format: str
) -> None:
    numbers = [*range(EVENTS), *range(0, EVENTS, 10)]  # every tenth comes twice
    lines = [line(number, number % 4) for number in numbers]
    source, lake = tmp_path / "a.jsonl", tmp_path / "lake"
    source.write_text("\n".join([*lines, "rubbish of person 3"]) + "\n")
    ok("run", source, lake, "--format", table_format)
    ok("erase", lake, "--where", "payload->>'person' = '2'", "--contains", "person 3", "--yes")

    proof = ok("verify", source, lake)
    assert proof["erased"] == {"events": 100, "duplicates": 20, "rejected": 1}
    again = tmp_path / "b.jsonl"
    again.write_text("\n".join(lines) + "\n")
    shutil.rmtree(lake / "_headgate" / "claims")
    assert ok("run", again, lake)["accepted"] == 0
    ok("verify", again, lake)
    [found] = ok("query", lake, "SELECT count(*) AS n, count(*) FILTER (payload->>'person' = '2') AS gone FROM events")
    assert found == {"n": 300, "gone": 0}
