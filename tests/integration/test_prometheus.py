"""A real Prometheus over a running consumer: the totals are those of `quality`, every rule and panel can be asked."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from headgate.core.schema import QUALITY
from headgate.telemetry.catalogue import QUALITY_METRICS, RUN_METRICS
from headgate.telemetry.families import quality_families
from headgate.telemetry.sums import COLUMNS, QualitySums
from headgate.testing.processes import Child, run, wait_until
from headgate.testing.servers import HOST, free_port, serving

MONITORING = Path(__file__).parents[2] / "monitoring"
RULES = MONITORING / "prometheus" / "alerts.yml"
DASHBOARD = json.loads((MONITORING / "grafana" / "headgate.json").read_text())
OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
KNOWN = {name for metric in (*QUALITY_METRICS, *RUN_METRICS) for name in metric.series}
PATIENCE = 30  # seconds of a request; far more than it takes
EVENTS = 3_000
GRAFANA = {"$__rate_interval": "1m", "$job": ".*", "$instance": ".*", "$event_type": ".*"}


def fetched(url):
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def received(address):
    """What the endpoint says that was received, of all types."""
    text = fetched(f"http://{address}/metrics")[1]
    return sum(map(float, re.findall(r"^headgate_received_events_total\{.*\} (\S+)$", text, re.MULTILINE)))


class Prometheus:
    def __init__(self, port):
        self.url = f"http://{HOST}:{port}/api/v1"

    def ask(self, expression):
        status, text = fetched(f"{self.url}/query?{urllib.parse.urlencode({'query': expression})}")
        answer = json.loads(text)
        assert (status, answer["status"]) == (200, "success"), (expression, text)
        return answer["data"]["result"]

    def value(self, expression):
        found = self.ask(expression)
        return float(found[0]["value"][1]) if found else None


@pytest.fixture(scope="module")
def consumer(tmp_path_factory):
    """A consumer that follows a folder of faulty events; the lake, and where it serves."""
    folder = tmp_path_factory.mktemp("consumer")
    (folder / "in").mkdir()
    code, child = run(["generate", "--events", EVENTS, "--out", folder / "in" / "a.jsonl", "--types", 30], folder / "l")
    assert code == 0, child.errors()
    hostile = {"event_uuid": "h", "event_name": 'x"}\\n\x1b[31m<b>:y', "created_at": 1_790_000_000}
    (folder / "in" / "b.jsonl").write_text(json.dumps(hostile) + "\n")
    args = ["run", folder / "in", folder / "lake", "--follow", "--metrics", "0", "--flush-seconds", "1"]
    with Child(args, folder / "l") as child:
        address = json.loads(child.wait_for_line("metrics_served"))["address"]
        wait_until(lambda: received(address) == EVENTS + 1, "all events are committed")
        wait_until(lambda: "\nheadgate_source_lag_bytes 0.0\n" in fetched(f"http://{address}/metrics")[1], "no lag")
        wait_until(lambda: is_shown(address), "all is published")
        yield folder / "lake", address, child
        child.signal(signal.SIGTERM)
        assert child.wait() == 0


def is_shown(address):
    text = fetched(f"http://{address}/metrics")[1]
    found = [re.search(rf"^headgate_{name}_number (\S+)$", text, re.MULTILINE) for name in ("ledger", "published")]
    return None not in found and found[0][1] == found[1][1]


@pytest.fixture(scope="module")
def prometheus(consumer, tmp_path_factory):
    _, address, _ = consumer
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port()
    config = folder / "prometheus.yml"
    config.write_text(
        (MONITORING / "prometheus" / "prometheus.yml").read_text()
        .replace("host.docker.internal:9464", address).replace("15s", "1s").replace("alerts.yml", str(RULES))
    )  # fmt: skip
    command = [
        "prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={HOST}:{port}",
    ]  # fmt: skip
    with serving(command, port, folder / "logs"):
        asked = Prometheus(port)
        wait_until(lambda: "ready" in fetched(f"http://{HOST}:{port}/-/ready")[1].lower(), "Prometheus is ready")
        wait_until(lambda: asked.value('up{job="headgate"}') == 1.0, "a scrape")
        yield asked


def table_sums(lake):
    sums = QualitySums(20)
    table = DeltaTable(str(lake / "quality")).to_pyarrow_table(columns=list(COLUMNS))
    sums.add(pa.table({f: table[f].cast(QUALITY.field(f).type) for f in COLUMNS}))
    return sums


def expressions(dashboard):
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]


def names_in(text):
    return set(re.findall(r"\bheadgate_[a-z_]+\b", text))


def test_what_prometheus_has_is_exactly_the_table(consumer, prometheus):
    lake, _, _ = consumer
    sums = table_sums(lake)
    wait_until(
        lambda: prometheus.value("sum(headgate_received_events_total)") == EVENTS + 1, "a scrape of the last commit"
    )
    assert sum(one.received for one in sums.by_label.values()) == EVENTS + 1
    told = [s for family in quality_families(sums) if family.type != "gauge" for s in family.samples]
    have = [
        (one["metric"].pop("__name__"), one["metric"], float(one["value"][1]))
        for one in prometheus.ask('{__name__=~"headgate_.+"}')
    ]
    expected = summed((sample.name, sample.labels, sample.value) for sample in told)
    found = summed(have)
    assert {key: found.get(key, 0.0) for key in expected} == pytest.approx(expected, rel=1e-12)


def summed(samples):
    """Sums over event types: beyond the bound the order of batches decides which of them have a label."""
    sums = {}
    for name, labels, value in samples:
        labels = {
            k: float(v) if k == "le" else v for k, v in labels.items() if k not in ("event_type", "job", "instance")
        }
        key = name, *sorted(labels.items())
        sums[key] = sums.get(key, 0.0) + value
    return sums


def test_the_scrape_is_what_promtool_takes_for_good(consumer):
    _, address, _ = consumer
    _, text = fetched(f"http://{address}/metrics")
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    scraped = set(re.findall(r"^(headgate_[a-z_]+)", text, re.MULTILINE))
    assert scraped <= KNOWN
    assert KNOWN - scraped <= {
        "headgate_rule_checks_total", "headgate_source_lag_records", "headgate_source_lag_seconds",
    }  # fmt: skip


def test_the_rules_are_good_and_do_what_they_say():
    for command in (["check", "rules", RULES], ["test", "rules", RULES.with_name("alerts.test.yml")]):
        done = subprocess.run(["promtool", *map(str, command)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_evaluates_every_rule(prometheus):
    def rules():
        groups = json.loads(fetched(f"{prometheus.url}/rules")[1])["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    wait_until(lambda: rules() and all(rule["health"] != "unknown" for rule in rules()), "an evaluation")
    assert {(rule["name"], rule.get("lastError", "")) for rule in rules()} == {(r["name"], "") for r in rules()}
    assert len(rules()) == RULES.read_text().count("- alert:")


def test_every_panel_can_be_asked(prometheus):
    for expression in expressions(DASHBOARD):
        for name, value in GRAFANA.items():
            expression = expression.replace(name, value)
        assert "$" not in expression
        prometheus.ask(expression)


def test_every_metric_that_is_named_is_made():
    named = names_in(RULES.read_text()) | {n for e in expressions(DASHBOARD) for n in names_in(e)}
    named |= names_in(json.dumps(DASHBOARD["templating"])) | names_in(RULES.with_name("alerts.test.yml").read_text())
    assert named
    assert named <= KNOWN


def test_every_alert_has_a_section_to_read():
    text = RULES.read_text()
    alerts = re.findall(r"- alert: (\w+)", text)
    assert re.findall(r"runbook: (.+)", text) == [f"docs/operations.md#{name.lower()}" for name in alerts]
    headings = re.findall(r"^#+ (\w+)$", OPERATIONS.read_text(), re.MULTILINE)
    assert [name for name in headings if name in alerts] == alerts


def test_a_second_consumer_is_alive_but_not_ready(consumer, tmp_path):
    lake, address, _ = consumer
    args = ["run", lake.parent / "in", lake, "--follow", "--metrics", "0"]
    with Child(args, tmp_path) as second:
        own = json.loads(second.wait_for_line("metrics_served"))["address"]
        second.wait_for_line("stood_by")
        status, why = fetched(f"http://{own}/readyz")
        assert (status, why[:14]) == (503, "standing by: t")
        assert fetched(f"http://{own}/healthz")[0] == 200
        assert "\nheadgate_standby 1.0\n" in fetched(f"http://{own}/metrics")[1]
        assert fetched(f"http://{address}/readyz") == (200, "ready\n")
        second.signal(signal.SIGTERM)
        assert second.wait() == 0


def test_a_port_in_use_ends_the_command_before_it_touches_anything(consumer, tmp_path):
    lake, address, _ = consumer
    code, child = run(["run", lake.parent / "in", tmp_path / "lake", "--metrics", address], tmp_path / "logs")
    assert code == 2
    assert len(child.errors().splitlines()) == 1
    assert "cannot listen on" in child.errors()
    assert not (tmp_path / "lake").exists()


def test_a_consumer_that_is_killed_while_it_is_scraped_loses_nothing(consumer, tmp_path):
    lake = tmp_path / "lake"
    args = ["run", consumer[0].parent / "in", lake, "--metrics", "0", "--batch-events", "300"]
    with Child(args, tmp_path / "logs") as first:
        address = json.loads(first.wait_for_line("metrics_served"))["address"]
        first.wait_for_line("batch_committed")
        fetched(f"http://{address}/metrics")
        first.kill()
    code, child = run([*args, "--json"], tmp_path / "logs")
    assert code == 0, child.errors()
    assert sum(one.received for one in table_sums(lake).by_label.values()) == sum(
        one.received for one in table_sums(consumer[0]).by_label.values()
    )
