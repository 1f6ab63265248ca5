"""A folder of Terraform files, read with python-hcl2: its blocks, and its text without comments and plain strings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import hcl2
from lark.exceptions import LarkError

Body = dict[str, Any]
IS_BLOCK = "__is_block__"
_HIDDEN = {IS_BLOCK, "__comments__", "__inline_comments__"}
_IN_CODE = re.compile(r'(?:#|//)[^\n]*|["{}]|[^"{}#/]+|.', re.S)
_IN_STRING = re.compile(r'\\.|\$\$\{|\$\{|"|[^"$\\]+|.', re.S)


@dataclass(frozen=True)
class Module:
    """What the files of a folder declare, by name.

    Attributes:
        path: the folder.
        variables, locals, outputs, modules: bodies or expressions.
        resources, data: bodies by type and name.
        code: the text of all files, without comments and what is plain in strings.
    """

    path: Path
    code: str
    variables: dict[str, Body] = field(default_factory=dict)
    locals: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Body] = field(default_factory=dict)
    modules: dict[str, Body] = field(default_factory=dict)
    resources: dict[tuple[str, str], Body] = field(default_factory=dict)
    data: dict[tuple[str, str], Body] = field(default_factory=dict)

    @cached_property
    def sources(self) -> dict[str, Path]:
        """The folders of the modules that it calls."""
        return {name: (self.path / body["source"]).resolve() for name, body in self.modules.items()}


def folders(root: Path) -> list[Path]:
    """Every module and design below the folder of the infrastructure."""
    return sorted({path.parent for kind in ("modules", "designs") for path in (root / kind).glob("*/*.tf")})


def read(folder: Path) -> Module:
    """Read the `.tf` files of a folder.

    Raises:
        ValueError: a file is no HCL, or declares something twice; the message names it.
    """
    files = sorted(folder.glob("*.tf"))
    module = Module(path=folder, code="\n".join(code_of(file.read_text()) for file in files))
    for file in files:
        for kind, labels, body in blocks(file):
            _declare(module, kind, labels, body, file)
    return module


def blocks(file: Path) -> Iterator[tuple[str, list[str], Body]]:
    """The top blocks of a file: kind, labels, body."""
    try:
        document = plain(hcl2.loads(file.read_text()))
    except LarkError as error:
        raise ValueError(f"{file}: is no HCL: {str(error).splitlines()[0]}") from error
    for kind, given in document.items():
        for one in given:
            labels = []
            while IS_BLOCK not in one:
                (label, one), *_ = ((k, v) for k, v in one.items() if k not in _HIDDEN)
                labels.append(label)
            yield kind, labels, one


def plain(value: Any) -> Any:
    """Without the quotes that python-hcl2 keeps around keys and texts."""
    if isinstance(value, dict):
        return {_unquoted(key): plain(inner) for key, inner in value.items() if key == IS_BLOCK or key not in _HIDDEN}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return _unquoted(value) if isinstance(value, str) else value


def own(body: Body) -> Body:
    """A body without marks of the parser."""
    return {key: value for key, value in body.items() if key not in _HIDDEN}


def is_block(value: Any) -> bool:
    """True for what was written as a nested block rather than as an argument."""
    return (
        isinstance(value, list)
        and bool(value)
        and isinstance(value[0], dict)
        and (IS_BLOCK in value[0] or any(isinstance(inner, dict) and IS_BLOCK in inner for inner in value[0].values()))
    )


def expression(text: str) -> Any:
    """An object or list that stands inside an expression, as a value; None where it cannot be read."""
    try:
        return plain(hcl2.loads(f"x = {text}\n"))["x"]
    except LarkError:
        return None


def code_of(text: str) -> str:
    """The text without comments; of strings only what stands in `${...}`."""
    kept: list[str] = []
    nested: list[str] = []  # what is open: `"` a string, `${` an interpolation, `{` a brace of code
    at = 0
    while at < len(text):
        opened = nested[-1] if nested else ""
        found = (_IN_STRING if opened == '"' else _IN_CODE).match(text, at)
        piece = found.group() if found else text[at]
        at += len(piece)
        if opened == '"':
            if piece == '"':
                nested.pop()
                kept.append(' "" ')
            elif piece == "${":
                nested.append(piece)
                kept.append(" ")
        elif piece == "}":
            kept.append(piece if opened == "{" else " ")
            del nested[-1:]
        elif piece in ('"', "{"):
            nested.append(piece)
            kept.append(piece if piece == "{" else " ")
        elif not piece.startswith(("#", "//")):
            kept.append(piece)
    return "".join(kept)


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _declare(module: Module, kind: str, labels: list[str], body: Body, file: Path) -> None:
    table: dict[Any, Any]
    entries: list[tuple[Any, Any]]
    if kind == "locals":
        entries, table = list(own(body).items()), module.locals
    elif kind in ("resource", "data"):
        entries, table = [((labels[0], labels[1]), body)], module.resources if kind == "resource" else module.data
    elif kind in ("variable", "output", "module"):
        entries, table = [(labels[0], body)], getattr(module, f"{kind}s")
    elif kind in ("terraform", "provider"):
        return
    else:
        raise ValueError(f"{file}: unknown block {kind}")
    for name, value in entries:
        if name in table:
            raise ValueError(f"{file}: {kind} {name} is declared twice")
        table[name] = value
