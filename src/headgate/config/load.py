"""Flags over environment over file over defaults, with the origin of every value kept.

`environment` is the only place in the package that reads the process environment.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from headgate.config.keys import keys
from headgate.config.mask import MASK, mask_uri
from headgate.config.sections import SECTIONS, Config, LakeFormat
from headgate.errors import ConfigError

ENV_PREFIX = "HEADGATE__"
ENV_FILE = "HEADGATE_CONFIG"
DEFAULT, FLAG = "default", "flag"
MAY_BE_SECRET = {"privacy.key_env"}  # a key that was put here by mistake is not shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A configuration and where each value came from.

    Attributes:
        config: the settings in force.
        origins: `section.key` to `flag`, the environment variable, the file, or `default`.
    """

    config: Config
    origins: Mapping[str, str]

    @property
    def lake_format(self) -> LakeFormat | None:
        """The format that somebody asked for; None, so that a lake that is there keeps its own, where nobody did."""
        return None if self.origins["lake.format"] == DEFAULT else self.config.lake.format


@dataclass(frozen=True, slots=True)
class _Given:
    """A value that somebody set, and the words for it in an error."""

    name: str
    value: object
    origin: str
    is_text: bool = False


def environment() -> Mapping[str, str]:
    """The process environment."""
    return dict(os.environ)


def cache_folder() -> Path:
    """Where this user's programs keep what can be made anew (XDG Base Directory)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def load(path: Path | None, env: Mapping[str, str], overrides: Mapping[str, object]) -> Config:
    """Read the configuration.

    Args:
        path: the TOML file; None: the one that `HEADGATE_CONFIG` names, or none.
        env: the environment; `HEADGATE__SECTION__KEY` is read.
        overrides: values of flags by `section.key`; None means not given.

    Returns:
        The settings in force.

    Raises:
        ConfigError: a key is unknown, a value has another type or is out of range, the file cannot be read.
    """
    return resolve(path, env, overrides).config


def resolve(path: Path | None, env: Mapping[str, str], overrides: Mapping[str, object]) -> Resolved:
    """Read the configuration and keep where each value came from. Arguments and errors as for `load`."""
    if path is None and env.get(ENV_FILE):
        path = Path(env[ENV_FILE])
    values: dict[str, Any] = {}
    origins = {key.name: DEFAULT for section in SECTIONS for key in keys(section)} | {"rules": DEFAULT}
    document = _document(path) if path else {}
    for given in (*_from_file(document, str(path)), *_from_env(env), *_from_flags(overrides)):
        value = _checked(given)
        *sections, key = given.name.split(".")
        table = values
        for section in sections:
            table = table.setdefault(section, {})
        table[key] = value
        origins[given.name] = given.origin
    rules = document.get("rules", [])
    if "rules" in document:
        origins["rules"] = str(path)
    _check_rules(rules, str(path))
    return Resolved(config=msgspec.convert({**values, "rules": rules}, Config), origins=origins)


def _document(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such configuration file; `headgate init` writes one") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not valid TOML: {error}") from error


def _from_file(document: Mapping[str, object], path: str) -> Iterable[_Given]:
    for section, table in document.items():
        if section == "rules":
            continue
        if section not in SECTIONS:
            raise ConfigError(f"{path}: unknown section [{section}]{_nearest(section, [*SECTIONS, 'rules'])}")
        if not isinstance(table, dict):
            raise ConfigError(f"{path}: {section} is a section: write [{section}] and its keys below it")
        yield from _from_table(section, table, path)


def _from_table(section: str, table: Mapping[str, object], path: str) -> Iterable[_Given]:
    for key, value in table.items():
        name = f"{section}.{key}"
        if name not in SECTIONS:
            yield _Given(name, value, path)
        elif isinstance(value, dict):
            yield from _from_table(name, value, path)
        else:
            raise ConfigError(f"{path}: {name} is a section: write [{name}] and its keys below it")


def _from_env(env: Mapping[str, str]) -> Iterable[_Given]:
    for variable in sorted(env):
        if not variable.startswith(ENV_PREFIX):
            continue
        name = variable.removeprefix(ENV_PREFIX).lower().replace("__", ".")
        if name.split(".")[0] == "rules":
            raise ConfigError(f"{variable}: rules can only be set in a configuration file, as [[rules]]")
        yield _Given(name, env[variable], variable, is_text=True)


def _from_flags(overrides: Mapping[str, object]) -> Iterable[_Given]:
    for name, value in overrides.items():
        if value is not None:
            yield _Given(name, value, FLAG)


def _checked(given: _Given) -> object:
    """The value as its specification's type."""
    section, _, key = given.name.rpartition(".")
    spec = SECTIONS.get(section)
    if spec is None or key not in spec.__struct_fields__ or given.name in SECTIONS:
        _unknown(given.name, given.origin)
    value = given.value
    if given.is_text and isinstance(value, str) and isinstance(getattr(spec(), key), tuple):
        value = [text.strip() for text in value.split(",") if text.strip()]
    try:
        return getattr(msgspec.convert({key: value}, spec, strict=not given.is_text), key)
    except msgspec.ValidationError as error:
        problem = str(error).split(" - at `")[0]
        shown = MASK if given.name in MAY_BE_SECRET else mask_uri(repr(given.value))
        raise ConfigError(f"{given.origin}: {given.name} = {shown:.200}: {problem}") from error


def _check_rules(rules: object, path: str) -> None:
    try:
        names = [rule.name for rule in msgspec.convert({"rules": rules}, Config).rules]
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: [[rules]]: {error}") from error
    if twice := {name for name in names if names.count(name) > 1}:
        raise ConfigError(f"{path}: [[rules]]: the name {min(twice)!r} is given twice")


def _unknown(name: str, origin: str) -> NoReturn:
    known = [key.name for section in SECTIONS for key in keys(section)]
    key = name.rpartition(".")[2]
    same_key = [candidate for candidate in known if candidate.rpartition(".")[2] == key]
    raise ConfigError(f"{origin}: unknown setting {name}{_nearest(name, known, same_key)}")


def _nearest(name: str, known: list[str], preferred: Iterable[str] = ()) -> str:
    found = [*preferred, *get_close_matches(name, known, n=1, cutoff=0.5)]
    return f"; did you mean {found[0]}?" if found else f"; known are {', '.join(known)}"
