"""Alarms and dashboard ask for metrics that the functions write, under the dimensions that they write them with."""

import re

from infrastructure_files import ROOT

from headgate.telemetry import emf

TEXT = (ROOT / "modules" / "observability" / "main.tf").read_text()


def test_metrics_and_dimensions_are_those_that_functions_write():
    asked = set(re.findall(r'local\.namespace, metric = "(\w+)"', TEXT))
    asked |= set(re.findall(r'local\.namespace, "(\w+)"\]', TEXT))
    for listed in re.findall(r"\[for name in \[([^\]]*)\] : concat\(\[local\.namespace, name\]", TEXT):
        asked |= set(re.findall(r'"(\w+)"', listed))
    assert {"Rejected", "Received", "Lag", "CommitSeconds", "Duplicates"} <= asked
    assert asked <= set(emf.METRICS)
    assert f'namespace = "{emf.NAMESPACE}"' in TEXT
    assert re.findall(r"headgate_dimensions = \{ (\w+) = [\w.]+, (\w+) =", TEXT) == [emf.DIMENSIONS]
