"""KinesisSource passes the suite of every source, on streams of a real server, by GetRecords and by fan-out."""

from __future__ import annotations

import random

import pytest

from headgate.clock import SystemClock
from headgate.source.kinesis.ahead import Pace
from headgate.source.kinesis.source import KinesisSource
from headgate.testing.fan_out_server import FanOutServer
from headgate.testing.kinesis_driver import StreamDriver, client_of
from headgate.testing.source_suite import SourceSuite

FAST = Pace(calls_per_second=1_000, bytes_per_second=1 << 40, poll_seconds=0.01, threads=4)


class KinesisSuite(SourceSuite):
    """A KinesisSource over a stream that `write` fills."""

    shards: int | None = 1
    page_shards = 1_000
    max_records = 10_000

    @pytest.fixture(autouse=True, params=["polled", "fan-out"])
    def _stream(self, request: pytest.FixtureRequest, kinesis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("headgate.source.kinesis.polling.MAX_RECORDS", self.max_records)
        url, self.fan_out = kinesis_url, None
        if request.param == "fan-out":
            server: FanOutServer = request.getfixturevalue("fan_out")
            server.script.records = self.max_records
            url, self.fan_out = server.url, "suite"
        self.stream = StreamDriver(url, shards=self.shards)
        self.write()

    def write(self) -> None:
        self.stream.put([b'{"id":%d}' % i for i in range(7)])

    def open(self) -> KinesisSource:
        return KinesisSource(
            self.stream.name,
            client=client_of(self.stream.url),
            clock=SystemClock(),
            jitter=random.random,
            once=True,
            fan_out=self.fan_out,
            pace=FAST,
            page_shards=self.page_shards,
        )


class TestOneShard(KinesisSuite):
    """Records in the order in which they were put."""

    def write(self) -> None:
        self.sent = [b"", b"\x00", b"{}\r\n", b"x" * 1000, b"\xf3\x89\x9a\xc2", b"last"]
        self.stream.put(self.sent)

    def test_records_come_as_they_were_put(self) -> None:
        """Byte for byte, in the order of the shard."""
        source, _, rows = self._first()
        source.close()
        assert [row.data for row in rows] == self.sent


class TestAnswersOfOneRecord(KinesisSuite):
    """Every record in an answer of its own."""

    max_records = 1


class TestSeveralPagesOfShards(KinesisSuite):
    """A page for each shard, of which one holds no records."""

    shards = 2
    page_shards = 1

    def write(self) -> None:
        self.stream.put([b'{"id":%d}' % i for i in range(7)], hash_key=0)


del KinesisSuite, SourceSuite
