"""What Terraform files, Dockerfiles and pages say of Headgate's code, and whether the code knows it.

Settings as environment variables, handlers, and the commands and options that tasks and images start.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import click

from headgate.config import Config, load
from headgate.config.keys import keys
from headgate.config.load import ENV_FILE, ENV_PREFIX
from headgate.config.sections import SECTIONS
from headgate.entrypoints.cli import cli

_SETTING = re.compile(r"\bHEADGATE_[A-Z0-9_]*[A-Z0-9]\b")
_HANDLER = re.compile(r"\bheadgate\.entrypoints\.\w+\.\w+")
#: A list that begins with the name of a command: of a container, or of an image's ENTRYPOINT and CMD.
_CONTAINER = re.compile(r'command\s*=\s*\[\s*"([a-z]+)"([^\]]*)\]')
_JOBS = re.compile(r"commands\s*=[^\n]*")
_IMAGE = re.compile(r"^(?:ENTRYPOINT|CMD)\s+\[(.*)\]", re.MULTILINE)
_TEXT = re.compile(r'"([^"]*)"')
#: A setting's section stands for any key where a page or pattern says so.
_PLACEHOLDERS = {"HEADGATE__SECTION__KEY"}


def files(root: Path) -> list[Path]:
    """What may name something of the code: `.tf`, `.hcl`, `.md` and Dockerfiles below a folder."""
    kinds = ("*.tf", "*.hcl", "*.md", "Dockerfile*")
    return sorted(path for kind in kinds for path in root.rglob(kind) if ".terraform" not in path.parts)


def unknown(file: Path) -> list[str]:
    """What a file names and the code does not know; each a sentence."""
    text = file.read_text()
    return [f"{file.name}: {problem}" for problem in (*_settings(text), *_handlers(text), *_commands(file, text))]


def _settings(text: str) -> Iterator[str]:
    known = {ENV_FILE, *_PLACEHOLDERS}
    known |= {ENV_PREFIX + key.name.upper().replace(".", "__") for section in SECTIONS for key in keys(section)}
    yield from (f"there is no setting {name}" for name in sorted(set(_SETTING.findall(text)) - known))


def _handlers(text: str) -> Iterator[str]:
    for name in sorted(set(_HANDLER.findall(text))):
        module, _, function = name.rpartition(".")
        try:
            is_there = callable(getattr(importlib.import_module(module), function, None))
        except ModuleNotFoundError:
            is_there = False
        if not is_there:
            yield f"there is no handler {name}"


def _commands(file: Path, text: str) -> Iterator[str]:
    started: list[list[str]] = []
    if file.suffix == ".tf":
        started += [[name, *_TEXT.findall(rest)] for name, rest in _CONTAINER.findall(text)]
        started += [
            [name]
            for line in _JOBS.findall(text)
            for name in re.findall(r'\[("[^\]]*)\]', line)
            for name in _TEXT.findall(name)
        ]
    elif file.name.startswith("Dockerfile"):
        words = [word for line in _IMAGE.findall(text) for word in _TEXT.findall(line)]
        if words and words[0] != "headgate":
            yield f"there is no program {words[0]}"
        started += [words[1:]] if len(words) > 1 else []
    context = click.Context(cli)
    command: click.Command | None
    for name, *arguments in started:
        if name.startswith("-"):
            arguments, command = [name, *arguments], cli
        else:
            command = cli.get_command(context, name)
        if command is None:
            yield f"there is no command headgate {name}"
            continue
        options = {"--help"} | {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
        given = [argument for argument in arguments if argument.startswith("--")]
        yield from (f"headgate {name} has no option {option}" for option in given if option not in options)


def configured(folder: Path) -> Config:
    """The configuration file of a design, by itself.

    Raises:
        ConfigError: the file is no configuration.
    """
    return load(folder / "headgate.toml", {}, {})


def assigned(file: Path) -> set[str]:
    """The variables that a `.tfvars` file sets."""
    return set(re.findall(r"^(\w+)\s*=", file.read_text(), re.MULTILINE))
