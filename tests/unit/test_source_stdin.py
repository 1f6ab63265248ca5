"""Standard input as a source: what arrives when, what is kept, and whose shards are whose."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from headgate.errors import TransientError
from headgate.records import Shard, ShardState
from headgate.source.stdin import StdinSource
from headgate.testing.source_suite import drain, receipt_of, rows_of, states_after


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for descriptor in (reading, writing):
        try:
            os.close(descriptor)
        except OSError:
            continue


def open_source(descriptor: int, run_id: str = "one") -> StdinSource:
    source = StdinSource(run_id=run_id, arrived_us=5_000_000, descriptor=descriptor)
    source.resume({})
    return source


def test_lines_come_while_the_pipe_is_open(pipe: tuple[int, int]) -> None:
    source = open_source(pipe[0])
    os.write(pipe[1], b'{"a":1}\n{"b"')
    batch = source.read(60.0)
    assert batch is not None
    (row,) = rows_of(batch)
    assert (row.shard, row.sequence, row.end) == (Shard("-", "stdin@one"), 0, 8)
    assert (row.data, row.arrived_us) == (b'{"a":1}\n', 5_000_000)
    assert source.read(0.0) is None
    os.close(pipe[1])
    (rest,) = drain(source)
    assert [row.data for row in rows_of(rest)] == [b'{"b"']


def test_nothing_in_time_is_none(pipe: tuple[int, int]) -> None:
    source = open_source(pipe[0])
    assert source.read(0.01) is None
    os.close(pipe[1])
    assert drain(source) == []


def test_what_was_not_acknowledged_comes_again_and_what_was_does_not(pipe: tuple[int, int]) -> None:
    source = open_source(pipe[0])
    batches = []
    for line in (b"1111\n", b"2222\n", b"3333\n"):
        os.write(pipe[1], line)
        batch = source.read(60.0)
        assert batch is not None
        batches.append(batch)
    os.close(pipe[1])
    source.ack(receipt_of(batches[0]))
    source.resume(states_after(batches[0].ranges))
    assert [row.data for batch in drain(source) for row in rows_of(batch)] == [b"2222\n", b"3333\n"]


def test_shards_of_other_runs_are_abandoned(pipe: tuple[int, int]) -> None:
    source = open_source(pipe[0], run_id="two")
    shards = {
        Shard("-", "stdin@one"): ShardState(position="10"),
        Shard("-", "stdin@two"): ShardState(position="10"),
        Shard("-", "stdin@closed"): ShardState(position="10", closed=True),
        Shard("files", "stdin@one"): ShardState(position="10"),
    }
    assert list(source.abandoned(shards)) == [Shard("-", "stdin@one")]


def test_a_descriptor_that_cannot_be_read_is_an_outage(tmp_path: object) -> None:
    descriptor = os.open(str(tmp_path), os.O_RDONLY)
    source = open_source(descriptor)
    with pytest.raises(TransientError, match="standard input"):
        source.read(60.0)
    os.close(descriptor)
