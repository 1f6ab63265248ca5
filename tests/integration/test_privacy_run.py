"""`[privacy]` at the command line: nothing is written or said that was taken away, and `verify` proves the lake."""

import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headgate.config import Config, environment, load
from headgate.entrypoints.commands.verify import verify_job
from headgate.lake.local import LocalStorage
from headgate.testing.lake_contents import contents
from headgate.testing.processes import run

KEY = "k3y-0123456789abcdef-0123456789abcdef"
SECRET = re.compile(rb"SECRET|U0VDUkVU")  # also as base64


def event(event_id, name="a:b", **fields):
    own = {"ip": "SECRET-1", "user_id": "SECRET-2", "account": [{"email": ["SECRET-3", None]}]}
    return json.dumps(
        {"event_uuid": event_id, "event_name": name, "created_at": 1_790_000_000, **own, **fields}
    ).encode()


DATA = [
    event("one", card={"number": "SECRET-4"}),
    event("home", "home"),
    event("away", "home", ip="elsewhere"),  # breaks the rule, which sees what was sent
    event("one", card={"number": "SECRET-5"}),
    event("two").replace(b'"ip"', b'"\\u0069p"'),
    b"[" + event("three") + b"," + event(None) + b"]",
    b'{"ip":"SECRET',
]


def leaks(storage):
    return sorted({path for path, content in contents(storage) if SECRET.search(content) or KEY.encode() in content})


@pytest.fixture
def settings_file(tmp_path):
    path = tmp_path / "headgate.toml"
    text = '[privacy]\nhash = ["user_id", "account.email"]\nmask = ["card.number"]\ndrop = ["ip"]\n'
    path.write_text(f"""{text}unparseable = "withhold"\n
[[rules]]\nname = "at_home"\nwhen = "event_type = 'home'"\ncheck = "payload->>'ip' LIKE 'SECRET-%'"\n""")
    return path


@pytest.mark.parametrize("table_format", ["delta", "json"])
def test_run_hides_and_verify_proves(tmp_path, settings_file, table_format, monkeypatch):
    source, lake = tmp_path / "events.jsonl", tmp_path / "lake"
    source.write_bytes(b"\n".join(DATA) + b"\n")
    args = ["run", source, lake, "--format", table_format, "--config", settings_file]
    code, child = run(args, tmp_path / "logs")
    assert (code, lake.exists()) == (2, False)
    assert "HEADGATE_PRIVACY_KEY" in child.errors() or "key_env" in child.errors()
    code, child = run(args, tmp_path / "logs", env={"HEADGATE_PRIVACY_KEY": KEY})
    assert code == 0, child.errors()
    assert leaks(LocalStorage(lake)) == []
    for path in (tmp_path / "logs").iterdir():
        assert not SECRET.search(path.read_bytes())
        assert KEY not in path.read_text()

    monkeypatch.setenv("HEADGATE_PRIVACY_KEY", KEY)
    protected = load(settings_file, environment(), {})
    proof = verify_job(str(source), str(lake), protected, is_shown=False)
    assert (proof.breaches, proof.uncompared) == ([], 0)
    other = verify_job(str(source), str(lake), Config(rules=protected.rules), is_shown=False)
    assert other.breaches == []
    assert other.uncompared == sum(proof.rows.values()) if table_format != "json" else proof.rows["rejected"]


def test_verify_finds_a_row_that_was_not_protected(tmp_path, settings_file, monkeypatch):
    source, lake = tmp_path / "events.jsonl", tmp_path / "lake"
    source.write_bytes(DATA[0] + b"\n" + DATA[1] + b"\n")
    monkeypatch.setenv("HEADGATE_PRIVACY_KEY", KEY)
    args = ["run", source, lake, "--format", "parquet", "--config", settings_file]
    assert run(args, tmp_path / "logs")[0] == 0
    (path,) = (lake / "events" / "event_type=home").rglob("*.parquet")
    table = pq.ParquetFile(path).read()
    raw = pa.array([DATA[1].decode()], table["payload"].type)
    pq.write_table(table.set_column(table.schema.get_field_index("payload"), "payload", raw), path)
    proof = verify_job(str(source), str(lake), load(settings_file, environment(), {}), is_shown=False)
    assert [breach.kind for breach in proof.breaches] == ["content"]
