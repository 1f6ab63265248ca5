"""Flags over environment over file over defaults; what is unknown or wrong is named in one line."""

from __future__ import annotations

import re
from operator import attrgetter
from pathlib import Path

import pytest

from headgate.config import (
    Config,
    Rule,
    digest,
    duration_us,
    effective,
    environment,
    load,
    mask_uri,
    masked,
    missing_rates,
    resolve,
    sample_toml,
)
from headgate.config.keys import keys
from headgate.config.sections import SECTIONS
from headgate.core import rules as core_rules
from headgate.core.rules import Rules
from headgate.errors import ConfigError

ROOT = Path(__file__).parents[2]


def file_with(folder: Path, text: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(text, "utf-8")
    return path


def test_nothing_given_means_the_defaults_of_the_contract() -> None:
    config = load(None, {}, {})
    assert config == Config()
    assert config.lake.format == "delta"
    assert config.lake.max_event_types == 1000
    assert config.batch.max_events == 250_000
    assert config.batch.max_bytes == 128 << 20
    assert config.batch.flush_seconds == 5.0
    assert config.validate.max_future_us == 86_400_000_000
    assert config.validate.max_event_bytes == 10 << 20
    assert config.validate.max_record_bytes == 64 << 20
    assert config.dedup.window_us == 7 * 86_400_000_000
    assert config.standby.takeover_seconds == 30
    assert (config.envelope.id, config.envelope.name, config.envelope.created_at) == (
        "event_uuid",
        "event_name",
        "created_at",
    )


def test_flag_over_environment_over_file_over_default(tmp_path: Path) -> None:
    path = file_with(tmp_path, "[batch]\nmax_events = 1\nmax_bytes = 1\nflush_seconds = 1\n")
    env = {"HEADGATE__BATCH__MAX_EVENTS": "2", "HEADGATE__BATCH__MAX_BYTES": "2", "PATH": "/bin"}
    resolved = resolve(path, env, {"batch.max_events": 3, "batch.max_bytes": None})
    batch = resolved.config.batch
    assert (batch.max_events, batch.max_bytes, batch.flush_seconds) == (3, 2, 1)
    origins = {setting.name: setting.origin for setting in effective(resolved)}
    assert origins["batch.max_events"] == "flag"
    assert origins["batch.max_bytes"] == "HEADGATE__BATCH__MAX_BYTES"
    assert origins["batch.flush_seconds"] == str(path)
    assert origins["lake.format"] == "default"


def test_environment_text_becomes_the_setting_type() -> None:
    env = {
        "HEADGATE__STANDBY__ENABLED": "false",
        "HEADGATE__BATCH__FLUSH_SECONDS": "0.5",
        "HEADGATE__DEDUP__STORE": "redis://h:1/0",
        "HEADGATE__LAKE__FORMAT": "json",
    }
    config = load(None, env, {})
    assert config.standby.enabled is False
    assert config.batch.flush_seconds == 0.5
    assert config.dedup.store == "redis://h:1/0"
    assert config.lake.format == "json"


def test_the_file_may_be_named_by_the_environment(tmp_path: Path) -> None:
    path = file_with(tmp_path, "[log]\nlevel = 'debug'\n")
    assert load(None, {"HEADGATE_CONFIG": str(path)}, {}).log.level == "debug"
    other = tmp_path / "other.toml"
    other.write_text("[log]\nlevel = 'error'\n")
    assert load(other, {"HEADGATE_CONFIG": str(path)}, {}).log.level == "error"


def test_rules_come_from_the_file(tmp_path: Path) -> None:
    path = file_with(tmp_path, "[[rules]]\nname='paid'\nwhen=\"event_type = 'payment'\"\ncheck='1 = 1'\n")
    resolved = resolve(path, {}, {})
    assert resolved.config.rules == (Rule(name="paid", when="event_type = 'payment'", check="1 = 1"),)
    assert effective(resolved)[-1].origin == str(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[batch]\nmax_event = 1", ["batch.max_event", "did you mean batch.max_events?"]),
        ("[dedup]\nflush_seconds = 1", ["dedup.flush_seconds", "did you mean batch.flush_seconds?"]),
        ("[bach]\nmax_events = 1", ["[bach]", "did you mean batch?"]),
        ("[qqqqqq]\nx = 1", ["[qqqqqq]", "known are lake, source"]),
        ("[batch]\n'a.b' = 1", ["batch.a.b"]),
        ("batch = 1", ["batch is a section"]),
        ("[batch]\nmax_events = '1'", ["batch.max_events = '1'", "Expected `int`"]),
        ("[batch]\nmax_events = true", ["batch.max_events = True", "Expected `int`"]),
        ("[batch]\nmax_events = 0", ["batch.max_events = 0", ">= 1"]),
        ("[batch]\nflush_seconds = nan", ["batch.flush_seconds = nan"]),
        ("[batch]\nflush_seconds = inf", ["batch.flush_seconds = inf"]),
        ("[lake]\nformat = 'iceberg'", ["lake.format = 'iceberg'"]),
        ("[validate]\nmax_future = '1'", ["validate.max_future", "no duration"]),
        ("[dedup]\nwindow = '0s'", ["dedup.window", "longer than 0s"]),
        ("[dedup]\nstore = 'mongo://x'", ["dedup.store", "rocksdb:PATH"]),
        ("[source]\nstart = 'yesterday'", ["source.start", "earliest"]),
        ("[source]\nstart = '2026-01-01T00:00:00'", ["source.start", "offset"]),
        ("[[rules]]\nname = 'a b'\ncheck = '1'", ["[[rules]]", "rules[0].name"]),
        ("[[rules]]\nname = 'a'", ["[[rules]]", "check"]),
        ("[[rules]]\nname = 'a'\ncheck = '1'\nwhat = 1", ["[[rules]]", "what"]),
        ("[[rules]]\nname = 'a'\ncheck = '1'\n[[rules]]\nname = 'a'\ncheck = '2'", ["'a' is given twice"]),
        ("rules = 1", ["[[rules]]"]),
        ("= 1", ["not valid TOML", "line 1"]),
    ],
)
def test_what_is_wrong_in_a_file_is_named_in_one_line(tmp_path: Path, text: str, words: list[str]) -> None:
    path = file_with(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load(path, {}, {})
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("variable", "value", "word"),
    [
        ("HEADGATE__BATCH__MAX_EVENT", "1", "did you mean batch.max_events?"),
        ("HEADGATE__BATCH", "1", "unknown setting batch"),
        ("HEADGATE__BATCH__MAX__EVENTS", "1", "unknown setting batch.max.events"),
        ("HEADGATE__BATCH__MAX_EVENTS", "many", "Expected `int`"),
        ("HEADGATE__BATCH__FLUSH_SECONDS", "nan", "batch.flush_seconds"),
        ("HEADGATE__STANDBY__ENABLED", "perhaps", "Expected `bool`"),
        ("HEADGATE__RULES", "[]", "configuration file"),
    ],
)
def test_what_is_wrong_in_the_environment_is_named(variable: str, value: str, word: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(word)) as caught:
        load(None, {variable: value}, {})
    assert str(caught.value).startswith(variable)


def test_a_wrong_flag_is_named() -> None:
    with pytest.raises(ConfigError, match=r"flag: batch\.max_events = 0"):
        load(None, {}, {"batch.max_events": 0})


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="headgate init"):
        load(tmp_path / "absent.toml", {}, {})
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path, {}, {})
    latin = tmp_path / "latin.toml"
    latin.write_bytes("# été".encode("latin-1"))
    with pytest.raises(ConfigError, match="UTF-8"):
        load(latin, {}, {})


def test_an_error_does_not_tell_a_password() -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, {"HEADGATE__DEDUP__STORE": "mongo://u:hunter2@h"}, {})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("0s", 0),
        ("90s", 90_000_000),
        ("15m", 900_000_000),
        ("12h", 43_200_000_000),
        ("7d", 604_800_000_000),
        ("1d12h", 129_600_000_000),
        ("1.5 h", 5_400_000_000),
        ("250ms", 250_000),
        ("1D", 86_400_000_000),
    ],
)
def test_durations(text: str, us: int) -> None:
    assert duration_us(text) == us


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "1w", "1d2", "1,5h", "1d extra", "٣d", "nan"])
def test_texts_that_are_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        duration_us(text)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("redis://user:secret@host:6379/0", "redis://user:***@host:6379/0"),
        ("redis://:se@cret@host/0", "redis://:***@host/0"),
        ("rediss://host/0?password=secret&ssl=1", "rediss://host/0?password=***&ssl=1"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("rocksdb:/var/lib/x", "rocksdb:/var/lib/x"),
        ("s3://bucket/a@b:c", "s3://bucket/a@b:c"),
        ("redis://:se#cret@host/0", "redis://:***@host/0"),
        ("redis://u:se/cr?et@host/0", "redis://u:***@host/0"),
        ("redis://:secret", "redis://:***"),
    ],
)
def test_passwords_of_uris_are_masked(uri: str, shown: str) -> None:
    assert mask_uri(uri) == shown


@pytest.mark.parametrize(
    "rest", [":se#cret@host/0", ":se/cret@host/0", ":secret", ":secret@host:99999/0", ":secret@[::1/0"]
)
def test_a_uri_of_redis_that_cannot_be_read_is_refused_and_not_shown(rest: str) -> None:
    for origin in ({"dedup.store": f"redis://{rest}"}, {}):
        env = {} if origin else {"HEADGATE__DEDUP__STORE": f"redis://{rest}"}
        with pytest.raises(ConfigError, match="must be percent-encoded") as caught:
            load(None, env, origin)
        assert "cret" not in str(caught.value)


def test_display_masks_and_digest_ignores_passwords() -> None:
    one, other = (load(None, {}, {"dedup.store": f"redis://u:{word}@h/0"}) for word in ("alpha", "omega"))
    assert "alpha" not in str(masked(one))
    assert digest(one) == digest(other)
    assert digest(one) != digest(Config())
    assert re.fullmatch("[0-9a-f]{16}", digest(one))


def test_a_change_anywhere_changes_the_digest(tmp_path: Path) -> None:
    path = file_with(tmp_path, "[[rules]]\nname='a'\ncheck='1 = 1'\n")
    configs = [
        Config(),
        load(None, {}, {"dedup.window": "8d"}),
        load(None, {}, {"envelope.id": "id"}),
        load(path, {}, {}),
    ]
    assert len({digest(config) for config in configs}) == len(configs)


def test_the_sample_file_is_all_defaults_and_names_every_setting(tmp_path: Path) -> None:
    path = file_with(tmp_path, sample_toml())
    assert load(path, {}, {}) == Config()
    named = re.findall(r"^#(\w+) = ", sample_toml(), re.MULTILINE)
    assert named == [key.name.rpartition(".")[2] for section in SECTIONS for key in keys(section)] + [
        "name",
        "when",
        "check",
    ]


def test_the_sample_file_loads_with_every_line_switched_on(tmp_path: Path) -> None:
    path = file_with(tmp_path, re.sub(r"^#(?=\w+ = |\[\[)", "", sample_toml(), flags=re.MULTILINE))
    config = load(path, {}, {})
    for section in SECTIONS:
        for key in keys(section):
            shown = key.default if key.example is None else key.example
            found = attrgetter(key.name)(config)
            assert (list(found) if isinstance(found, tuple) else found) == (shown or ([] if found == () else shown))
    assert [rule.name for rule in config.rules] == ["positive_amount"]


def test_the_example_file_is_the_sample_file() -> None:
    assert (ROOT / "examples" / "headgate.toml").read_text("utf-8") == sample_toml()


def test_every_setting_is_described() -> None:
    for section in SECTIONS:
        assert all(key.description.endswith((".", ":", "1d.", "7d.")) for key in keys(section))


def test_the_environment_is_a_copy() -> None:
    assert environment() == environment()
    assert environment() is not environment()


def test_the_rule_of_the_sample_file_is_valid_sql(tmp_path: Path) -> None:
    path = file_with(tmp_path, re.sub(r"^#(?=\w+ = |\[\[)", "", sample_toml(), flags=re.MULTILINE))
    rules = load(path, {}, {}).rules
    assert Rules([core_rules.Rule(name=rule.name, check=rule.check, when=rule.when) for rule in rules])


def test_a_section_inside_a_section_has_names_of_its_own(tmp_path: Path) -> None:
    path = file_with(tmp_path, "[quality]\nfields=['user.id']\n[quality.slo]\nmax_reject_rate=0.5\nmin_events=7\n")
    found = resolve(
        path, {"HEADGATE__QUALITY__SLO__MAX_MISSING_RATE": "0.1, user.id=0.2"}, {"quality.slo.min_events": 8}
    )
    slo = found.config.quality.slo
    assert (found.config.quality.fields, slo.max_reject_rate, slo.min_events) == (("user.id",), 0.5, 8)
    assert missing_rates(slo.max_missing_rate) == {None: 0.1, "user.id": 0.2}
    assert found.origins["quality.slo.max_reject_rate"] == str(path)
    shown = {setting.name: setting.value for setting in effective(found)}
    assert shown["quality.slo.min_events"] == 8
    assert "quality.slo" not in shown


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[quality]\nslo = 1\n", "write [quality.slo]"),
        ("[quality.slo]\nmax_reject_rat = 0.1\n", "did you mean quality.slo.max_reject_rate"),
        ("[quality.slo]\nmax_reject_rate = 2\n", "quality.slo.max_reject_rate = 2"),
        ("[quality.slo]\nmax_missing_rate = ['a=b']\n", "field=share"),
        ("[quality.slo]\nmax_freshness = 'soon'\n", "max_freshness"),
    ],
)
def test_what_is_wrong_in_a_section_inside_a_section_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        load(file_with(tmp_path, text), {}, {})


def test_a_section_inside_a_section_is_no_value_of_the_environment() -> None:
    with pytest.raises(ConfigError, match="unknown setting"):
        load(None, {"HEADGATE__QUALITY__SLO": "1"}, {})
