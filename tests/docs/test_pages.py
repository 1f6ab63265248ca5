"""The pages made from the code are those that the code gives; no page says what is not so."""

import contextlib
import re
import tomllib
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote

import click
import pytest
from pages import ROOT, SHELL, Block, blocks, commands, names, pages, prose

from headgate.entrypoints.cli import cli

MADE = ["cli.md", "config.md", "schema.md", "reasons.md", "errors.md", "designs/costs.md", "metrics.md"]
MAX_README_LINES = 150
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
NAMED_FILE = re.compile(r"`((?:src|tests|docs|examples|benchmarks|monitoring)/[\w./-]*\w)`")
NAMED_TEST = re.compile(r"`(test_\w+\.py)`")
PROCESS_WORDS = re.compile(
    r"\b(?:sessions?|helpers?|issue\s*#?\d+|claude|chatgpt|copilot)\b|(?<!\w)#\d+", re.IGNORECASE
)
PAGES = pages()
every_page = pytest.mark.parametrize("path", PAGES, ids=names(PAGES))


def test_all_made_pages_are_looked_at(make_pages: ModuleType) -> None:
    assert sorted(make_pages.PAGES) == sorted(MADE)


@pytest.mark.parametrize("name", MADE)
def test_a_made_page_is_what_the_code_gives(name: str, make_pages: ModuleType) -> None:
    written = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert written == make_pages.page(name), f"docs/{name} is out of date: run `make docs`"


def test_costs_of_the_designs_are_what_the_code_gives(make_pages: ModuleType) -> None:
    assert len(make_pages.PARTS) == 5
    for name in make_pages.PARTS:
        written = (ROOT / "docs" / name).read_text(encoding="utf-8")
        assert "| **sum** |" in written
        assert written == make_pages.with_part(name), f"docs/{name} is out of date: run `make docs`"


def test_a_column_without_a_meaning_is_refused(make_pages: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {name: columns for name, columns in make_pages.MEANINGS["quality"].items() if name != "received"}
    monkeypatch.setitem(make_pages.MEANINGS, "quality", known)
    with pytest.raises(KeyError, match="received"):
        make_pages.page("schema.md")


@every_page
def test_every_command_of_a_page_is_one_that_headgate_knows(path: Path) -> None:
    for block in blocks(path.read_text(encoding="utf-8")):
        if block.info.split(" ")[0] in SHELL:
            for arguments in commands(block):
                check_command(arguments)


def check_command(arguments: list[str]) -> None:
    """Parse it as the command line would; nothing is run."""
    top = click.Context(cli, info_name="headgate", **cli.context_settings)
    words = list(arguments)
    command: click.Command | None = cli
    if words and not words[0].startswith("-"):
        command = cli.get_command(top, words.pop(0))
    if command is None:
        pytest.fail(f"headgate {' '.join(arguments)}: no such command")
    try:
        with contextlib.suppress(click.exceptions.Exit):  # of --help and --version
            command.make_context(command.name, words, parent=top).close()
    except click.UsageError as error:
        if not is_about_a_path(error):  # a path need not exist here
            pytest.fail(f"headgate {' '.join(arguments)}: {error.format_message()}")


def is_about_a_path(error: click.UsageError) -> bool:
    """True where a path was given and only its file or folder is not there."""
    is_value = isinstance(error, click.BadParameter) and not isinstance(error, click.MissingParameter)
    return is_value and error.param is not None and isinstance(error.param.type, click.Path)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("headgate run a b --once\n", [["run", "a", "b", "--once"]]),
        ("zcat x.gz | headgate run - lake/ > log 2>&1\n", [["run", "-", "lake/"]]),
        ("A=1 .venv/bin/headgate config && headgate doctor\n", [["config"], ["doctor"]]),
        ("headgate run a b \\\n  --follow &\n", [["run", "a", "b", "--follow"]]),
        ("cat > f <<'END'\nheadgate nonsense\nEND\nheadgate init\n", [["init"]]),
        ('headgate query l "SELECT 1 > 0; FROM x"\n', [["query", "l", "SELECT 1 > 0; FROM x"]]),
        ("until headgate status l --json 2> log | grep -q x; do sleep 1; done\n", [["status", "l", "--json"]]),
        ("echo headgate\ncat headgate.toml\n", []),
    ],
)
def test_commands_are_found_in_shell_blocks(text: str, found: list[list[str]]) -> None:
    assert list(commands(Block("sh", text))) == found


@pytest.mark.parametrize("arguments", [["rum", "a", "b"], ["run", "a"], ["run", "a", "b", "--ones"]])
def test_a_wrong_command_is_found(arguments: list[str]) -> None:
    with pytest.raises(pytest.fail.Exception, match="headgate"):
        check_command(arguments)


@every_page
def test_links_lead_somewhere(path: Path) -> None:
    for target in LINK.findall(prose(path.read_text(encoding="utf-8"))):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        led_to = path.parent / unquote(file) if file else path
        assert led_to.exists(), f"{path.name} links to {target}"
        if anchor:
            assert anchor in anchors(led_to.read_text(encoding="utf-8")), f"{path.name} links to {target}"


def anchors(text: str) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_files_that_a_page_names_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    missing = [name for name in NAMED_FILE.findall(text) if not (ROOT / name).exists()]
    tests = {test.name for test in (ROOT / "tests").rglob("*.py")}
    missing += [name for name in NAMED_TEST.findall(text) if name not in tests]
    assert missing == []


@every_page
def test_a_page_speaks_of_the_project_only(path: Path) -> None:
    assert PROCESS_WORDS.findall(path.read_text(encoding="utf-8")) == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= MAX_README_LINES


def test_the_changelog_has_the_current_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert re.search(rf"^## \[?{re.escape(version)}\]?", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = set(LINK.findall((folder / "README.md").read_text("utf-8")))
    assert {page.name for page in folder.glob("*.md")} - {"README.md"} <= listed
