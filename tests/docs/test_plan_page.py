"""The page of plans: each hand calculation is right and agrees with the command, and the output shown is its output."""

import ast
import json
import re
from functools import cache
from math import ceil
from typing import Any

import pytest
from pages import ROOT, blocks

from headgate.core.plan.figures import BENCH
from headgate.core.plan.plan import figures_used
from headgate.testing.commands import run

PAGE = (ROOT / "docs" / "plan.md").read_text(encoding="utf-8")
BY_HAND = re.compile(r"^<!-- by hand: (\w+) (\w+) -->\n\n((?:\|.*\n)+)", re.MULTILINE)
VOLUMES = ("1k", "1M", "1B")
SIZES = {
    "events a second": lambda plan: plan["sizes"]["claims"]["requests_per_second"],
    "shards": lambda plan: plan["sizes"]["load"]["shards"],
    "batches a second": lambda plan: plan["sizes"]["load"]["invocations_per_second"],
    "events a batch": lambda plan: plan["sizes"]["load"]["batch_events"],
    "files a day": lambda plan: plan["sizes"]["files"]["a_day"],
    "ids in the window": lambda plan: plan["sizes"]["claims"]["ids_in_window"],
    "claims held": lambda plan: plan["sizes"]["claims"]["ids_held"],
    "bytes of claims": lambda plan: plan["sizes"]["claims"]["held_bytes"],
    "hours of the nightly job": lambda plan: plan["sizes"]["nightly_hours"],
}
OPERATORS = {"×": "*", "÷": "/", "−": "-", "^": "**", "⌈": "ceil(", "⌉": ")", ",": ""}


def worked_out(expression: str) -> float:
    """The value of an expression of the page."""
    text = "".join(OPERATORS.get(character, character) for character in expression)
    tree = ast.parse(text, mode="eval")
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert names <= {"ceil"}, expression
    return float(eval(compile(tree, "page", "eval"), {"__builtins__": {}, "ceil": ceil}))


def rows(kind: str, volume: str) -> list[list[str]]:
    """The rows of one table of the page: what, by hand, result."""
    tables = {(found[1], found[2]): found[3] for found in BY_HAND.finditer(PAGE)}
    lines = tables[kind, volume].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@cache
def planned(volume: str) -> dict[str, Any]:
    plan: dict[str, Any] = json.loads(run("plan", "--events-per-hour", volume, "--design", "A", "--json").stdout)
    return plan


@pytest.mark.parametrize("volume", VOLUMES)
def test_sizes_by_hand_are_those_of_the_command(volume: str) -> None:
    shown = rows("sizes", volume)
    assert [what for what, _, _ in shown] == list(SIZES)
    for what, by_hand, result in shown:
        assert worked_out(by_hand) == pytest.approx(float(result.replace(",", "")), rel=1e-3), what
        assert worked_out(by_hand) == pytest.approx(SIZES[what](planned(volume)), rel=1e-3), what


@pytest.mark.parametrize("volume", VOLUMES)
def test_every_item_of_the_bill_by_hand_is_that_of_the_command(volume: str) -> None:
    items = {f"{item['service']}: {item['what']}": item["usd"] for item in planned(volume)["bill"]["items"]}
    shown = rows("bill", volume)
    assert [what for what, _, _ in shown] == list(items)
    for what, by_hand, usd in shown:
        assert worked_out(by_hand) == pytest.approx(items[what], rel=1e-3), what
        assert f"{worked_out(by_hand):,.2f}" == usd, what
    total = sum(worked_out(by_hand) for _, by_hand, _ in shown)
    assert total == pytest.approx(planned(volume)["bill"]["total"], rel=1e-4)
    assert f"Sum: USD {total:,.2f}." in PAGE


@pytest.mark.parametrize("design", ["container", "E"])
def test_a_year_of_retention_by_hand_is_that_of_the_command(design: str) -> None:
    args = ("plan", "--events-per-hour", "1M", "--design", design, "--retention", "365d", "--json")
    items = {item["what"]: item["usd"] for item in json.loads(run(*args).stdout)["bill"]["items"]}
    shown = rows("kept", design)
    assert [what for what, _, _ in shown] == [what for what in items if what.startswith("kept longer")]
    for what, by_hand, usd in shown:
        assert worked_out(by_hand) == pytest.approx(items[what], rel=1e-3), what
        assert f"{worked_out(by_hand):,.2f}" == usd, what


@pytest.mark.parametrize("volume", VOLUMES)
def test_the_output_shown_is_that_of_the_command(volume: str) -> None:
    shown = [block.body for block in blocks(PAGE) if block.info == "text"]
    assert run("plan", "--events-per-hour", volume, "--design", "A").stdout in shown


def test_the_answers_name_the_figures_of_the_command() -> None:
    answers = (ROOT / "docs" / "questions.md").read_text(encoding="utf-8")
    plan = planned("1M")
    usd = {item["what"]: item["usd"] for item in plan["bill"]["items"]}
    assert f"{usd['time, x86_64']:.0f} dollars of {plan['bill']['total']:.0f}" in answers
    assert f"{plan['sizes']['files']['a_day']:,.0f} for a million" in answers
    assert f"{plan['sizes']['claims']['held_bytes'] / 1e9:.0f} GB in a Redis" in answers
    assert (
        f"{planned('1B')['sizes']['load']['shards']}, or {planned('1B')['sizes']['load']['shards_for_bytes']} with"
        in (answers)
    )


def test_measured_figures_stand_in_the_benchmarks_page() -> None:
    page = (ROOT / BENCH).read_text(encoding="utf-8")
    missing = []
    for figure in figures_used():
        if figure.kind == "measured" and figure.source.startswith(BENCH):
            _, _, numbers = figure.source.partition(": ")
            wanted = re.findall(r"\d[\d,.]*\d|\d", numbers) or [f"{figure.value:,g}"]
            missing += [f"{figure.name}: {number}" for number in wanted if number not in page]
    assert missing == []
