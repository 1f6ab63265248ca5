"""Readiness follows the facts of a consumer, and what it answers over HTTP."""

from __future__ import annotations

import socket
import threading
import urllib.error
import urllib.request

import pytest
from prometheus_client.registry import CollectorRegistry

from headgate.errors import ConfigError
from headgate.records import Counts
from headgate.telemetry.endpoint import endpoint
from headgate.telemetry.facts import (
    BatchCommitted,
    CommitRefused,
    LagMeasured,
    Retried,
    RunStarted,
    StageTimed,
    StoodBy,
)
from headgate.telemetry.health import PATIENCE_SECONDS, STARTING, Health
from headgate.telemetry.metrics import RunMetrics
from headgate.testing.clock import VirtualClock

STARTED = RunStarted(source="s", lake="l", format="delta", claims="", ledger_number=3)
PATIENCE = 30  # seconds of a request; far more than it takes


def retried(stage, attempt=1):
    return Retried(stage=stage, attempt=attempt, wait_seconds=1, error="the bucket does not answer")


class World:
    def __init__(self):
        self.clock, self.is_ending = VirtualClock(), False
        self.health = Health(self.clock.monotonic, lambda: self.is_ending)

    def after(self, *facts):
        for fact in facts:
            self.health.emit(fact)
        return self.health.obstacle()


def test_a_consumer_is_ready_once_its_flow_runs_and_no_more_when_it_drains():
    world = World()
    assert world.after() == STARTING
    assert world.after(STARTED) is None
    world.is_ending = True
    assert "ending" in world.after()


def test_standing_by_is_not_ready_until_the_flow_runs_again():
    world = World()
    assert world.after(STARTED, CommitRefused(error="shard a was moved")) == "starting again: shard a was moved"
    assert world.after(StoodBy(reason="the lake is in use by 42")) == "standing by: the lake is in use by 42"
    assert world.health.is_standing_by
    assert world.after(STARTED) is None
    assert not world.health.is_standing_by


@pytest.mark.parametrize(
    ("stage", "good"),
    [
        ("stage", StageTimed(stage="stage", batch=1, wall_seconds=1, cpu_seconds=1)),
        ("read", LagMeasured(lag={})),
        ("commit", BatchCommitted(number=1, counts=Counts())),
    ],
)
def test_a_stage_that_tries_again_for_long_is_an_obstacle_until_it_succeeds(stage, good):
    world = World()
    assert world.after(STARTED, retried(stage)) is None
    world.clock.sleep(PATIENCE_SECONDS)
    assert f"{stage} has been tried again for 30 s: the bucket" in world.after(retried(stage, 2))
    assert world.after(good) is None


def test_an_attempt_that_is_made_again_is_not_ready():
    world = World()
    assert world.after(STARTED, retried("start")) == "starting again: the bucket does not answer"
    assert world.after(STARTED) is None


@pytest.fixture
def served():
    world = World()
    registry = CollectorRegistry()
    registry.register(RunMetrics(5, health=world.health, now_us=world.clock.now_us, lost=lambda: 0))
    with endpoint(registry, world.health.obstacle, "127.0.0.1", 0) as server:
        yield world, server


def asked(server, path, method="GET", **headers):
    request = urllib.request.Request(f"http://{server.address}{path}", method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def test_the_endpoint_says_whether_the_process_lives_and_works(served):
    world, server = served
    assert asked(server, "/healthz")[0] == 200
    status, kind, text = asked(server, "/readyz")
    assert (status, text) == (503, f"{STARTING}\n")
    assert kind.startswith("text/plain")
    world.after(STARTED)
    assert asked(server, "/readyz")[::2] == (200, "ready\n")
    assert "headgate_ready 1.0" in asked(server, "/metrics")[2]
    world.after(StoodBy(reason="\x1b[31m\nHTTP/1.1 200 OK <script>"))
    assert asked(server, "/readyz")[::2] == (503, "standing by: �[31m�HTTP/1.1 200 OK <script>\n")
    assert "headgate_standby 1.0" in asked(server, "/metrics")[2]


def test_the_endpoint_speaks_the_format_that_is_asked_for(served):
    _, server = served
    assert asked(server, "/metrics")[1].startswith("text/plain; version=0.0.4")
    wanted = "application/openmetrics-text; version=1.0.0"
    status, kind, text = asked(server, "/metrics", Accept=wanted)
    assert (status, kind.split(";")[0], text.splitlines()[-1]) == (200, "application/openmetrics-text", "# EOF")


def test_the_endpoint_answers_questions_and_nothing_else(served):
    _, server = served
    assert asked(server, "/metrics", "POST")[0] == 405
    assert asked(server, "/metrics", "HEAD")[::2] == (200, "")
    assert asked(server, "/../etc/passwd")[0] == 404
    assert "/readyz" in asked(server, "/")[2]


def test_connections_that_say_nothing_do_not_keep_it_from_ending(served):
    _, server = served
    host, port = server.address.rsplit(":", 1)
    silent = [socket.create_connection((host, int(port)), timeout=PATIENCE) for _ in range(3)]
    try:
        assert asked(server, "/healthz")[0] == 200
        server.__exit__(None, None, None)
        assert "metrics" not in {thread.name for thread in threading.enumerate()}
        server.__exit__(None, None, None)  # twice
    finally:
        for one in silent:
            one.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_in_use_is_said_in_one_sentence(host):
    registry = CollectorRegistry()
    said = r"cannot listen on .*Address already in use; name another port"
    with endpoint(registry, lambda: None, host, 0) as server, pytest.raises(ConfigError, match=said):
        endpoint(registry, lambda: None, host, server.port)


def test_a_host_of_another_machine_is_said_in_one_sentence():
    with pytest.raises(ConfigError, match=r"cannot listen on 192\.0\.2\.1:1"):
        endpoint(CollectorRegistry(), lambda: None, "192.0.2.1", 1)
