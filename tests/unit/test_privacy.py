"""`[privacy]`: what is wrong is named, the key is shown nowhere, and columns change only where they must."""

import json

import pyarrow as pa
import pytest
import xxhash

from headgate.config import Config, Privacy, digest, effective, load, masked, privacy_key, resolve
from headgate.core import privacy as core
from headgate.core.decode import DECODED
from headgate.core.envelope import Envelope
from headgate.core.privacy import MIN_KEY_BYTES, path_of, protect
from headgate.errors import ConfigError
from headgate.pipeline import FlowSettings
from headgate.wiring.flow import flow_settings, privacy_of

KEY = "k3y-0123456789abcdef-0123456789abcdef"


def made(**given):
    return core.Privacy(**{"key": KEY.encode(), "envelope": Envelope(), **given})


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("ip", ("ip",)),
        ("account.email", ("account", "email")),
        (r"a\.b.c", ("a.b", "c")),
        (r"a\\.b", ("a\\", "b")),
        ("é 1\n.2", ("é 1\n", "2")),
    ],
)
def test_a_path_is_names_joined_by_dots(written, path):
    assert path_of(written, "hash") == path


@pytest.mark.parametrize("written", ["", ".", "a.", ".a", "a..b", "a\\", r"a\b", "\ud800"])
def test_what_is_no_path_is_named(written):
    with pytest.raises(ConfigError, match=r"\[privacy\] mask: "):
        made(masked=[written])


@pytest.mark.parametrize("written", ["event_uuid", "event_name", "created_at", "created_at.x"])
def test_the_envelope_is_left_alone(written):
    with pytest.raises(ConfigError, match=r"\[privacy\] drop: .*\[envelope\]"):
        made(dropped=[written])


def test_neither_may_a_path_hold_a_field_of_the_envelope():
    envelope = Envelope(id="meta.id")
    with pytest.raises(ConfigError, match="'meta' is or holds the event's id"):
        made(hashed=["meta"], envelope=envelope)
    assert made(hashed=["meta.user", "event_uuid"], envelope=envelope)


@pytest.mark.parametrize(
    "given",
    [
        {"hashed": ["a", "a"]},
        {"hashed": ["a"], "masked": ["a"]},
        {"dropped": ["a"], "masked": ["a.b"]},
        {"hashed": ["a.b.c"], "dropped": ["a.b"]},
    ],
)
def test_two_paths_may_not_meet(given):
    with pytest.raises(ConfigError, match="given twice, or one path leads through another"):
        made(**given)


@pytest.mark.parametrize("given", [{"hashed": ["a"]}, {"is_withholding": True}])
def test_a_hash_needs_a_key_that_is_long_enough(given):
    with pytest.raises(ConfigError, match="need a key"):
        made(key=None, **given)
    with pytest.raises(ConfigError, match=f"{MIN_KEY_BYTES} are the least") as raised:
        made(key=b"short-secret", **given)
    assert "short-secret" not in str(raised.value)
    assert made(key=b"x" * MIN_KEY_BYTES, **given)
    assert made(key=None, masked=["a"], dropped=["b"])


def test_the_identity_follows_settings_and_key_and_hides_the_key():
    same = [made(hashed=["a", "b"]), made(hashed=["b", "a"])]
    others = [made(hashed=["a"]), made(masked=["a"]), made(hashed=["a"], is_withholding=True)]
    others += [made(hashed=["a"], key=b"another key of thirty-two bytes..")]
    assert same[0].identity == same[1].identity
    assert len({one.identity for one in [same[0], *others]}) == 5
    assert made(masked=["a"], key=None).identity == made(masked=["a"]).identity
    assert KEY not in repr(vars(same[0])) + repr(same[0])


def test_the_key_comes_from_the_variable_that_is_named_and_from_nowhere_else(monkeypatch):
    config = load(None, {"HEADGATE__PRIVACY__HASH": "user_id, account.email", "HEADGATE__PRIVACY__DROP": "ip"}, {})
    assert config.privacy == Privacy(hash=("user_id", "account.email"), drop=("ip",))
    monkeypatch.delenv("HEADGATE_PRIVACY_KEY", raising=False)
    with pytest.raises(ConfigError, match="key_env"):
        flow_settings(config)
    monkeypatch.setenv("HEADGATE_PRIVACY_KEY", f" {KEY}\n")
    settings = flow_settings(config)
    assert isinstance(settings, FlowSettings)
    assert settings.privacy.identity == made(hashed=config.privacy.hash, dropped=["ip"]).identity
    for shown in (repr(settings), repr(config), json.dumps(masked(config)), digest(config)):
        assert KEY not in shown
    assert privacy_key(Privacy(key_env="OTHER"), {"OTHER": KEY}) == KEY.encode()
    assert privacy_key(Privacy(), {"HEADGATE_PRIVACY_KEY": " "}) is None
    assert privacy_of(Config()) is None


def test_a_key_in_the_place_of_its_variables_name_is_refused_and_not_shown(tmp_path):
    path = tmp_path / "h.toml"
    for secret in ("3f" * 32, "c2VjcmV0IHNlY3JldCBzZWNyZXQ="):
        path.write_text(f'[privacy]\nkey_env = "{secret}"\n')
        with pytest.raises(ConfigError, match=r"privacy\.key_env = \*\*\*") as raised:
            load(path, {}, {})
        assert secret not in str(raised.value)
    path.write_text('[privacy]\nkey = "hush"\n')
    with pytest.raises(ConfigError, match=r"privacy\.key\b") as raised:
        load(path, {}, {})
    assert "hush" not in str(raised.value)


def test_paths_come_from_the_file_and_are_shown(tmp_path):
    path = tmp_path / "h.toml"
    path.write_text("[privacy]\nhash = ['a\\.b']\nunparseable = 'withhold'\n")
    shown = {one.name: one.value for one in effective(resolve(path, {}, {}))}
    assert shown["privacy.hash"] in (["a\\.b"], ("a\\.b",))
    assert shown["privacy.unparseable"] == "withhold"
    path.write_text("[privacy]\nhash = 'a'\n")
    with pytest.raises(ConfigError, match=r"privacy\.hash = 'a': Expected `array`"):
        load(path, {}, {})


def parts(payloads, raws=None):
    n = len(payloads)
    columns = {field.name: pa.nulls(n, field.type) for field in DECODED}
    columns["payload"] = pa.array(payloads, pa.large_binary())
    columns["raw"] = pa.array(raws or [None] * n, pa.large_binary())
    columns["fingerprint"] = pa.array([xxhash.xxh3_64_intdigest(p) for p in payloads], pa.uint64())
    return pa.table(columns, schema=DECODED)


def test_columns_change_only_where_a_path_occurs_and_fingerprints_follow():
    privacy = made(dropped=["ip"])
    payloads = [b'{"a":1}', b'{"ip":1,"a":"ip"}', b"\xff", b'{"a":"\\"ip\\""}']
    table = pa.concat_tables([parts(payloads[:2]), parts(payloads[2:], [b"\xff ", None]), parts([])])
    found = protect(table, privacy)
    assert found.schema == table.schema
    assert found["payload"].to_pylist() == [b'{"a":1}', b'{"a":"ip"}', b"\xff", payloads[3]]
    assert found["raw"].to_pylist() == [None, None, b"\xff ", None]
    prints = found["fingerprint"].to_pylist()
    assert prints == [xxhash.xxh3_64_intdigest(p) for p in found["payload"].to_pylist()]


def test_an_untouched_batch_is_handed_on_as_it_is():
    table = parts([b'{"a":1}', b'{"a":2}'])
    found = protect(table, made(dropped=["ip"]))
    same = [one.chunk(0).buffers()[2].address for one in (found["payload"], table["payload"])]
    assert same[0] == same[1]


def test_a_slice_of_a_batch_is_protected_at_its_own_rows():
    table = parts([b'{"ip":0}', b'{"a":1}', b'{"ip":2}', b'{"a":3}']).slice(1, 2)
    assert protect(table, made(masked=["ip"]))["payload"].to_pylist() == [b'{"a":1}', b'{"ip":"***"}']


@pytest.mark.parametrize("raw", [b'{"ip":1', b'"ip@1"', b"\x1f\x8b\x08rubbish", b"", b'{"ip":NaN}', b"[1,]"])
def test_a_reject_that_cannot_be_read_is_kept_or_withheld(raw):
    kept, withheld = made(dropped=["ip"]), made(dropped=["ip"], is_withholding=True)
    assert kept.reject(raw) is raw
    found = withheld.reject(raw)
    assert found.startswith(f"withheld: {len(raw)} bytes, hmac-sha256:".encode())
    assert withheld.reject(found) is found
    table = protect(parts([raw.strip()], [raw]), withheld)
    assert table["raw"].to_pylist() == [found]
    assert table["fingerprint"].to_pylist() == [xxhash.xxh3_64_intdigest(found)]


def test_what_can_be_read_is_never_withheld():
    withheld = made(is_withholding=True)
    for raw in (b'{"a":1}', b'[{"a":1}]', b' {"event_uuid":true} '):
        assert withheld.reject(raw) is raw
    assert withheld.event(b'{"a":1}') == b'{"a":1}'
