"""Policies: what they allow, read from the files and from an applied state."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from checks.hcl import expression

_ALLOW = re.compile(r'Effect\s*=\s*"Allow"')
#: `*`, or an ARN in which nothing is named.
_EVERYTHING = re.compile(r"\*|arn:[^:]*:[^:]*:[^:]*:[^:]*:\*")


@dataclass(frozen=True)
class Statement:
    """One thing that a policy allows, and where it stands."""

    where: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]

    @property
    def is_wild(self) -> bool:
        """True where an action with a wildcard is allowed on everything."""
        return any("*" in action for action in self.actions) and any(
            _EVERYTHING.fullmatch(resource) for resource in self.resources
        )


def written(file: Path) -> list[Statement]:
    """The statements that allow something in a Terraform file.

    Raises:
        ValueError: a statement cannot be read; it must be an object with plain actions.
    """
    text = file.read_text()
    return [_read(file, text, found.start()) for found in _ALLOW.finditer(text)]


def applied(state: dict[str, Any]) -> list[Statement]:
    """The statements of every policy in what `terraform show -json` prints."""
    return [
        Statement(resource["address"], _texts(one.get("Action", "*")), _texts(one.get("Resource", "")))
        for resource in resources_of(state["values"]["root_module"])
        for policy in (resource["values"].get("policy"), resource["values"].get("assume_role_policy"))
        if policy
        for one in json.loads(policy)["Statement"]
        if one["Effect"] == "Allow"
    ]


def resources_of(module: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every resource of a module of a state, and of the modules that it calls."""
    yield from module.get("resources", [])
    for child in module.get("child_modules", []):
        yield from resources_of(child)


def _read(file: Path, text: str, at: int) -> Statement:
    where = f"{file.parent.name}/{file.name}:{text.count(chr(10), 0, at) + 1}"
    statement = expression(_enclosing(text, at))
    if not isinstance(statement, dict) or "Action" not in statement:
        raise ValueError(f"{where}: write the statement as one object with Effect, Action and Resource")
    return Statement(where, _texts(statement["Action"]), _texts(statement.get("Resource", "")))


def _enclosing(text: str, at: int) -> str:
    """The object around a place: `{` to `}`; no brace stands alone in a text of a policy."""
    start, depth = at, 0
    while depth >= 0:
        start -= 1
        depth += {"}": 1, "{": -1}.get(text[start], 0)
    end, depth = at, 0
    while depth >= 0:
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        end += 1
    return text[start:end]


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(one) for one in value) if isinstance(value, list) else (str(value),)
