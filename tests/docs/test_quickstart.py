"""The quickstart is run, block by block, in one folder; lines shown as stable are in the output."""

import os
import subprocess
import sys
from pathlib import Path

from pages import ROOT, SHELL, blocks

BLOCK_SECONDS = 200  # far above what a block takes; a block that hangs fails
SHIM = """#!/bin/sh
exec "{python}" -c 'from headgate.entrypoints.cli import main; main()' "$@"
"""


def test_the_quickstart_does_what_it_shows(tmp_path: Path) -> None:
    environment = environment_with_headgate(tmp_path / "bin")
    work = tmp_path / "work"
    work.mkdir()
    output = ""
    ran = 0
    for block in blocks((ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")):
        kind, _, mark = block.info.partition(" ")
        if kind in SHELL:
            output = run_block(block.body, work, environment)
            ran += 1
        elif mark == "stable":
            for line in block.body.splitlines():
                assert line in output, f"the quickstart shows {line!r}"
                output = output[output.index(line) :]  # lines are shown in their order
    assert ran >= 8


def environment_with_headgate(folder: Path) -> dict[str, str]:
    """An environment whose `headgate` is this one, without settings of the machine's."""
    folder.mkdir()
    (folder / "headgate").write_text(SHIM.format(python=sys.executable))
    (folder / "headgate").chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADGATE")}
    path = os.pathsep.join([str(folder), os.environ["PATH"]])
    return {**kept, "PATH": path, "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "120"}


def run_block(body: str, folder: Path, environment: dict[str, str]) -> str:
    """Standard output of a block that must succeed."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", body],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=BLOCK_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{body}\n{done.stdout}\n{done.stderr}"
    return done.stdout
