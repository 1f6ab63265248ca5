"""A plan: what a volume needs and costs, why it cannot work, and what would work in its place.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

from headgate.core.plan import figures
from headgate.core.plan.ask import DAY_SECONDS, DESIGNS, Ask, Compute
from headgate.core.plan.bill import Item, Sizes, bill_of
from headgate.core.plan.limits import Finding, refusals_of, span, warnings_of
from headgate.core.plan.load import load_of
from headgate.core.plan.prices import Prices
from headgate.core.plan.stored import claims_of, files_of, nightly_hours, storage_of

HOUR = 3600
WINDOWS_H = (144, 120, 96, 72, 48, 24, 12, 6, 3, 1)  # hours that are tried in place of a longer window
FLUSHES_S = (60.0, 120.0, 300.0)  # that are tried in place of a shorter one
MOST_LAKES = 4096  # over which a stream is split, for a suggestion


@dataclass(frozen=True, slots=True, kw_only=True)
class Instead:
    """Something that works where what was asked for does not.

    Attributes:
        sentence: what to change.
        ask: with the change.
        usd: a month.
    """

    sentence: str
    ask: Ask
    usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a volume needs and costs.

    Attributes:
        ask: what was asked for.
        sizes: of one lake.
        items: of the monthly bill, of all lakes together.
        refusals: why it cannot work; empty where it can.
        warnings: what works and should be known.
        instead: what would work, where this cannot; the cheapest first.
    """

    ask: Ask
    sizes: Sizes
    items: tuple[Item, ...]
    refusals: tuple[Finding, ...]
    warnings: tuple[str, ...]
    instead: tuple[Instead, ...]

    @property
    def usd(self) -> float:
        """The sum of the bill."""
        return sum(item.usd for item in self.items)


def plan_of(ask: Ask, prices: Prices, *, has_instead: bool = True) -> Plan:
    """Plan a volume.

    Args:
        ask: the volume and its settings.
        prices: a price list.
        has_instead: look for what would work where this cannot.

    Raises:
        ValueError: a number of the ask is not above 0.
    """
    _check(ask)
    sizes = _sizes(ask, prices)
    refusals = refusals_of(ask, sizes, prices)
    return Plan(
        ask=ask,
        sizes=sizes,
        items=bill_of(ask, sizes, prices),
        refusals=refusals,
        warnings=warnings_of(ask, sizes),
        instead=_instead(ask, prices) if refusals and has_instead else (),
    )


def _check(ask: Ask) -> None:
    for name in ("events_per_hour", "event_bytes", "events_per_record", "types", "window_s", "retention_s", "flush_s",
                 "keep_s", "lakes"):  # fmt: skip
        if not 0 < getattr(ask, name) < float("inf"):
            raise ValueError(f"{name.removesuffix('_s')}: expected more than 0")
    if ask.shards is not None and ask.shards < 1:
        raise ValueError("shards: expected at least 1")


def _sizes(ask: Ask, prices: Prices) -> Sizes:
    load = load_of(ask)
    files = files_of(ask, load)
    return Sizes(
        load=load,
        claims=claims_of(ask, prices.nodes),
        files=files,
        storage=storage_of(ask),
        nightly_hours=nightly_hours(ask, files),
    )


def _instead(ask: Ask, prices: Prices) -> tuple[Instead, ...]:
    """What works in its place: the least change of each kind that is enough, and the least split by id."""
    found: dict[str, Instead] = {}
    for kind, sentence, changed in _changes(ask):
        if kind not in found and (plan := plan_of(changed, prices, has_instead=False)) and not plan.refusals:
            found[kind] = Instead(sentence=sentence, ask=changed, usd=plan.usd)
    splits = _splits(ask, prices, (ask.claims,) if found else tuple(dict.fromkeys((ask.claims, "redis", "dynamodb"))))
    return tuple(sorted((*found.values(), *splits), key=lambda one: one.usd))


def _changes(ask: Ask) -> Iterator[tuple[str, str, Ask]]:
    """Kind, words and ask of one change each, those of a kind from the least on."""
    compute = ask.facts.compute
    if compute is Compute.MAPPING:
        longest = float(figures.MAPPING_WINDOW)
        for flush in (*(f for f in FLUSHES_S if f > ask.flush_s), longest):
            yield "flush", f"batches every {flush:g} s (--flush {flush:g}s)", ask.changed(flush_s=flush)
    if compute is Compute.FIREHOSE:
        yield "flush", "deliveries every 900 s (--flush 900s)", ask.changed(flush_s=900.0)
    kept = min(max(ask.retention_s, float(figures.RETENTION_LEAST)), float(figures.RETENTION_MOST))
    if kept != ask.retention_s:
        yield "retention", f"records kept for {span(kept)} (--retention {span(kept)})", ask.changed(retention_s=kept)
    if ask.types > ask.max_types:
        sentence = f"a lake that takes so many types ([lake] max_event_types = {ask.types})"
        yield "types", sentence, ask.changed(max_types=ask.types)
    if ask.shards is not None:
        yield "shards", "as many shards as are needed (without --shards)", ask.changed(shards=None)
    if ask.events_per_record == 1:
        yield "packing", "20 events in a record (--events-per-record 20)", ask.changed(events_per_record=figures.PACKED)
    for window in (float(hours * HOUR) for hours in WINDOWS_H if hours * HOUR < ask.window_s):
        yield "window", f"a window of {span(window)} (--window {span(window)})", ask.changed(window_s=window)
    for claims in ("redis", "dynamodb", "s3"):
        yield claims, f"claims in {claims} (--claims {claims})", ask.changed(claims=claims)
    if compute is not Compute.SERVICE:
        facts = DESIGNS["container"]
        for claims in ("rocksdb", "redis"):
            service = ask.changed(design="container", claims=claims, format=facts.format, flush_s=facts.flush_s)
            yield "container", f"a container (--design container --claims {claims})", service


def _splits(ask: Ask, prices: Prices, kinds: Sequence[str]) -> Iterator[Instead]:
    """The same split by id over several streams, lakes and claim stores; also with a window of a day."""
    for claims in kinds:
        for window in (ask.window_s, float(DAY_SECONDS)):
            one = ask.changed(window_s=window, claims=claims, shards=None)
            if window > ask.window_s or (lakes := _fewest_lakes(one, prices)) is None:
                continue
            if lakes == ask.lakes:
                continue
            each = f"{ceil(ask.events_per_hour / lakes):,} events/hour each"
            other = "" if claims == ask.claims else f", claims in {claims}"
            shorter = "" if window == ask.window_s else f", a window of {span(window)}"
            yield Instead(
                sentence=f"{lakes:,} streams with lakes and claims of their own, split by id ({each}){other}{shorter}",
                ask=one.changed(lakes=lakes),
                usd=plan_of(one.changed(lakes=lakes), prices, has_instead=False).usd,
            )
            if window == ask.window_s == DAY_SECONDS:
                break


def _fewest_lakes(ask: Ask, prices: Prices) -> int | None:
    """The least number of lakes with which it works; None where not even the most will do."""

    def works(lakes: int) -> bool:
        return not plan_of(ask.changed(lakes=lakes), prices, has_instead=False).refusals

    if not works(MOST_LAKES):
        return None
    low, high = ask.lakes, MOST_LAKES
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if works(middle) else (middle + 1, high)
    return low


def figures_used() -> tuple[figures.Figure, ...]:
    """All figures that plans are made with."""
    found: list[figures.Figure] = []
    for value in vars(figures).values():
        group = value.values() if isinstance(value, dict) else (value,)
        found += [one for one in group if isinstance(one, figures.Figure)]
    return tuple(found)


def assumed(ask: Ask) -> tuple[figures.Figure, ...]:
    """What a plan takes for granted because nobody measured it.

    Args:
        ask: what it is of.
    """
    compute = ask.facts.compute
    of_firehose = (figures.FIREHOSE_BUFFER, figures.TRANSFORM_SECONDS, figures.DATES, figures.FILING_EVENTS)
    of_task = (figures.TASK_CPU, figures.TASK_GB)
    found = [figures.DUPLICATES, figures.OTHER_FILES, figures.LOG_BYTES, figures.ALARMS]
    found += [figures.REDIS_USABLE] if ask.claims == "redis" else []
    found += [figures.CLAIM_BYTES["dynamodb"]] if ask.claims == "dynamodb" else []
    found += of_firehose if compute is Compute.FIREHOSE else ()
    found += [figures.FUNCTION_GB] if compute is not Compute.SERVICE else []
    return (*found, *of_task)
