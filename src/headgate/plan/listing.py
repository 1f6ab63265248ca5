"""Reads the price list that comes with the package, `prices.toml`."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

import msgspec

from headgate.core.plan.figures import GIB
from headgate.core.plan.prices import UNITS, Confirmation, Node, Price, Prices
from headgate.errors import ConfigError

NAME = "prices.toml"


class _Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    usd: float
    unit: str
    page: str
    confirmed: Confirmation
    seen: str


class _Node(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    gib: float
    usd_per_hour: float


class _Nodes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    confirmed: Confirmation
    seen: str
    page: str
    types: dict[str, _Node]


class _List(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    region: str
    date: str
    prices: dict[str, _Price]
    nodes: _Nodes


def parsed(text: str) -> Prices:
    """A price list.

    Args:
        text: TOML, in the form of `prices.toml`.

    Raises:
        ConfigError: a price is missing, unknown or in another unit than bills are made in.
    """
    try:
        read = msgspec.convert(tomllib.loads(text), _List)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{NAME}: is no price list: {error}") from error
    if wrong := {name: price.unit for name, price in read.prices.items()}.items() ^ UNITS.items():
        names = ", ".join(sorted({name for name, _ in wrong}))
        raise ConfigError(f"{NAME}: missing, unknown, or in another unit than bills are made in: {names}")
    return Prices(
        region=read.region,
        date=read.date,
        prices={name: Price(**msgspec.structs.asdict(price)) for name, price in read.prices.items()},
        nodes={
            name: Node(name=name, memory_bytes=node.gib * GIB, usd_per_hour=node.usd_per_hour)
            for name, node in read.nodes.types.items()
        },
        node_seen=read.nodes.seen,
    )


@cache
def price_list() -> Prices:
    """The price list of the package. Raises ConfigError where it is broken."""
    return parsed((files("headgate.plan") / NAME).read_text("utf-8"))
