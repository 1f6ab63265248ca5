"""CloudWatch's embedded metric format: valid by its specification, one line an invocation, whatever happens in it."""

from __future__ import annotations

import io
import json

import jsonschema
import pyarrow as pa
import pytest

from headgate.core.schema import QUALITY
from headgate.records import Counts
from headgate.telemetry.emf import METRICS, EmbeddedMetrics
from headgate.telemetry.facts import BatchCommitted, RecordsTransformed, StageTimed

NOW_US = 1_790_000_000_000_000
UNITS = ["Seconds", "Microseconds", "Milliseconds", "Bytes", "Count", "Percent", "None"]
#: The document structure as the specification describes it: "Members not recognized must be ignored" is not relied on.
SPECIFICATION = {
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "additionalProperties": False,
            "properties": {
                "Timestamp": {"type": "integer", "minimum": 10**12, "maximum": 10**13},
                "CloudWatchMetrics": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["Namespace", "Dimensions", "Metrics"],
                        "additionalProperties": False,
                        "properties": {
                            "Namespace": {"type": "string", "minLength": 1, "maxLength": 255},
                            "Dimensions": {
                                "type": "array",
                                "minItems": 1,
                                "items": {
                                    "type": "array",
                                    "maxItems": 30,
                                    "items": {"type": "string", "minLength": 1, "maxLength": 250},
                                },
                            },
                            "Metrics": {
                                "type": "array",
                                "maxItems": 100,
                                "items": {
                                    "type": "object",
                                    "required": ["Name"],
                                    "additionalProperties": False,
                                    "properties": {
                                        "Name": {"type": "string", "minLength": 1, "maxLength": 1024},
                                        "Unit": {"enum": UNITS},
                                        "StorageResolution": {"enum": [1, 60]},
                                    },
                                },
                            },
                        },
                    },
                },
            },
        }
    },
}


class Full(io.StringIO):
    def write(self, text):
        raise OSError(28, "No space left on device")


def quality(**more):
    row = {
        "event_type": "a", "received": 10, "accepted": 6, "duplicates": 3, "conflicts": 1, "rejected": 1,
        "payload_bytes": 500, "warnings": [("created_at_text", 2)], "arrived_max": NOW_US - 1_500_000, **more,
    }  # fmt: skip
    return pa.Table.from_pylist([row], schema=QUALITY)


def emf(stream=None, lake="s3://bucket/lake"):
    out = io.StringIO() if stream is None else stream
    return out, EmbeddedMetrics(out, lake=lake, now_us=lambda: NOW_US)


def checked(line):
    """The metrics of a line, by the rules of the specification."""
    document = json.loads(line)
    jsonschema.validate(document, SPECIFICATION)
    values = {}
    for directive in document["_aws"]["CloudWatchMetrics"]:
        for dimension in directive["Dimensions"][0]:
            assert isinstance(document[dimension], str)
            assert document[dimension]
        for metric in directive["Metrics"]:
            assert isinstance(document[metric["Name"]], int | float)  # a target member at the root
            assert METRICS[metric["Name"]] == metric["Unit"]
            values[metric["Name"]] = document[metric["Name"]]
    return values


def test_an_invocation_is_one_valid_line_with_the_figures_of_its_batch():
    out, told = emf()
    with told.invocation("admit"):
        told.emit(BatchCommitted(number=1, counts=Counts(), quality=quality()))
        told.emit(StageTimed(stage="commit", batch=1, wall_seconds=0.25, cpu_seconds=0.1))
    assert out.getvalue().count("\n") == 1
    assert checked(out.getvalue()) == {
        "Received": 10, "Accepted": 6, "Duplicates": 3, "Conflicts": 1, "Rejected": 1, "Warnings": 2, "Bytes": 500,
        "CommitSeconds": 0.25, "Lag": 1.5, "ColdStart": 1, "Failed": 0,
    }  # fmt: skip
    assert (json.loads(out.getvalue())["Function"], json.loads(out.getvalue())["Lake"]) == ("admit", "s3://bucket/lake")


def test_invocations_do_not_mix_and_only_the_first_one_is_cold():
    out, told = emf()
    with told.invocation("f"):
        told.emit(RecordsTransformed(counts=Counts(), quality=quality()))
    with told.invocation("f"):
        pass
    first, second = (checked(line) for line in out.getvalue().splitlines())
    assert (first["Received"], first["ColdStart"]) == (10, 1)
    assert (second["Received"], second["ColdStart"]) == (0, 0)
    assert "Lag" not in second
    assert "CommitSeconds" not in second


def test_an_invocation_that_fails_has_its_line_and_its_error():
    out, told = emf()
    with pytest.raises(ValueError, match="no"), told.invocation("f"):
        raise ValueError("no")
    assert checked(out.getvalue())["Failed"] == 1


def test_a_line_that_cannot_be_written_fails_no_invocation():
    _, told = emf(Full())
    with told.invocation("f"):
        told.emit(BatchCommitted(number=1, counts=Counts(), quality=quality()))


def test_names_of_any_kind_stay_one_line():
    out, told = emf(lake="s3://b/\n\x1b[31m" + "x" * 2_000)
    with told.invocation('f"\n\u2028'):
        told.emit(BatchCommitted(number=1, counts=Counts(), quality=quality(event_type="\n")))
    assert len(out.getvalue().splitlines()) == 1
    checked(out.getvalue())
