"""The image as it is run: the consumer, a function and the jobs, without rights, on a file system that is read-only.

`make image` builds it and calls this; HEADGATE_IMAGE names it.
"""

import json
import os
from pathlib import Path

import pytest

import build
import podman
from headgate.testing.event_source_mapping import EventSourceMapping
from headgate.testing.independent import breaches, ids, ledger
from headgate.testing.kills import Progress
from headgate.testing.kinesis_driver import StreamDriver
from headgate.testing.lambda_runtime import LambdaFunction
from headgate.testing.processes import wait_until
from headgate.testing.remote_lake import RemoteLake
from headgate.testing.server_kinesis import REGION, kinesis_local
from headgate.testing.server_moto import CREDENTIALS, moto_serving
from headgate.testing.stream_world import held

IMAGE = os.environ.get("HEADGATE_IMAGE", "localhost/headgate")
NODE = Path(__file__).parents[2] / "tests" / "node"
EVENTS = 120  # each is a request to the claims on S3
#: Loads every module of Headgate and says what could not be: the image must lack nothing of what it needs.
LOAD_ALL = """
import importlib, pkgutil, sys, headgate
needs_tests = ("headgate.testing",)
for one in pkgutil.walk_packages(headgate.__path__, "headgate."):
    if not one.name.startswith(needs_tests):
        importlib.import_module(one.name)
print(len([name for name in sys.modules if name.startswith("headgate.")]))
"""
RUNTIME = ("--entrypoint", '["python", "-m", "awslambdaric"]')  # as `image_config` says it to Lambda


@pytest.fixture(scope="module")
def moto(tmp_path_factory):
    with moto_serving(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="module")
def kinesis_url(tmp_path_factory):
    with kinesis_local(NODE, tmp_path_factory.mktemp("kinesis-local")) as url:
        yield url


@pytest.fixture
def env(moto, kinesis_url):
    """What a platform gives, and where the emulators are."""
    return {
        **CREDENTIALS,
        "AWS_ENDPOINT_URL_S3": moto.endpoint_url,
        "AWS_ENDPOINT_URL_KINESIS": kinesis_url,
        "AWS_DEFAULT_REGION": REGION,
        "HEADGATE__STORAGE__ALLOW_HTTP": "true",
        "HEADGATE__STORAGE__REGION": CREDENTIALS["AWS_DEFAULT_REGION"],
    }


@pytest.fixture
def bucket(moto, request):
    return moto.make_bucket(f"b-{abs(hash(request.node.name)):x}")


def event(n):
    return json.dumps({"event_uuid": f"id-{n}", "event_name": "a:b", "created_at": 1_790_000_000 + n}).encode()


def ran(arguments, logs, env, *flags):
    """The standard output of a container that has to end well."""
    with podman.Contained(IMAGE, arguments, logs, env, flags) as container:
        code = container.wait()
    assert code == 0, container.errors()
    return container.out.read_text()


def test_a_consumer_that_is_stopped_commits_all_that_it_has_read(env, moto, kinesis_url, bucket, tmp_path):
    """Three quarters fill a batch; the rest, in its hands, would wait for an hour."""
    stream, uri = StreamDriver(kinesis_url, shards=1), f"s3://{bucket}/lake"
    last = stream.put([event(n) for n in range(EVENTS)])[-1].sequence
    remote = RemoteLake(moto, uri)
    progress = Progress(remote.read)
    command = ["run", f"kinesis://{stream.name}", uri, "--dedup", f"s3://{bucket}/claims"]
    full = ["--flush-seconds", "3600", "--batch-events", str(EVENTS * 3 // 4)]
    with podman.Contained(IMAGE, [*command, *full], tmp_path / "logs", env) as consumer:
        wait_until(lambda: progress.received() or not consumer.is_running, "the full batch")
        consumer.stop()
        assert consumer.wait() == 0, consumer.errors()
    batches = [entry for entry in ledger(remote.copy(tmp_path / "after")) if "counts" in entry]
    assert sum(entry["counts"][0] for entry in batches) == EVENTS
    assert int(batches[-1]["ranges"][-1]["end"]) > last
    ran([*command, "--once"], tmp_path / "logs", env)
    lake = remote.copy(tmp_path / "lake")
    assert breaches(lake) == []
    assert sorted(ids(lake)) == sorted(f"id-{n}" for n in range(EVENTS))


def test_the_embedded_claims_have_their_place_in_tmp(env, kinesis_url, bucket, tmp_path):
    stream = StreamDriver(kinesis_url, shards=1)
    stream.put([event(n) for n in range(3)] * 2)
    command = ["run", f"kinesis://{stream.name}", f"s3://{bucket}/lake", "--once", "--json"]
    said = json.loads(ran(command, tmp_path / "logs", env))
    assert (said["accepted"], said["duplicates"]) == (3, 3)


def test_lambda_starts_both_handlers_and_jobs_follow(env, moto, kinesis_url, bucket, tmp_path):
    stream, uri = StreamDriver(kinesis_url, shards=1), f"s3://{bucket}/lake"
    stream.put([*[event(n) for n in range(EVENTS)], event(0), b"rubbish"])
    settings = {
        **env,
        "HEADGATE__LAKE__URI": uri,
        "HEADGATE__DEDUP__STORE": f"s3://{bucket}/claims",
        "HEADGATE__FUNCTION__PUBLISH_SECONDS": "0",
    }

    def start(handler, logs, runtime_env):
        return podman.Contained(IMAGE, [handler], logs, runtime_env, RUNTIME)

    handler, mapping = "headgate.entrypoints.aws_lambda.handler", EventSourceMapping(stream=stream.name, max_attempts=1)
    with LambdaFunction(handler, tmp_path / "function", settings, start=start) as function:
        answers = mapping.drive(held(stream), function).answers
        assert function.starts == 1
    counted = [sum(answer[name] for answer in answers) for name in ("received", "accepted", "duplicates", "rejected")]
    assert counted == [EVENTS + 2, EVENTS, 1, 1]

    data = "eyJldmVudF91dWlkIjoiaWQtMCIsImV2ZW50X25hbWUiOiJhOmIiLCJjcmVhdGVkX2F0IjoxNzkwMDAwMDAwfQ=="  # id-0 again
    record = {"recordId": "r0", "data": data, "approximateArrivalTimestamp": 1_790_000_000_000}
    request = {"deliveryStreamArn": "arn:aws:firehose:eu-central-1:1:deliverystream/d", "records": [record]}
    handler = "headgate.entrypoints.firehose.handler"
    with LambdaFunction(handler, tmp_path / "transformation", settings, start=start) as function:
        assert [one["result"] for one in function(request)["records"]] == ["Dropped"]

    for job in (["build", uri], ["compact", uri], ["check", uri], ["verify", f"kinesis://{stream.name}", uri]):
        ran(job, tmp_path / "jobs", settings)
    said = ran(["query", uri, "SELECT count(*) AS n FROM analytics.a_b", "--json"], tmp_path / "jobs", settings)
    assert f'"n": {EVENTS}' in said or f'"n":{EVENTS}' in said


def test_nothing_that_a_module_loads_was_taken_out(tmp_path):
    assert int(ran(["-c", LOAD_ALL], tmp_path / "logs", {}, "--entrypoint", "python")) > 150


def test_it_runs_as_a_user_without_rights_and_writes_nowhere_but_in_tmp(tmp_path):
    look = 'id -u; id -g; find / -xdev -writable -not -path "/proc/*" -type f; command -v pip gcc; touch /opt/x'
    with podman.Contained(IMAGE, ["-c", look], tmp_path / "logs", {}, ("--entrypoint", "sh")) as container:
        assert container.wait() == 1
    assert container.out.read_text().split() == ["10001", "10001"]
    assert "Read-only file system" in container.errors()


def test_the_image_says_how_it_is_started_and_stopped():
    config = json.loads(podman.call("image", "inspect", IMAGE))[0]["Config"]
    assert (config["User"], config["Entrypoint"], config["Cmd"]) == ("10001:10001", ["headgate"], ["--help"])
    assert config["StopSignal"] in ("SIGTERM", "15")
    assert config["Labels"]["org.opencontainers.image.title"] == "headgate"


@pytest.mark.timeout(1800)  # it loads all packages anew
def test_a_second_build_gives_the_same_layers():
    """Byte for byte: files, times, owners, order."""
    again = f"{IMAGE}-again"
    build.build(again, os.environ.get("BASE") or build.base(), is_cached=False)
    layers = [json.loads(podman.call("image", "inspect", one))[0]["RootFS"]["Layers"] for one in (IMAGE, again)]
    podman.call("rmi", again)
    assert layers[0] == layers[1]
