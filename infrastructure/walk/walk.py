"""Types the commands of a page against emulators, and compares what they print with what the page shows.

    python infrastructure/walk/walk.py docs/designs/e-walk.md

A block `sh` is typed into one bash; a block `text` behind it is what must appear, where `…` stands for anything, and a
line of its own that is `…` for any lines. `<!-- the function is invoked -->` hands the stream to the function, as its
event source mapping would. The page runs on a copy of `infrastructure/`; environment variables alone make Terraform,
the AWS CLI and the function speak to the emulators.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from function import invoke
from headgate.testing.emulated_aws import emulated_aws
from headgate.testing.server_moto import CREDENTIALS

ROOT = Path(__file__).parents[2]
ACCOUNT, REGION = "123456789012", "eu-west-1"
PLUGINS = Path("/opt/tf-plugins")  # where providers are kept that need no download
PART = re.compile(r"^```(sh|text)\n(.*?)^```$|^<!-- (the function is invoked) -->$", re.MULTILINE | re.DOTALL)
ANYTHING = "…"


class Part(NamedTuple):
    """A block of a page: `sh`, `text` or `function`, and what is in it."""

    kind: str
    body: str


def parts(text: str) -> list[Part]:
    """What a page has a reader do and see, in order."""
    return [Part("function" if found[3] else found[1], found[2] or "") for found in PART.finditer(text)]


def shows(expected: str, seen: str) -> bool:
    """True where an output is what a page shows."""
    pattern = ""
    for line in expected.splitlines():
        words = ".*".join(re.escape(word) for word in line.rstrip().split(ANYTHING))
        pattern += r"(?:.*\n)*" if line.strip() == ANYTHING else words + r"[ ]*\n"
    return re.fullmatch(pattern, seen if seen.endswith("\n") else seen + "\n") is not None


def environment(url: str, folder: Path) -> dict[str, str]:
    """What stands between a reader's account and these emulators, and nothing else."""
    backend = ("use_path_style", "skip_credentials_validation", "skip_requesting_account_id", "skip_metadata_api_check")
    mirror = {"TF_CLI_CONFIG_FILE": str(_mirror(folder))} if PLUGINS.exists() else {}
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_", "HEADGATE"))},
        **CREDENTIALS,
        **mirror,
        "PATH": _path(),
        "AWS_ENDPOINT_URL": url,
        "AWS_PAGER": "",
        "TF_VAR_endpoint": url,
        "TF_CLI_ARGS_init": " ".join(f"-backend-config={name}=true" for name in backend),
        "TF_CLI_ARGS_apply": "-auto-approve",
        "TF_CLI_ARGS_destroy": "-auto-approve",
        "TF_CLI_ARGS": "-no-color",
        "CHECKPOINT_DISABLE": "1",
    }


def _path() -> str:
    """Where commands are looked for: what `make` installed for this comes first."""
    return os.pathsep.join([str(ROOT / ".venv-deploy" / "bin"), os.environ["PATH"]])


def _mirror(folder: Path) -> Path:
    file = folder / "terraform.rc"
    file.write_text(f'provider_installation {{\n  filesystem_mirror {{ path = "{PLUGINS}" }}\n}}\n')
    return file


class Shell:
    """One bash, as far as a reader can tell: folder and exported variables last from block to block."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        """Nothing is typed yet; it begins in a folder."""
        self._state, self._folder, self.env = folder / ".state", folder, dict(env)

    def type(self, text: str) -> str:
        """Run a block, and show what it prints as it comes; gives what it printed, without its errors.

        Raises:
            SystemExit: a command failed.
        """
        script = f"set -euo pipefail\n{text}\n{{ pwd; export -p; }} >{self._state}\n"
        words, seen = ["bash", "-c", script], ""
        with subprocess.Popen(words, cwd=self._folder, env=self.env, stdout=subprocess.PIPE, text=True) as typed:
            for line in typed.stdout or ():
                print(line, end="", flush=True)
                seen += line
        if typed.returncode:
            sys.exit(f"ended with {typed.returncode}:\n{text}")
        self._keep()
        return seen

    def _keep(self) -> None:
        folder, _, exports = self._state.read_text().partition("\n")
        self._folder = Path(folder)
        words = ["bash", "-c", f"{exports}\nenv -0"]
        env = subprocess.run(words, env={}, capture_output=True, text=True, check=True).stdout
        self.env = dict(pair.split("=", 1) for pair in env.split("\0") if pair)


def walk(page: Path, folder: Path) -> None:
    """Do what a page says.

    Raises:
        SystemExit: a command failed, or the page shows something else than what was seen.
    """
    shutil.copytree(ROOT / "infrastructure", folder / "infrastructure", ignore=shutil.ignore_patterns(".terraform*"))
    os.environ.update(AWS_ACCOUNT_ID=ACCOUNT)  # of the streams that kinesis-local makes
    with emulated_aws(ROOT / "tests" / "node", folder / "logs") as url:
        shell, seen = Shell(folder, environment(url, folder)), ""
        for part in parts(page.read_text()):
            began = time.monotonic()
            if part.kind == "sh":
                print("".join(f"$ {line}\n" for line in part.body.splitlines()), flush=True)
                seen = shell.type(part.body)
                print(f"  [{time.monotonic() - began:.0f} s]\n")
            elif part.kind == "function":
                print(f"{invoke(shell.env, shell.type, folder)}\n  [{time.monotonic() - began:.0f} s]\n")
            elif not shows(part.body, seen):
                sys.exit(f"{page} shows something else:\n{part.body}")


def main() -> None:
    """See the module."""
    began = time.monotonic()
    path = _path()
    if missing := [name for name in ("terraform", "aws", "bash") if shutil.which(name, path=path) is None]:
        sys.exit(f"the walk types what is not here: install {' and '.join(missing)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the emulators are ended
    with tempfile.TemporaryDirectory(prefix="headgate-walk-") as folder:
        walk(Path(sys.argv[1]), Path(folder))
    print(f"{sys.argv[1]}: what it shows was seen, in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
