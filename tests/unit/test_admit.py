"""Event types: admitted in order up to the limit, rejected beyond it."""

import pyarrow as pa
import pytest

from headgate.core.admit import admit


def parts(*types, rejected=()):
    n = len(types)
    reasons = ["malformed_json" if i in rejected else None for i in range(n)]
    return pa.table(
        {
            "event_type": pa.array(types, pa.string()),
            "reason": pa.array(reasons, pa.string()),
            "detail": pa.nulls(n, pa.string()),
            "warnings": pa.array([1] * n, pa.uint16()),
        }
    )


@pytest.mark.parametrize("limit", [2, 3, 1_000])
def test_types_within_the_limit_are_admitted_in_order_of_appearance(limit):
    admitted = admit(parts("b", "a", "b"), [], limit)
    assert admitted.new_types == ["b", "a"]
    assert admitted.parts["reason"].null_count == 3


def test_types_beyond_the_limit_are_rejected_and_warn_of_nothing():
    admitted = admit(parts("b", "a", "b", "c", "known"), ["known"], 2)
    assert admitted.new_types == ["b"]
    reason = "event_type_limit"
    assert admitted.parts["reason"].to_pylist() == [None, reason, None, reason, None]
    assert admitted.parts["warnings"].to_pylist() == [1, 0, 1, 0, 1]
    assert "2 event types" in admitted.parts["detail"][1].as_py()


def test_known_types_stay_when_the_limit_was_lowered():
    admitted = admit(parts("x", "y", "z"), ["x", "y"], 1)
    assert admitted.new_types == []
    assert admitted.parts["reason"].to_pylist() == [None, None, "event_type_limit"]


def test_a_reject_takes_no_place():
    admitted = admit(parts("bad", "good", rejected=[0]), [], 1)
    assert admitted.new_types == ["good"]
    assert admitted.parts["reason"].to_pylist() == ["malformed_json", None]
