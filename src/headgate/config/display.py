"""A configuration as people may see it: passwords masked, the origin of each value, one digest."""

from __future__ import annotations

import hashlib

import msgspec

from headgate.config.keys import keys
from headgate.config.load import Resolved
from headgate.config.mask import mask_uri
from headgate.config.sections import SECTIONS, Config


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One value in force.

    Attributes:
        name: `section.key`, or `rules`.
        value: as JSON knows it, secrets masked.
        origin: `flag`, the environment variable, the file, or `default`.
        description: one sentence.
    """

    name: str
    value: object
    origin: str
    description: str


def masked(config: Config) -> dict[str, object]:
    """All settings as plain values, secrets masked; fit for display, logs and JSON."""
    plain = _mask(msgspec.to_builtins(config))
    assert isinstance(plain, dict)  # noqa: S101 - a struct becomes a dict
    return plain


def _mask(value: object) -> object:
    if isinstance(value, str):
        return mask_uri(value)
    if isinstance(value, dict):
        return {key: _mask(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_mask(item) for item in value]
    return value


def digest(config: Config) -> str:
    """16 hexadecimal digits, the same for the same settings everywhere; passwords play no part."""
    return hashlib.sha256(msgspec.json.encode(masked(config), order="deterministic")).hexdigest()[:16]


def effective(resolved: Resolved) -> list[Setting]:
    """Every setting in force with its origin, in the order of the specification; rules last."""
    plain = masked(resolved.config)
    result = []
    for section in SECTIONS:
        values = _section(plain, section)
        for key in keys(section):
            value = values[key.name.rpartition(".")[2]]
            origin = resolved.origins[key.name]
            result.append(Setting(name=key.name, value=value, origin=origin, description=key.description))
    rules = Setting(
        name="rules", value=plain["rules"], origin=resolved.origins["rules"], description="Rules of your own."
    )
    return [*result, rules]


def _section(plain: dict[str, object], name: str) -> dict[str, object]:
    """The values of a section, which may lie in another one."""
    values: object = plain
    for part in name.split("."):
        assert isinstance(values, dict)  # noqa: S101 - sections are structs
        values = values[part]
    assert isinstance(values, dict)  # noqa: S101
    return values
