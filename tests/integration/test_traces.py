"""Traces of batches, received by a real HTTP server that decodes the protobuf; and collectors that are away."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from headgate.testing.processes import run
from headgate.testing.servers import HOST

STAGES = ["decode", "dedup", "stage", "commit", "publish", "ack"]
EVENT = '{"event_uuid": "%d", "event_name": "a:b", "created_at": 1790000000}\n'


class Collector(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, ExportTraceServiceRequest.FromString(body)))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@contextmanager
def collector():
    with ThreadingHTTPServer((HOST, 0), Collector) as server:
        server.requests = []
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text("".join(EVENT % (n % 90) for n in range(100)) + "no json\n")
    return path


def ran(tmp_path, source, **env):
    args = ["run", source, tmp_path / "lake", "--json", "--batch-events", "60"]
    code, child = run(args, tmp_path / "logs", env={"OTEL_BSP_SCHEDULE_DELAY": "50", **env})
    return code, child, [json.loads(line) for line in child.errors().splitlines() if line.startswith("{")]


def value(attribute):
    kind = attribute.value.WhichOneof("value")
    return getattr(attribute.value, kind)


def test_each_batch_is_a_span_with_its_stages_and_counts(tmp_path, source):
    with collector() as server:
        endpoint = f"http://{HOST}:{server.server_port}"
        code, child, _ = ran(tmp_path, source, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
        assert code == 0, child.errors()
        requests = list(server.requests)
    assert {path for path, _ in requests} == {"/v1/traces"}
    resources = [one for _, request in requests for one in request.resource_spans]
    assert {value(a) for r in resources for a in r.resource.attributes if a.key == "service.name"} == {"headgate"}
    spans = [span for one in resources for scope in one.scope_spans for span in scope.spans]
    batches = [span for span in spans if span.name == "batch"]
    assert len(batches) == 2
    counts = {"received": 0, "accepted": 0, "duplicates": 0, "rejected": 0}
    for batch in batches:
        children = sorted((s for s in spans if s.parent_span_id == batch.span_id), key=lambda s: s.end_time_unix_nano)
        assert [child.name for child in children] == STAGES
        assert {child.trace_id for child in children} == {batch.trace_id}
        assert all(batch.start_time_unix_nano <= c.start_time_unix_nano <= c.end_time_unix_nano for c in children)
        assert batch.end_time_unix_nano == children[-1].end_time_unix_nano
        attributes = {a.key: value(a) for a in batch.attributes}
        for name in counts:
            counts[name] += attributes[f"headgate.{name}"]
    assert counts == {"received": 101, "accepted": 90, "duplicates": 10, "rejected": 1}


@pytest.fixture
def silent():
    """A collector that takes connections and never answers."""
    with socket.socket() as listening:
        listening.bind((HOST, 0))
        listening.listen()
        yield listening.getsockname()[1]


@pytest.mark.parametrize("kind", ["refuses", "silent"])
def test_a_collector_that_is_away_stops_nothing(tmp_path, source, silent, kind):
    port = silent if kind == "silent" else 9  # nobody listens on the port of `discard`
    env = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://{HOST}:{port}/v1/traces", "OTEL_BSP_MAX_QUEUE_SIZE": "4",
           "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "4"}  # fmt: skip
    code, child, lines = ran(tmp_path, source, **env)
    assert code == 0, child.errors()
    assert json.loads(child.out.read_text())["accepted"] == 90
    said = [line["what"] for line in lines if line["event"] == "noticed"]
    assert len(said) == 1
    assert said[0].startswith("traces are not sent, spans are dropped: ")
    assert "Traceback" not in child.errors()


def test_another_protocol_is_wrong_configuration(tmp_path, source):
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    code, child, _ = ran(tmp_path, source, **env)
    assert code == 2
    assert "http/protobuf only" in child.errors()


@pytest.mark.parametrize("off", [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}])
def test_traces_can_be_switched_off(tmp_path, source, off):
    code, child, lines = ran(tmp_path, source, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", **off)
    assert code == 0, child.errors()
    assert not [line for line in lines if line["event"] == "noticed"]


def test_a_package_that_is_missing_is_said_with_what_installs_it(tmp_path, source):
    program = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from headgate.entrypoints.cli import main\n"
        f"sys.argv = ['headgate', 'run', {str(source)!r}, {str(tmp_path / 'lake')!r}]\n"
        "main()"
    )
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    code, child = run(["-c", program], tmp_path / "logs", env=env, is_cold=True)
    assert code == 2
    assert "pip install 'headgate[otel]'" in child.errors()
    assert len(child.errors().splitlines()) == 1
