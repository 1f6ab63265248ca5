"""Terraform as a program: where it and its provider are, and one call of it in a copy of the files."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PROVIDER = "registry.terraform.io/hashicorp/aws"
#: Where a mirror may lie, after TF_PLUGIN_MIRROR; Terraform itself looks into the last three.
USUAL = (
    "/opt/tf-plugins",
    "/opt/terraform/plugins",
    "~/.terraform.d/plugins",
    "~/.local/share/terraform/plugins",
    "/usr/local/share/terraform/plugins",
)
TIMEOUT_SECONDS = 1200  # of one call, on a slow machine


class Failed(Exception):
    """A call of Terraform that did not end as it should; the message holds the end of its output."""


@dataclass(frozen=True)
class Terraform:
    """Terraform with a provider that needs no download.

    Attributes:
        program: its path.
        environment: of every call.
    """

    program: str
    environment: Mapping[str, str]

    def __call__(
        self, folder: Path, *args: str, env: Mapping[str, str] | None = None, expected: Sequence[int] = (0,)
    ) -> str:
        """Run it in a folder and give back what it printed.

        Raises:
            Failed: it ended with another code than expected.
        """
        process = subprocess.Popen(
            [self.program, *args],
            cwd=folder,
            env={**self.environment, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            told, _ = process.communicate(timeout=TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with the provider, which it started
            told, _ = process.communicate()
            raise Failed(f"terraform {args[0]} in {folder.name} took too long:\n{told[-4000:]}") from None
        if process.returncode not in expected:
            raise Failed(f"terraform {args[0]} in {folder.name} ended with {process.returncode}:\n{told[-4000:]}")
        return told


def find(config: Path) -> Terraform | None:
    """Terraform, where it and a mirror of the provider are on this machine.

    Args:
        config: where to write its CLI configuration.
    """
    program, mirror = shutil.which("terraform"), mirror_of(os.environ)
    if program is None or mirror is None:
        return None
    installation = f'provider_installation {{\n  filesystem_mirror {{\n    path = "{mirror}"\n  }}\n}}\n'
    config.write_text(f"disable_checkpoint = true\n{installation}")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "AWS_"))}
    return Terraform(
        program=program,
        environment={
            **kept,
            "TF_CLI_CONFIG_FILE": str(config),
            "TF_IN_AUTOMATION": "1",
            "TF_INPUT": "0",
            "TF_CLI_ARGS": "-no-color",
            "CHECKPOINT_DISABLE": "1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        },
    )


def mirror_of(environment: Mapping[str, str]) -> Path | None:
    """The folder of a mirror that holds the provider, unpacked or as an archive."""
    named = environment.get("TF_PLUGIN_MIRROR")
    for place in (named,) if named else USUAL:
        folder = Path(place).expanduser()
        if any((folder / PROVIDER).glob("*")):
            return folder.resolve()
    return None
