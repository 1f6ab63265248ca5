"""The README of each module, made from its files; run it after a change: `python infrastructure/checks/readme.py`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from checks.hcl import Module, folders, own, read  # noqa: E402 - run as a script, it has to find its package


def text(module: Module) -> str:
    """The page of a module."""
    lines = [f"# {module.path.name}", "", _purpose(module.path), ""]
    lines += ["## Inputs", "", "| name | type | default | meaning | must be |", "| --- | --- | --- | --- | --- |"]
    for name, body in module.variables.items():
        rules = " ".join(rule["error_message"] for rule in body.get("validation", []))
        default = _code(json.dumps(body["default"])) if "default" in body else "required"
        cells = [_code(name), _code(_type(body["type"])), default, _cell(body["description"]), _cell(rules)]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "## Outputs", "", "| name | meaning |", "| --- | --- |"]
    for name, body in module.outputs.items():
        secret = " Sensitive." if body.get("sensitive") else ""
        lines.append(f"| {_code(name)} | {_cell(body['description'])}{secret} |")
    lines += ["", "## Resources", "", *sorted({f"- `{kind}`" for kind, _ in module.resources})]
    if module.modules:
        lines += [
            "",
            "## Modules",
            "",
            *sorted(f"- [{Path(body['source']).name}]({own(body)['source']})" for body in module.modules.values()),
        ]
    return "\n".join(lines) + "\n"


def _purpose(folder: Path) -> str:
    """The comment that main.tf begins with."""
    lines = (folder / "main.tf").read_text().splitlines()
    comment = []
    for line in lines:
        if not line.startswith("#"):
            break
        comment.append(line.removeprefix("#").strip())
    return " ".join(comment)


def _type(value: Any) -> str:
    return str(value).removeprefix("${").removesuffix("}") if str(value).startswith("${") else str(value)


def _code(value: str) -> str:
    return f"`{_cell(value)}`"


def _cell(value: str) -> str:
    return value.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    for folder in folders(ROOT):
        if folder.parent.name == "modules":
            (folder / "README.md").write_text(text(read(folder)))
