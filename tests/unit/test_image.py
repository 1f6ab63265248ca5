"""The image is made of what the tests ran with, and names only what is in the code; a walk sees what it compares."""

import importlib
import json
import re
import sys
from pathlib import Path

import pytest

from headgate.config.load import ENV_FILE
from headgate.entrypoints.cli import cli

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "infrastructure/image/Dockerfile").read_text()
PINNED = re.compile(r"^([\w.-]+)==(\S+)( ; [^\\]+)? \\$", re.MULTILINE)


def pins(name):
    return {(found[1], found[3]): found[2] for found in PINNED.finditer((ROOT / name).read_text())}


@pytest.fixture
def walk(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "infrastructure/walk"), *sys.path])
    return importlib.import_module("walk")


@pytest.mark.parametrize("name", ["requirements-image.lock", "infrastructure/image/requirements-build.lock"])
def test_what_is_in_the_image_was_tested(name):
    tested, found = pins("requirements-dev.lock"), pins(name)
    assert len(found) > 5
    untested = {pin for pin, version in found.items() if tested.get(pin) != version}
    assert untested <= {("async-timeout", " ; python_full_version < '3.11.3' ")}  # of redis, for older Pythons


def test_the_image_has_all_of_the_runtime():
    assert {name for name, _ in pins("requirements.lock")} <= {name for name, _ in pins("requirements-image.lock")}
    assert "awslambdaric" in {name for name, _ in pins("requirements-image.lock")}


def test_the_dockerfile_names_what_is_there():
    [command] = re.findall(r"^ENTRYPOINT (.*)$", DOCKERFILE, re.MULTILINE)
    assert json.loads(command) == ["headgate"]
    assert f'headgate = "{cli.callback.__module__}:main"' in (ROOT / "pyproject.toml").read_text()
    assert set(re.findall(r"HEADGATE\w+", DOCKERFILE)) == {ENV_FILE}
    copied = [words.split() for words in re.findall(r"^COPY (?!--from|\$)(.*)$", DOCKERFILE, re.MULTILINE)]
    named = [path for words in copied for path in words[:-1]] + re.findall(
        r"^ARG CONFIG=(\S+)", DOCKERFILE, re.MULTILINE
    )
    assert len(named) > 5
    for path in named:
        assert (ROOT / path).exists(), path


def test_only_what_is_named_goes_to_the_build():
    allowed = (ROOT / ".dockerignore").read_text().split("\n")
    assert "*" in allowed
    assert "!src" in allowed


@pytest.mark.parametrize(
    ("expected", "seen", "is_shown"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a\n", "a\nb\n", False),
        ("a\nb\n", "b\n", False),
        ("…\nb\n", "x\ny\nb\n", True),
        ("…\nb\n", "b\nx\n", False),
        ("key …/….gz\n", "key 2026/abc.gz\n", True),
        ("key …/….gz\n", "key 2026/abc.gzip\n", False),
        ("a.c\n", "abc\n", False),
        ("3\n", "4\n", False),
        ("a\n", "", False),
    ],
)
def test_a_walk_tells_what_a_page_shows_from_what_it_does_not(walk, expected, seen, is_shown):
    assert walk.shows(expected, seen) is is_shown


def test_the_walk_of_design_e_puts_looks_and_compares(walk):
    parts = walk.parts((ROOT / "docs/designs/e-walk.md").read_text())
    typed = "".join(part.body for part in parts if part.kind == "sh")
    assert [part.kind for part in parts].count("function") == 1
    assert typed.count("aws kinesis put-record ") == 4
    for word in ("terraform apply", "aws kinesis get-records", "aws s3 ls --recursive", "terraform plan"):
        assert word in typed
    assert sum(part.kind == "text" for part in parts) >= 7
