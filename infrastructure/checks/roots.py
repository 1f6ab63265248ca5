"""A design as it would be deployed, against an emulator: init, plan, apply, a second plan, destroy."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from checks.policies import applied, resources_of
from checks.terraform import Failed, Terraform
from headgate.testing.server_moto import CREDENTIALS, moto_serving

STATES = "terraform-states"
#: What the emulator does not know, by the word in `switched_off` of a design. `terraform test` covers it with a mocked
#: provider.
SWITCHED_OFF = {"redis": "the emulator cannot read a server of ElastiCache back, nor delete its subnet group"}
SECRETS = {"TF_VAR_redis_auth_token": "only-for-the-emulator"}


@dataclass
class Applied:
    """What happened.

    Attributes:
        name: of the design.
        types: types of resources that were applied.
        resources: how many were applied.
        planned: resources of the plan with prod.tfvars.
        seconds: by step.
        switched_off: parts that the emulator does not know.
    """

    name: str
    types: set[str] = field(default_factory=set)
    resources: int = 0
    planned: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    switched_off: tuple[str, ...] = ()


def apply_and_destroy(terraform: Terraform, folder: Path, logs: Path) -> Applied:
    """Deploy a design to an emulator of its own, and take it away again.

    Args:
        terraform: to run.
        folder: of the design, in a copy of the files.
        logs: for the emulator's output.

    Raises:
        Failed: a step failed, the second plan had changes, a policy was wide open, or something was left.
    """
    done = Applied(name=folder.name, switched_off=_unknown_to_the_emulator(folder))
    with moto_serving(logs) as moto:
        moto.make_bucket(STATES)
        env = {**CREDENTIALS, **SECRETS}
        emulated = ["-var", f"endpoint={moto.endpoint_url}"]
        if done.switched_off:
            emulated += ["-var", f"switched_off={json.dumps(done.switched_off)}"]

        def step(name: str, *args: str) -> str:
            started = time.monotonic()
            try:
                return terraform(folder, *args, env=env)
            finally:
                done.seconds[name] = time.monotonic() - started

        step("init", "init", *_backend(moto.endpoint_url, folder.name))
        step("validate", "validate")
        step("prod", "plan", "-var-file=prod.tfvars", *emulated, "-out=prod.plan")
        done.planned = len(_changes(terraform, folder, env))
        dev = ["-var-file=dev.tfvars", *emulated]
        step("apply", "apply", "-auto-approve", *dev)
        state = json.loads(step("show", "show", "-json"))
        managed = [one for one in resources_of(state["values"]["root_module"]) if one["mode"] == "managed"]
        done.resources, done.types = len(managed), {one["type"] for one in managed}
        if wild := [one for one in applied(state) if one.is_wild]:
            raise Failed(f"{folder.name}: a wildcard action on a wildcard resource: {wild[0]}")
        step("plan", "plan", "-detailed-exitcode", *dev)  # ends with 2 where it would change anything
        step("destroy", "destroy", "-auto-approve", *dev)
        if left := step("list", "state", "list").strip():
            raise Failed(f"{folder.name}: destroy left {left}")
    return done


def _backend(endpoint: str, name: str) -> list[str]:
    """The state lies where `-backend-config` says: here on the emulator's S3."""
    settings = {
        "bucket": STATES,
        "key": f"{name}.tfstate",
        "region": CREDENTIALS["AWS_DEFAULT_REGION"],
        "use_path_style": "true",
        "skip_credentials_validation": "true",
        "skip_metadata_api_check": "true",
        "skip_requesting_account_id": "true",
        "endpoints": f'{{s3="{endpoint}"}}',
    }
    return [f"-backend-config={key}={value}" for key, value in settings.items()]


def _unknown_to_the_emulator(folder: Path) -> tuple[str, ...]:
    text = (folder / "variables.tf").read_text()
    return tuple(SWITCHED_OFF) if 'variable "switched_off"' in text else ()


def _changes(terraform: Terraform, folder: Path, env: Mapping[str, str]) -> list[object]:
    plan = json.loads(terraform(folder, "show", "-json", "prod.plan", env=env))
    return [one for one in plan["resource_changes"] if one["change"]["actions"] == ["create"]]
