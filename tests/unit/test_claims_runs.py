"""A run's record is read back as it was written."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from headgate.claims.runs import Run, decode_run, encode_run, last_sequences, run_name, run_number
from headgate.records import OWNER
from headgate.testing.claim_store_suite import keys_from, owner

sequences = st.integers(0, 2**192 - 1)


@given(
    st.lists(st.integers(0, 2**128 - 1), max_size=5),
    st.dictionaries(st.integers(0, 2**32 - 1), sequences, max_size=3),
    st.booleans(),
)
def test_a_record_is_read_back(names: list[int], last: dict[int, int], has_previous: bool) -> None:
    previous = np.frombuffer(b"".join(owner(1, n) for n in range(len(names))), OWNER) if has_previous else None
    keys, last_read, previous_read = decode_run(encode_run(keys_from(names), last, previous))
    assert (keys.tobytes(), last_read) == (keys_from(names).tobytes(), last)
    assert (b"" if previous_read is None else previous_read.tobytes()) == (
        b"" if previous is None else previous.tobytes()
    )


@given(st.lists(st.tuples(st.integers(0, 3), sequences), min_size=1))
def test_the_last_sequence_of_each_shard_is_its_greatest(positions: list[tuple[int, int]]) -> None:
    owners = np.frombuffer(b"".join(owner(*position) for position in positions), OWNER)
    assert last_sequences(owners) == {
        shard: max(sequence for other, sequence in positions if other == shard) for shard, _ in positions
    }


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**128 - 1))
def test_a_run_stands_behind_every_claim(number: int, key: int) -> None:
    assert run_number(run_name(number)) == number
    assert run_name(number) > key.to_bytes(16, "big")


def test_a_run_is_committed_when_all_its_shards_have_passed_it() -> None:
    run = Run(name=run_name(1), bucket=0, last={1: 10, 2: 20})
    assert run.is_committed({1: 11, 2: 21})
    assert not run.is_committed({1: 10, 2: 21})
    assert not run.is_committed({1: 11, 2: None})
    assert not run.is_committed({1: 11})
    assert Run(name=run_name(2), bucket=0, last={}).is_committed({})
