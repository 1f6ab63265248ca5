"""`headgate plan`: what it refuses and names in its place, where its settings come from, and what it prints."""

import json
from pathlib import Path
from typing import Any

import pytest

from headgate.config.count import count_of
from headgate.core.plan.ask import DESIGNS, Ask
from headgate.core.plan.plan import plan_of
from headgate.errors import ConfigError
from headgate.plan.listing import NAME, parsed, price_list
from headgate.testing.commands import run


def planned(*args: object, code: int = 0) -> dict[str, Any]:
    result = run("plan", "--json", *args)
    assert result.exit_code == code, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    assert found["works"] is (code == 0)
    return found


def limits(plan: dict[str, Any]) -> set[str]:
    return {refusal["limit"] for refusal in plan["refusals"]}


@pytest.mark.parametrize(
    ("text", "value"),
    [("1000", 1e3), ("250k", 250e3), ("1M", 1e6), ("1.5B", 1.5e9), ("1m", 1e6), ("1,000_000", 1e6), (" 7 ", 7)],
)
def test_counts_are_read_as_people_write_them(text: str, value: float) -> None:
    assert count_of(text) == value


@pytest.mark.parametrize("text", ["", "0", "-1", "M", "1T", "1e6", "nan", "inf", "1 M x", "0.0000001"])
def test_what_is_no_count_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no count"):
        count_of(text)


@pytest.mark.parametrize("design", list(DESIGNS))
@pytest.mark.parametrize("volume", ["1k", "1M"])
def test_every_design_works_at_a_thousand_and_at_a_million_events_an_hour(design: str, volume: str) -> None:
    plan = planned("--events-per-hour", volume, "--design", design)
    assert plan["refusals"] == plan["instead"] == []
    assert plan["bill"]["total"] == pytest.approx(sum(item["usd"] for item in plan["bill"]["items"]))


@pytest.mark.parametrize("design", list(DESIGNS))
def test_a_billion_events_an_hour_are_refused_and_split_by_id(design: str) -> None:
    plan = planned("--events-per-hour", "1B", "--design", design, code=1)
    assert plan["sizes"]["claims"]["ids_in_window"] == pytest.approx(168e9)
    assert plan["instead"]
    assert all("split by id" in one["sentence"] for one in plan["instead"])


def test_more_batches_a_second_than_one_lake_commits_are_refused() -> None:
    args = ("--events-per-hour", "30M", "--design", "A", "--claims", "dynamodb", "--shards", 60)
    plan = planned(*args, "--flush", "5s", code=1)
    assert limits(plan) == {"commits"}
    (commits,) = plan["refusals"]
    assert commits["needed"] == pytest.approx(60 / 5)
    assert commits["allowed"] == 10
    assert any("--flush 60s" in one["sentence"] for one in plan["instead"])
    assert planned(*args, "--flush", "60s")["refusals"] == []


def test_full_batches_are_too_many_for_one_lake_whatever_the_window() -> None:
    plan = planned("--events-per-hour", "400M", "--design", "A", "--claims", "s3", code=1)
    assert limits(plan) == {"commits"}
    sentences = [one["sentence"] for one in plan["instead"]]
    assert not any("--flush" in sentence for sentence in sentences)
    assert any("--events-per-record 20" in sentence for sentence in sentences)
    assert any("2 streams" in sentence for sentence in sentences)


def test_a_window_that_no_node_holds_is_refused_and_a_shorter_one_named() -> None:
    plan = planned("--events-per-hour", "12M", "--design", "A", code=1)
    assert limits(plan) == {"claims"}
    assert any("--window 5d" in one["sentence"] for one in plan["instead"])
    assert any("--claims dynamodb" in one["sentence"] for one in plan["instead"])
    assert planned("--events-per-hour", "12M", "--design", "A", "--window", "5d")["refusals"] == []


@pytest.mark.parametrize(
    ("args", "limit"),
    [
        (("--events-per-hour", "300M"), "consumer"),
        (("--events-per-hour", "4M", "--claims", "dynamodb"), "consumer"),
        (("--events-per-hour", "1M", "--design", "A", "--claims", "rocksdb"), "one_process"),
        (("--events-per-hour", "1M", "--design", "E", "--flush", "10m"), "flush"),
        (("--events-per-hour", "1M", "--design", "C", "--flush", "10s"), "flush"),
        (("--events-per-hour", "1M", "--design", "C", "--types", 126), "partitions"),
        (("--events-per-hour", "1M", "--design", "D", "--event-bytes", "1.03M"), "record"),
        (("--events-per-hour", "1k", "--event-bytes", "2M"), "record"),
        (("--events-per-hour", "1k", "--retention", "400d"), "retention"),
        (("--events-per-hour", "1M", "--design", "A", "--types", 1001), "types"),
        (("--events-per-hour", "10M", "--design", "A", "--window", "1h", "--shards", 2), "shards"),
        (("--events-per-hour", "200M", "--design", "B"), "claims_rate"),
        (("--events-per-hour", "700M", "--design", "A", "--window", "1h"), "claims_rate"),
        (("--events-per-hour", "600M", "--design", "A", "--claims", "s3"), "nightly"),
        (("--events-per-hour", "200M", "--design", "B", "--claims", "s3"), "nightly"),
    ],
)
def test_each_limit_is_named(args: tuple[object, ...], limit: str) -> None:
    plan = planned(*args, code=1)
    assert limit in limits(plan)
    assert all(refusal["needed"] > 0 and refusal["sentence"] for refusal in plan["refusals"])


@pytest.mark.parametrize(
    ("args", "limit", "needed", "allowed"),
    [
        (("--design", "C", "--flush", "30s"), "flush", 30, 60),
        (("--design", "C", "--flush", "1h"), "flush", 3600, 900),
        (("--design", "A", "--retention", "1h"), "retention", 3600, 86_400),
        (("--design", "container", "--retention", "400d"), "retention", 400 * 86_400, 365 * 86_400),
    ],
)
def test_a_refusal_names_the_bound_that_was_broken(
    args: tuple[object, ...], limit: str, needed: float, allowed: float
) -> None:
    plan = planned("--events-per-hour", "1M", *args, code=1)
    (refusal,) = plan["refusals"]
    assert (refusal["limit"], refusal["needed"], refusal["allowed"]) == (limit, needed, allowed)
    assert plan["instead"]


def test_as_many_types_work_as_firehose_opens_partitions_for_and_as_the_lake_takes(tmp_path: Path) -> None:
    args = ("--events-per-hour", "1M", "--design")
    assert planned(*args, "C", "--types", 125)["refusals"] == []
    assert planned(*args, "A", "--types", 1000)["refusals"] == []
    refused = planned(*args, "A", "--types", 5000, code=1)
    assert any("[lake] max_event_types = 5000" in one["sentence"] for one in refused["instead"])
    config = tmp_path / "headgate.toml"
    config.write_text("[lake]\nmax_event_types = 5000\n")
    assert planned(*args, "A", "--types", 5000, "--config", config)["refusals"] == []


def test_packing_events_into_records_needs_fewer_shards() -> None:
    single = planned("--events-per-hour", "100M", "--design", "A", "--window", "1h", "--claims", "dynamodb", code=0)
    packed = planned(
        "--events-per-hour",
        "100M",
        "--design",
        "A",
        "--window",
        "1h",
        "--claims",
        "dynamodb",
        "--events-per-record",
        20,
    )
    assert packed["sizes"]["load"]["shards_for_records"] == 2
    assert single["sizes"]["load"]["shards_for_records"] == 28
    assert packed["bill"]["total"] < single["bill"]["total"]


def test_settings_come_from_flags_then_from_the_file_then_from_the_design(tmp_path: Path) -> None:
    config = tmp_path / "headgate.toml"
    config.write_text(
        '[lake]\nformat = "json"\n[dedup]\nwindow = "2d"\nstore = "rediss://host:6379/0"\n[batch]\nflush_seconds = 20\n'
        '[source]\nretention = "3d"\n[kinesis]\nfan_out = "lake"\n'
    )
    args = ("--events-per-hour", "1M", "--config", config)
    ask = planned(*args)["ask"]
    assert (ask["format"], ask["claims"], ask["flush_s"], ask["has_fan_out"]) == ("json", "redis", 20, True)
    assert (ask["window_s"], ask["retention_s"]) == (2 * 86_400, 3 * 86_400)
    ask = planned(*args, "--format", "parquet", "--claims", "rocksdb", "--flush", "9s", "--window", "1d")["ask"]
    assert (ask["format"], ask["claims"], ask["flush_s"], ask["window_s"]) == ("parquet", "rocksdb", 9, 86_400)
    ask = planned("--events-per-hour", "1M")["ask"]
    assert (ask["format"], ask["claims"], ask["flush_s"], ask["window_s"]) == ("delta", "rocksdb", 60, 7 * 86_400)


def test_longer_retention_and_fan_out_are_on_the_bill(tmp_path: Path) -> None:
    config = tmp_path / "headgate.toml"
    config.write_text('[kinesis]\nfan_out = "lake"\n[source]\nretention = "7d"\n')
    for design in ("container", "E"):
        args = ("--events-per-hour", "1M", "--design", design)
        plain, more = planned(*args), planned(*args, "--config", config)
        whats = {item["what"] for item in more["bill"]["items"]}
        assert "kept longer than a day" in whats
        assert more["bill"]["total"] > plain["bill"]["total"]


@pytest.mark.parametrize(
    ("design", "retention", "extended", "older"),
    [
        ("E", "24h", 0, 0),
        ("E", "7d", 6 * 24 * 3e8 / 2**30 * 0.10, 0),
        ("E", "365d", 6 * 24 * 3e8 / 2**30 * 0.10, 358 * 24 * 3e8 / 2**30 * 0.023),
        ("container", "24h", 0, 0),
        ("container", "25h", 730 * 0.020, 0),
        ("container", "365d", 730 * 0.020, 358 * 24 * 3e8 / 2**30 * 0.023),
    ],
)
def test_records_older_than_seven_days_have_a_price_of_their_own(
    design: str, retention: str, extended: float, older: float
) -> None:
    plan = planned("--events-per-hour", "1M", "--design", design, "--retention", retention)
    usd = {item["what"]: item["usd"] for item in plan["bill"]["items"]}
    assert usd.get("kept longer than a day", 0) == pytest.approx(extended)
    assert usd.get("kept longer than 7 days", 0) == pytest.approx(older)


def test_point_in_time_recovery_of_claims_is_on_the_bill() -> None:
    plan = planned("--events-per-hour", "1M", "--design", "C")
    usd = {item["what"]: item["usd"] for item in plan["bill"]["items"]}
    held = plan["sizes"]["claims"]["held_bytes"] / 2**30
    assert usd["claims: point-in-time recovery"] == pytest.approx(held * 0.20)


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (("--events-per-hour", "many"), "--events-per-hour"),
        (("--events-per-hour", "1M", "--window", "7"), "--window"),
        (("--events-per-hour", "1M", "--flush", "0s"), "--flush"),
        (("--events-per-hour", "1M", "--types", "x"), "--types"),
        (("--events-per-hour", "1M", "--event-bytes", "0.4"), "--event-bytes"),
        (("--events-per-hour", "1M", "--stream", "on-demand", "--shards", 3), "--stream provisioned"),
        (("--events-per-hour", "1M", "--region", "eu-west-1"), "us-east-1 only"),
        (("--events-per-hour", "1M", "--design", "Z"), "--design"),
        ((), "--events-per-hour"),
    ],
)
def test_wrong_usage_is_one_line(args: tuple[object, ...], word: str) -> None:
    result = run("plan", *args)
    assert result.exit_code == 2
    assert word in result.stderr


def test_a_store_that_is_for_no_stream_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "headgate.toml"
    config.write_text('[dedup]\nstore = "memory:"\n')
    result = run("plan", "--events-per-hour", "1M", "--config", config)
    assert result.exit_code == 2
    assert "memory" in result.stderr
    assert planned("--events-per-hour", "1M", "--config", config, "--claims", "redis")["ask"]["claims"] == "redis"


def test_people_read_the_same_as_machines() -> None:
    result = run("plan", "--events-per-hour", "1B", "--design", "A")
    assert result.exit_code == 1
    plan = planned("--events-per-hour", "1B", "--design", "A", code=1)
    shown = " ".join(result.stdout.split())
    assert f"{plan['bill']['total']:,.2f} USD a month" in shown
    for said in (*plan["refusals"], *plan["instead"]):
        assert " ".join(said["sentence"].split()) in shown
    for item in plan["bill"]["items"]:
        assert item["what"] in result.stdout
        assert f"{item['usd']:,.2f}" in result.stdout
    for name in (*plan["assumed"], *plan["bill"]["not_included"]):
        assert name in result.stdout


def test_every_price_says_its_page_and_whether_it_was_confirmed() -> None:
    prices = price_list()
    for price in prices.prices.values():
        assert price.usd > 0
        assert price.page.startswith("https://aws.amazon.com/")
        assert price.seen
    assert all(node.usd_per_hour > 0 and node.memory_bytes > 0 for node in prices.nodes.values())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('unit = "shard-hour"', 'unit = "shard-day"'),
        ("[prices.kinesis_put]", "[prices.kinesis_putt]"),
        ("usd = 0.014", 'usd = "0.014"'),
        ('confirmed = "price list"\nseen = "infra', 'confirmed = "surely"\nseen = "infra'),
        ('region = "us-east-1"', ""),
        ("[nodes]", "[nodes"),
    ],
)
def test_a_price_list_that_is_not_whole_is_refused(old: str, new: str) -> None:
    text = (Path(__file__).parents[2] / "src/headgate/plan" / NAME).read_text()
    assert old in text
    with pytest.raises(ConfigError, match=NAME):
        parsed(text.replace(old, new, 1))


@pytest.mark.parametrize("changes", [{"events_per_hour": 0}, {"types": 0}, {"shards": 0}, {"window_s": float("inf")}])
def test_a_plan_of_nothing_is_refused(changes: dict[str, Any]) -> None:
    ask = Ask(design="A", events_per_hour=1, claims="redis", format="delta")
    with pytest.raises(ValueError, match="expected"):
        plan_of(ask.changed(**changes), price_list())
