"""The function that Terraform has deployed, invoked with what its stream holds, as its event source mapping would."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import boto3

from headgate.testing.event_source_mapping import Event, EventSourceMapping, FunctionError
from headgate.testing.lambda_runtime import LambdaFunction
from headgate.testing.stream_world import held

sys.path.insert(0, str(Path(__file__).parents[1] / "image"))
#: Of the emulators: they speak HTTP.
EMULATED = {"HEADGATE__STORAGE__ALLOW_HTTP": "true"}


class Deployed:
    """A stream that is there already; what `held` asks of a stream."""

    def __init__(self, name: str, env: Mapping[str, str]) -> None:
        """Nothing is asked yet."""
        self.name = name
        self.client = boto3.client(
            "kinesis",
            region_name=env["AWS_DEFAULT_REGION"],
            endpoint_url=env["AWS_ENDPOINT_URL"],
            aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        )

    def shards(self) -> list[Mapping[str, Any]]:
        """ListShards."""
        return list(self.client.list_shards(StreamName=self.name)["Shards"])


def invoke(env: Mapping[str, str], type_: Callable[[str], str], folder: Path) -> str:
    """Hand the whole stream to the function; what it answered.

    Handler, settings, time-out and batch size are those that were deployed; the configuration file is the design's.
    Where HEADGATE_IMAGE names an image the function runs in it, as in Lambda, else on this Python; both through AWS's
    runtime client.

    Args:
        env: of the shell, after the apply; STREAM is the stream.
        type_: types a command into it.
        folder: for output.
    """
    deployed = json.loads(
        type_('aws lambda get-function-configuration --function-name "$(terraform output -raw function)"')
    )
    mapped = json.loads(type_('aws lambda get-event-source-mapping --uuid "$(terraform output -raw mapping)"'))
    if deployed["FunctionArn"] != mapped["FunctionArn"] or not mapped["EventSourceArn"].endswith(f"/{env['STREAM']}"):
        sys.exit(f"the mapping leads elsewhere: {mapped}")
    image, config = deployed["ImageConfigResponse"]["ImageConfig"], Path(type_("pwd").strip()) / "headgate.toml"
    settings = {
        **{name: value for name, value in env.items() if name.startswith("AWS_")},
        **deployed["Environment"]["Variables"],
        **EMULATED,
    }
    start = {}
    if name := os.environ.get("HEADGATE_IMAGE"):
        start = {"start": _container(name, image["EntryPoint"], f"{config}:{settings['HEADGATE_CONFIG']}:ro")}
    else:
        settings["HEADGATE_CONFIG"] = str(config)
    mapping = EventSourceMapping(stream=env["STREAM"], batch_size=mapped["BatchSize"], max_attempts=1)
    [handler], seconds = image["Command"], deployed["Timeout"]
    with LambdaFunction(handler, folder / "function", settings, seconds=seconds, **start) as function:

        def told(event: Event) -> Mapping[str, Any]:
            try:
                return function(event)
            except FunctionError as error:
                sys.exit(f"the function failed: {error}\n{function.errors()[-3000:]}")

        driven = mapping.drive(held(Deployed(env["STREAM"], env)), told)  # type: ignore[arg-type]
    return "\n".join(json.dumps(answer) for answer in driven.answers)


def _container(image: str, entry_point: list[str], config: str) -> Callable[..., Any]:
    import podman  # with the image alone

    def start(handler: str, logs: Path, env: Mapping[str, str]) -> podman.Contained:
        flags = ("--entrypoint", json.dumps(entry_point), "--volume", config)
        return podman.Contained(image, [handler], logs, env, flags)

    return start
