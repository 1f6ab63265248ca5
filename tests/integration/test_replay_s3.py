"""Replays of lakes on S3, with a claim store of its own and with a shared one."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from headgate.entrypoints.cli import cli
from headgate.testing.pairs import Servers
from headgate.testing.server_moto import Moto
from headgate.testing.server_valkey import valkey

RULE = '[[rules]]\nname = "n"\ncheck = "CAST(payload->>\'n\' AS INT) < {}"\n'


@pytest.fixture(scope="module")
def servers(moto: Moto, tmp_path_factory):
    with valkey(tmp_path_factory.mktemp("valkey")) as redis:
        yield Servers(moto=moto, redis_uri=redis.uri)


def event(i: int) -> str:
    name = "a:b" if i % 2 else "c:d"
    return json.dumps({"event_uuid": f"id-{i}", "event_name": name, "created_at": 1_790_000_000, "n": i % 10}) + "\n"


@pytest.mark.parametrize(("table_format", "store"), [("delta", "own"), ("parquet", "redis"), ("json", "own")])
def test_rejects_of_a_lake_on_s3_become_events_once(
    servers: Servers, tmp_path: Path, table_format: str, store: str
) -> None:
    (tmp_path / "strict.toml").write_text(RULE.format(5))
    (tmp_path / "loose.toml").write_text(RULE.format(8))
    source, lake, env = tmp_path / "s", servers.make_lake_uri(), servers.env(tmp_path / "cache")
    dedup = servers.dedup("redis") if store == "redis" else ()
    source.mkdir()
    (source / "a.jsonl").write_text("".join(map(event, range(100))))

    def ok(*args: object) -> dict:
        result = CliRunner().invoke(cli, [str(arg) for arg in (*args, "--json")], env=env)
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    loose = ("--config", tmp_path / "loose.toml", *dedup)
    ok("run", source, lake, "--format", table_format, "--config", tmp_path / "strict.toml", *dedup)
    assert ok("replay", lake, "--dry-run", *loose)["accepted"] == 30
    assert ok("replay", lake, *loose)["accepted"] == 30
    assert ok("replay", lake, *loose)["entries"] == []
    (source / "b.jsonl").write_text("".join(map(event, reversed(range(100)))))
    assert ok("run", source, lake, *loose)["duplicates"] == 80
    assert ok("verify", source, lake)["proven"] is True
    assert ok("status", lake)["counts"] == {"received": 200, "accepted": 80, "duplicates": 80, "rejected": 40}
    found = ok("query", lake, "SELECT (FROM (SELECT count(*) FROM rejected)) AS r, count(*) AS a FROM rejected_all")
    assert found == [{"r": 40, "a": 70}]
