"""Paths that no lake can have."""

import os

import pytest

from headgate.testing.commands import run


@pytest.mark.parametrize("args", [("run", "SOURCE", "LAKE"), ("status", "LAKE"), ("query", "LAKE", "SELECT 1")])
def test_a_path_that_is_not_utf_8_is_said(tmp_path, args):
    (tmp_path / "a.jsonl").write_text("")
    lake = os.fsdecode(os.fsencode(tmp_path) + b"/la\xff")
    os.makedirs(lake)
    given = {"SOURCE": tmp_path / "a.jsonl", "LAKE": lake}
    result = run(*[given.get(arg, arg) for arg in args])
    assert (result.exit_code, "must be UTF-8" in result.stderr, "bug" in result.stderr) == (2, True, False)
