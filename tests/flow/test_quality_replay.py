"""After a replay the sums of `quality` are those of the tables: what was measured of settled rows is taken back."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from headgate.core.figures import COLUMNS, Figures, figures_of, total
from headgate.jobs.existing import find_lake
from headgate.jobs.quality_rows import quality_between
from headgate.testing.commands import ok

FORMATS = ("delta", "parquet", "json")
RULE = "[quality]\nfields = ['user']\n[[rules]]\nname = 'amount'\ncheck = \"CAST(payload->>'amount' AS DOUBLE) < {}\"\n"
ARRIVED = 1_790_000_000  # Unix seconds; modification time of the source
MAPS = ("missing", "rule_passes", "rule_failures", "units", "created_to_arrived")


def line(i: int) -> str:
    """Amounts 0 to 1,190; ids come again after 90; every fifth has no user; created ever longer ago."""
    event = {"event_uuid": f"id-{i % 90}", "event_name": "pay" if i % 3 else "user", "created_at": ARRIVED - i}
    return json.dumps(event | {"amount": i * 10} | ({"user": 1} if i % 5 else {})) + "\n"


def sums(lake: Path) -> dict[str, dict[object, int]]:
    """Every map of `quality`, added up over all rows; what adds up to 0 left out."""
    found: dict[str, Counter[object]] = {name: Counter() for name in MAPS}
    for block in quality_between(find_lake(str(lake)), 0, 9_000_000_000_000_000, MAPS):
        for name in MAPS:
            for row in block[name].to_pylist():
                for key, count in row or ():
                    found[name][key] += count
    return {name: {key: count for key, count in counts.items() if count} for name, counts in found.items()}


def figures(lake: Path) -> Figures:
    return total(figures_of(quality_between(find_lake(str(lake)), 0, 9_000_000_000_000_000, COLUMNS)))


@pytest.mark.parametrize("table_format", FORMATS)
def test_sums_after_a_replay_are_those_of_a_run_under_the_new_rules(tmp_path: Path, table_format: str) -> None:
    source = tmp_path / "a.jsonl"
    source.write_text("".join(map(line, range(120))) + '{"event_name": "pay"}\nnope\n')
    os.utime(source, (ARRIVED, ARRIVED))
    for name, limit in (("strict", 100), ("loose", 1_000)):
        (tmp_path / f"{name}.toml").write_text(RULE.format(limit))
        options = ("--format", table_format, "--config", tmp_path / f"{name}.toml", "--source-name", "s")
        ok("run", source, tmp_path / name, *options)
    strict = sums(tmp_path / "strict")
    assert strict["rule_failures"] == {"amount": 110}
    assert (strict["missing"], strict["rule_passes"]) == ({"event_uuid": 1, "created_at": 1, "user": 2}, {"amount": 10})

    replayed = ok("replay", tmp_path / "strict", "--config", tmp_path / "loose.toml")

    assert replayed["accepted"] + replayed["duplicate"] == 90
    assert sums(tmp_path / "strict") == sums(tmp_path / "loose")
    after, fresh = figures(tmp_path / "strict"), figures(tmp_path / "loose")
    assert (after.received, after.accepted, after.duplicates) == (fresh.received, fresh.accepted, fresh.duplicates)
    assert dict(after.looked)["user"] == after.accepted + after.duplicates == 100
    assert ok("verify", source, tmp_path / "strict", "--source-name", "s")["proven"]
