"""The settings as the specification knows them, one by one: what sample, display and reference page are made from."""

from __future__ import annotations

import msgspec

from headgate.config.sections import SECTIONS


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One setting as the specification knows it.

    Attributes:
        name: `section.key`.
        default: its default, None where it has none.
        description: one sentence.
        allowed: the words or the range that it may take, empty where there is no limit.
        example: a value to show where the default is None.
    """

    name: str
    default: object
    description: str
    allowed: str
    example: object


def keys(section: str) -> list[Key]:
    """List the settings of a section, in the order of the specification."""
    schema = msgspec.json.schema(SECTIONS[section])["$defs"][SECTIONS[section].__name__]
    return [
        Key(
            name=f"{section}.{name}",
            default=field.get("default"),
            description=field["description"],
            allowed=_allowed(field),
            example=next(iter(field.get("examples", ())), None),
        )
        for name, field in schema["properties"].items()
        if f"{section}.{name}" not in SECTIONS
    ]


def _allowed(field: dict[str, object]) -> str:
    if isinstance(words := field.get("enum"), list):
        return " | ".join(words)
    limits = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<="}
    return ", ".join(f"{sign} {field[limit]:,}" for limit, sign in limits.items() if limit in field)
