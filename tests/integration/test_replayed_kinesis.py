"""A recording replays as the stream itself: the same records at the same positions, from any of them."""

import random

import pytest

from headgate.clock import SystemClock
from headgate.source.kinesis.source import KinesisSource
from headgate.testing.kinesis_driver import StreamDriver, client_of
from headgate.testing.kinesis_reader import FAST
from headgate.testing.replayed_kinesis import ReplayedKinesis, recorded_lines, recorded_stream
from headgate.testing.source_suite import SourceSuite, drain, rows_of


def rows(client, name):
    source = KinesisSource(name, client=client, clock=SystemClock(), jitter=random.random, once=True, pace=FAST)
    source.resume({})
    found = [row for batch in drain(source) for row in rows_of(batch)]
    source.close()
    return sorted(found)


def test_a_recorded_stream_gives_the_same_records(kinesis_url):
    stream = StreamDriver(kinesis_url, shards=3)
    stream.put([b'{"n":%d}' % i for i in range(40)])
    replayed = ReplayedKinesis(recorded_stream(stream, per_answer=7), name=stream.name)
    assert rows(replayed.client(), stream.name) == rows(client_of(kinesis_url), stream.name)


class TestReplayed(SourceSuite):
    """The suite of every source, on a recording: no server needed."""

    @pytest.fixture(autouse=True)
    def _recorded(self):
        lines = [b'{"id":%d}' % i for i in range(11)]
        self.replayed = ReplayedKinesis(recorded_lines(lines, shards=1, per_answer=3))

    def open(self):
        return KinesisSource(
            "replayed",
            client=self.replayed.client(),
            clock=SystemClock(),
            jitter=random.random,
            once=True,
            pace=FAST,
        )


del SourceSuite
