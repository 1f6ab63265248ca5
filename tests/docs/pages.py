"""The pages of the project, and what is in them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
SHELL = ("sh", "bash", "shell", "console")
OPERATORS = {"|", "||", "&&", ";", "&", "(", ")", ">", ">>", "<", "<<", "2>", ">&", "do", "then", "until", "while"}


class Block(NamedTuple):
    """A fenced block: what stands behind the fence, and the text in it."""

    info: str
    body: str


def pages() -> list[Path]:
    """The pages beside README, and everything under docs/."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def names(paths: list[Path]) -> list[str]:
    """Paths as a test's ids."""
    return [str(path.relative_to(ROOT)) for path in paths]


def blocks(text: str) -> list[Block]:
    """The fenced blocks, in order."""
    return [Block(found["info"].strip(), found["body"]) for found in FENCE.finditer(text)]


def prose(text: str) -> str:
    """The text without its fenced blocks."""
    return FENCE.sub("", text)


def commands(block: Block) -> Iterator[list[str]]:
    """The arguments of every `headgate` command in a shell block."""
    text = re.sub(r"<<'(\w+)'\n.*?^\1$", "", block.body, flags=re.MULTILINE | re.DOTALL).replace("\\\n", " ")
    for line in text.splitlines():
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        yield from _in_line(list(lexer))


def _in_line(words: list[str]) -> Iterator[list[str]]:
    current: list[str] = []
    is_start, skips = True, False
    for word in [*words, ";"]:
        if word in OPERATORS or set(word) <= set("|&;()<>"):
            if current:
                is_numbered = set(word) & set("<>") and current[-1].isdigit()  # the 2 of `2>`
                yield current[1 : -1 if is_numbered else None]
            current, is_start, skips = [], ">" not in word and "<" not in word, ">" in word or "<" in word
        elif current:
            current.append(word)
        elif skips:
            skips = False
        elif is_start and Path(word).name == "headgate":
            current = [word]
        elif "=" not in word:
            is_start = False
