"""Copies of erased events are known by keyed digests, as they would be by the claims of these events."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.enrich import parse_positions, position_texts
from headgate.core.erased import ERASED, Erased, digests_of
from headgate.core.erased_ids import ErasedIds
from headgate.records import NO_SUB, OWNER, SEQUENCE_BYTES, Claims, Shard

SECRET = b"s" * 32
WINDOW_US = 100
SHARDS = [Shard("s", "a"), Shard("s", "b"), Shard("t", "a")]


def key(n: int) -> bytes:
    return n.to_bytes(16, "big")


def erased(*some: tuple[int, int, str, int]) -> Erased:
    """Id, shard, sequence and arrival of each."""
    keys = np.frombuffer(b"".join(key(n) for n, *_ in some), dtype=np.uint8).reshape(-1, 16)
    digests = digests_of(keys, SECRET)
    rows = [
        {
            "table": "events",
            "source": SHARDS[shard].source,
            "shard": SHARDS[shard].name,
            "sequence": sequence,
            "arrived_at": arrived,
            "digest": digests[i].tobytes(),
        }
        for i, (_, shard, sequence, arrived) in enumerate(some)
    ]
    return Erased(rows=pa.Table.from_pylist(rows, schema=ERASED), secret=SECRET)


def claims(*some: tuple[int, int, str, int]) -> Claims:
    owners = np.zeros(len(some), dtype=OWNER)
    keys = np.frombuffer(b"".join(key(n) for n, *_ in some), dtype=np.uint8).reshape(-1, 16)
    for i, (_, shard, sequence, arrived) in enumerate(some):
        whole, _, sub = sequence.partition("#")
        owners["shard"][i], owners["sub"][i] = shard, int(sub) if sub else NO_SUB
        owners["sequence"][i] = np.frombuffer(int(whole).to_bytes(SEQUENCE_BYTES, "big"), f"V{SEQUENCE_BYTES}")[0]
        owners["arrived"][i], owners["fingerprint"][i] = arrived, 1000 + i
    return Claims(keys=keys, owners=owners)


def ids(*some: tuple[int, int, str, int]) -> ErasedIds:
    return ErasedIds(erased(*some), SHARDS.index)


def texts(owners: np.ndarray) -> list[str]:
    sequences = np.ascontiguousarray(owners["sequence"]).view(np.uint8).reshape(-1, SEQUENCE_BYTES)
    return position_texts(sequences, owners["sub"].astype(np.int32)).to_pylist()


def test_a_copy_within_the_window_or_from_before_is_one_and_a_later_one_is_none() -> None:
    known = ids((7, 1, "5#2", 1000))
    found = known.copies(claims((7, 0, "1", 1100), (7, 0, "2", 1101), (8, 0, "3", 1000), (7, 0, "4", 1)), WINDOW_US)
    assert found is not None
    assert found.rows.tolist() == [0, 3]
    assert found.own.tolist() == []
    assert texts(found.owners) == ["5#2", "5#2"]
    assert found.owners["shard"].tolist() == [1, 1]
    assert found.owners["arrived"].tolist() == [1000, 1000]
    assert found.owners["fingerprint"].tolist() == [1000, 1003]  # no conflict: nobody knows


def test_of_several_erased_owners_the_one_that_arrived_last_owns_the_id() -> None:
    known = ids((7, 0, "1", 1000), (7, 2, "9", 5000), (7, 0, "3", 3000))
    found = known.copies(claims((7, 1, "1", 5100), (7, 1, "2", 3050), (7, 1, "3", 5101)), WINDOW_US)
    assert found is not None
    assert found.rows.tolist() == [0, 1]
    assert texts(found.owners) == ["9", "9"]
    assert found.owners["shard"].tolist() == [2, 2]


def test_an_event_at_an_erased_position_is_no_copy_of_itself() -> None:
    known = ids((7, 0, "1", 1000), (7, 2, "9", 5000))
    found = known.copies(claims((7, 0, "1", 1000), (7, 2, "9", 5000), (7, 2, "1", 1000)), WINDOW_US)
    assert found is not None
    assert found.own.tolist() == [0, 1]
    assert found.rows.tolist() == [2]


def test_nothing_is_found_where_nothing_is_erased_or_all_windows_are_closed() -> None:
    known = ids((7, 0, "1", 1000))
    assert known.copies(claims((8, 0, "1", 1000)), WINDOW_US) is None
    assert known.copies(claims((7, 0, "2", 1101)), WINDOW_US) is None
    assert known.copies(claims(), WINDOW_US) is None
    assert len(known) == 1


def test_the_secret_decides() -> None:
    other = Erased(rows=erased((7, 0, "1", 1000)).rows, secret=b"t" * 32)
    assert ErasedIds(other, SHARDS.index).copies(claims((7, 0, "2", 1000)), WINDOW_US) is None


@given(st.lists(st.tuples(st.integers(0, 2**192 - 1), st.integers(-1, 9)), max_size=5))
def test_positions_are_read_back_from_their_texts(places: list[tuple[int, int]]) -> None:
    whole = b"".join(sequence.to_bytes(SEQUENCE_BYTES, "big") for sequence, _ in places)
    sequences = np.frombuffer(whole, dtype=np.uint8).reshape(-1, SEQUENCE_BYTES)
    subs = np.array([sub for _, sub in places], dtype=np.int32)
    found, numbers = parse_positions(pa.chunked_array([position_texts(sequences, subs)]))
    assert found.tobytes() == whole
    assert numbers.tolist() == subs.tolist()


def test_a_damaged_position_is_never_taken_for_another() -> None:
    with pytest.raises((pa.ArrowInvalid, ValueError)):
        parse_positions(pa.chunked_array([["1x"]]))
