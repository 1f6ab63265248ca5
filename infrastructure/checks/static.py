"""Terraform files against the provider's schema and against one another, without Terraform.

Found are: unknown types of resources, unknown or missing arguments and blocks, references to what is not declared,
calls of modules with unknown or missing variables, and what is declared and never used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from checks.hcl import Body, Module, is_block, own

META = {"count", "for_each", "provider", "depends_on", "lifecycle", "provisioner", "connection"}
META_OF_MODULES = {"source", "version", "providers", "count", "for_each", "depends_on"}
_REFERENCE = re.compile(
    r"(?<![\w.-])(var|local|module|data|aws_\w+)\.(\w+)((?:\[[^\]]*\])?(?:\.\w+)?)((?:\[[^\]]*\])?(?:\.\w+)?)"
)

Schema = dict[str, dict[str, Body]]


def problems(modules: dict[Path, Module], schema: Schema) -> list[str]:
    """What is wrong with a set of folders that call one another; each a sentence that names the place.

    Args:
        modules: by folder; every folder that one of them calls must be among them.
        schema: see `checks.extract`.
    """
    found: list[str] = []
    for module in modules.values():
        where = f"{module.path.parent.name}/{module.path.name}"
        for kind, declared in (("resource", module.resources), ("data", module.data)):
            for (type_, name), body in declared.items():
                found += [f"{where}: {type_}.{name}: {text}" for text in _against_schema(schema, kind, type_, body)]
        found += [f"{where}: {text}" for text in (*_calls(module, modules), *_references(module, modules, schema))]
    return found


def _against_schema(schema: Schema, kind: str, type_: str, body: Body) -> Iterator[str]:
    known = schema[kind].get(type_)
    if known is None:
        yield f"the provider has no {kind} of the type {type_}, or the extract of its schema is old"
    else:
        yield from _body(known, {key: value for key, value in own(body).items() if key not in META}, "")


def _body(known: Body, body: Body, path: str) -> Iterator[str]:
    attributes, blocks = known["attributes"], known["blocks"]
    given: dict[str, list[Body]] = {}
    for name, value in body.items():
        if name == "dynamic":
            for one in value:
                for block, content in own(one).items():
                    given.setdefault(block, []).extend(content["content"])
        elif is_block(value) and name not in attributes:  # some lists may be written as blocks
            given.setdefault(name, []).extend(value)
        elif name not in attributes:
            yield f"unknown argument {path}{name}"
        elif attributes[name] == "c":
            yield f"{path}{name} is computed and cannot be set"
    for name, bodies in given.items():
        if name not in blocks:
            yield f"unknown block {path}{name}"
            continue
        for one in bodies:
            yield from _body(blocks[name][2], own(one), f"{path}{name}.")
    yield from (
        f"missing argument {path}{name}" for name, need in attributes.items() if need == "r" and name not in body
    )
    yield from (f"missing block {path}{name}" for name, (least, _, _) in blocks.items() if least and name not in given)


def _calls(module: Module, modules: dict[Path, Module]) -> Iterator[str]:
    for name, source in module.sources.items():
        called = modules.get(source)
        if called is None:
            yield f"module {name}: there is no folder {module.modules[name]['source']}"
            continue
        given = own(module.modules[name]).keys() - META_OF_MODULES
        needed = {variable for variable, body in called.variables.items() if "default" not in body}
        yield from (f"module {name}: unknown variable {one}" for one in sorted(given - called.variables.keys()))
        yield from (f"module {name}: missing variable {one}" for one in sorted(needed - given))


def _references(module: Module, modules: dict[Path, Module], schema: Schema) -> Iterator[str]:
    used: dict[str, set[str]] = {"var": set(), "local": set()}
    for kind, name, one, two in _REFERENCE.findall(module.code):
        first, second = _attribute(one), _attribute(two)
        if kind in used:
            used[kind].add(name)
            declared: Any = module.variables if kind == "var" else module.locals
            if name not in declared:
                yield f"{kind}.{name} is not declared"
        elif kind == "module":
            yield from _of_module(module, modules, name, first)
        elif kind == "data":
            yield from _of_resource(module.data, schema["data"], name, first, second)
        else:
            yield from _of_resource(module.resources, schema["resource"], kind, name, first)
    yield from (f"variable {name} is never used" for name in module.variables if name not in used["var"])
    yield from (f"local.{name} is never used" for name in module.locals if name not in used["local"])


def _attribute(text: str) -> str:
    return text.rpartition(".")[2] if "." in text else ""


def _of_module(module: Module, modules: dict[Path, Module], name: str, output: str) -> Iterator[str]:
    if name not in module.modules:
        yield f"module.{name} is not declared"
    elif (called := modules.get(module.sources[name])) and output and output not in called.outputs:
        yield f"module.{name} has no output {output}"


def _of_resource(
    declared: dict[tuple[str, str], Body], types: dict[str, Body], type_: str, name: str, attribute: str
) -> Iterator[str]:
    if (type_, name) not in declared:
        yield f"{type_}.{name} is not declared"
    elif attribute and type_ in types:
        known = types[type_]
        if attribute not in known["attributes"] and attribute not in known["blocks"]:
            yield f"{type_}.{name} has no attribute {attribute}"
