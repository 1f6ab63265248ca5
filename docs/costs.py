"""The costs of the reference designs, from `headgate plan`, for the pages that make_pages.py writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headgate.core.plan.ask import DESIGNS, Ask
from headgate.core.plan.plan import Plan, plan_of
from headgate.plan.listing import price_list

#: Design to the name of its page and of its Terraform root.
ROOTS: Mapping[str, str] = {
    "A": "a-lambda-redis",
    "B": "b-firehose-layers",
    "C": "c-firehose-json",
    "D": "d-nightly-batch",
    "E": "e-lambda-s3",
}
VOLUMES = {"1,000": 1e3, "1,000,000": 1e6, "1,000,000,000": 1e9}
BEGIN, END = "<!-- costs: made by `make docs` -->", "<!-- end of costs -->"
NO = "cannot work"


def planned(design: str, volume: float, **changes: object) -> Plan:
    """The plan of a design as it is, or with other settings."""
    facts = DESIGNS[design]
    ask = Ask(design=design, events_per_hour=volume, claims=facts.claims, format=facts.format, flush_s=facts.flush_s)
    return plan_of(ask.changed(**changes), price_list())


def costs_of(design: str) -> str:
    """The section of one design's page: a bill by service and volume, and what is refused."""
    plans = {name: planned(design, volume) for name, volume in VOLUMES.items()}
    services = dict.fromkeys(item.service for plan in plans.values() for item in plan.items)
    rows = [(service, *(_usd(_of(plan, service)) for plan in plans.values())) for service in services]
    rows.append(("**sum**", *(f"**{_usd(plan.usd)}**" for plan in plans.values())))
    rows.append(("does it work?", *("no" if plan.refusals else "yes" for plan in plans.values())))
    prod = [planned(design, volume, is_on_demand=True, retention_s=168 * 3600.0) for volume in VOLUMES.values()]
    if not DESIGNS[design].is_on_demand:
        rows.append(("sum on demand, kept 7 days", *(_usd(plan.usd) for plan in prod)))
    head = ("USD a month at events an hour", *VOLUMES)
    prices = price_list()
    text = (
        f"{_table(head, rows)}\nList prices of {prices.region}, {prices.date}; what is in them: [plan](../plan.md).\n"
    )
    return text + "".join(_refused(name, plan) for name, plan in plans.items() if plan.refusals)


def _refused(name: str, plan: Plan) -> str:
    why = "".join(f"- {refusal.sentence}.\n" for refusal in plan.refusals)
    works = "".join(f"- {one.sentence}: USD {_usd(one.usd)} in all.\n" for one in plan.instead)
    return f"\nAt {name} events an hour it cannot work as it is:\n\n{why}\nThis would:\n\n{works}"


def costs_page() -> str:
    """All designs side by side."""
    rows = []
    for design, root in ROOTS.items():
        plans = [planned(design, volume) for volume in VOLUMES.values()]
        cells = (f"{NO} as it is" if plan.refusals else _usd(plan.usd) for plan in plans)
        cheapest = (_usd(plan.instead[0].usd) if plan.instead else "" for plan in plans[-1:])
        rows.append((f"[{design}]({root}.md)", DESIGNS[design].title, *cells, *cheapest))
    head = ("design", "path", *(f"{name} an hour" for name in VOLUMES), "cheapest that works")
    return (
        "# What the reference designs cost\n\nUSD a month, from `headgate plan`: events of 300 bytes, one a record, "
        "100 types, a window of 7 days, streams that keep a\nday, 30 days of events stored.\n"
        "[What is counted, and by hand](../plan.md).\n\n" + _table(head, rows)
    )


def _of(plan: Plan, service: str) -> float:
    return sum(item.usd for item in plan.items if item.service == service)


def _usd(usd: float) -> str:
    return f"{usd:,.2f}" if usd < 1000 else f"{usd:,.0f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *("---:" if _is_figure(cell) else "---" for cell in rows[0][1:])]
    return "".join("| " + " | ".join(line) + " |\n" for line in (head, rule, *rows))


def _is_figure(cell: str) -> bool:
    return cell.replace(",", "").replace(".", "").isdigit()


def with_costs(page: str, design: str) -> str:
    """A page with its section of costs made anew.

    Args:
        page: its text, with both marks.
        design: whose page it is.
    """
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{costs_of(design)}\n{END}{after}"
