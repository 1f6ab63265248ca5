"""The script that makes the reference pages, loaded as a module."""

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
from pages import ROOT


@pytest.fixture(scope="session")
def make_pages() -> Iterator[ModuleType]:
    sys.path.insert(0, str(ROOT / "docs"))
    yield importlib.import_module("make_pages")
    sys.path.remove(str(ROOT / "docs"))
