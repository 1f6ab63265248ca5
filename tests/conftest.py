"""Hostile defaults for all tests, and the servers that they run against."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from headgate.testing.fan_out_server import FanOutServer, fan_out_server
from headgate.testing.server_kinesis import has_node, kinesalite, kinesis_local
from headgate.testing.server_moto import CREDENTIALS, Moto, moto_serving
from headgate.testing.warm_starts import warm_starts

NODE = Path(__file__).parent / "node"  # the npm packages that tests run

# Time is never an assertion: a slow machine is no failure.
settings.register_profile("headgate", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("headgate")
warm_starts()


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    """S3 and DynamoDB; every test makes a bucket or table of its own."""
    with moto_serving(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture
def aws_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the SDK's chain finds, and nothing of the machine that the test runs on."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


def _needs_node() -> None:
    if not has_node():
        said = "node and npm are not on this machine: the suites against Kinesis servers could not run"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(said)


@pytest.fixture(scope="session")
def kinesis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of a kinesis-local; every test has streams of its own on it."""
    _needs_node()
    with kinesis_local(NODE, tmp_path_factory.mktemp("kinesis-local")) as url:
        yield url


@pytest.fixture
def fan_out(kinesis_url: str) -> Iterator[FanOutServer]:
    """A server of enhanced fan-out before that kinesis-local, with a script of its own."""
    with fan_out_server(kinesis_url) as server:
        yield server


@pytest.fixture(scope="session")
def kinesalite_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of a kinesalite; every test has streams of its own on it."""
    _needs_node()
    with kinesalite(NODE, tmp_path_factory.mktemp("kinesalite")) as url:
        yield url
