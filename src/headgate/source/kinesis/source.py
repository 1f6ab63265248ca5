"""The Source port over a Kinesis stream: all shards, parents before children, exact positions.

Law: a shard is read only when the SHARD_END of each of its parents is committed, and, where reading begins at a time,
when that time is committed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal

import numpy as np
import pyarrow as pa

from headgate.errors import ConfigError, SourceGapError
from headgate.ports import Clock
from headgate.records import RECORDS, Receipt, RecordBatch, Shard, ShardRange, ShardState
from headgate.source.kinesis.ahead import Pace, ReadAhead
from headgate.source.kinesis.client import KinesisClient, Stream, StreamCalls
from headgate.source.kinesis.fan_out import StreamConsumer, SubscribedShard
from headgate.source.kinesis.lineage import ShardInfo
from headgate.source.kinesis.polling import PolledShard
from headgate.source.kinesis.positions import Place, check_identity, instant_text, place_of
from headgate.source.kinesis.progress import Progress
from headgate.source.kinesis.reading import MARGIN_US, ShardReader, Step

Start = Literal["earliest", "latest"] | datetime

READ_BYTES = 8 << 20  # bytes of one `read`
LOOK_EVERY_SECONDS = 10.0  # between two looks for the children of a shard that ended without naming any


class KinesisSource:
    """The Source port over one stream. See `ports.Source` for the guarantee.

    `read` and `ack` may be called from different threads.
    """

    def __init__(
        self,
        stream: str,
        *,
        client: KinesisClient,
        clock: Clock,
        jitter: Callable[[], float],
        name: str | None = None,
        start: Start = "earliest",
        once: bool = False,
        accept_gap: bool = False,
        fan_out: str | None = None,
        pace: Pace | None = None,
        page_shards: int = 1_000,
    ) -> None:
        """Nothing is called before `resume`.

        Args:
            stream: name or ARN.
            client: boto3's; see `client.kinesis_client`.
            clock: time.
            jitter: gives a number in [0, 1) that spreads retries.
            name: the source's name in positions; by default `kinesis://STREAM`, as in a Lambda function.
            start: where to begin when the ledger has no position of this source.
            once: drained when every shard is at its tip or ended.
            accept_gap: go on where records expired unread.
            fan_out: name of a consumer that subscribes to the shards (enhanced fan-out); None: GetRecords. One source
                at a time may read as this consumer.
            pace: limits of reading.
            page_shards: shards a page of the list.
        """
        self.notices: list[str] = []
        self._name = name or f"kinesis://{stream.rpartition('/')[2]}"  # of an ARN its last part
        self._calls = StreamCalls(client, stream, page_shards=page_shards)
        self._clock, self._jitter = clock, jitter
        self._consumer = None if fan_out is None else StreamConsumer(client, stream, fan_out, clock)
        self._pace = (pace or Pace()) if fan_out is None else (pace or Pace()).pushed()
        self._start, self._once, self._accept_gap = start, once, accept_gap
        self._lock = threading.RLock()
        self._ahead: ReadAhead | None = None
        self._progress: Progress | None = None
        self._stream: Stream | None = None
        self._waiting: list[ShardRange] = []  # ranges without records that come first
        self._look_at = 0.0

    @property
    def name(self) -> str:
        """See Source."""
        return self._name

    def resume(self, shards: Mapping[Shard, ShardState]) -> None:
        """See Source.

        Raises:
            StreamMadeAnewError: the stream is not the one that the positions were made on.
            ConfigError: no such stream, or no rights.
            TransientError: no answer.
        """
        self.close()
        with self._lock:
            self._waiting = []
            self._stream = self._calls.describe()
            own = {shard.name: state for shard, state in shards.items() if shard.source == self._name}
            for state in own.values():
                check_identity(state, self._stream.identity)
            self._progress = Progress(self._name, self._stream.identity, own)
            self._progress.lineage.learn(self._calls.shards())
            self._check_vanished(self._progress)
            if self._consumer is not None:
                self._consumer.find(self._stream.identity.arn)
            if not own and self._start != "earliest":
                self._begin_at(self._start, self._progress, self._stream)
            self._ahead = ReadAhead(
                self._pace,
                once=self._once,
                jitter=self._jitter,
                is_wanted=self._is_wanted,
                ended=self._learn_children,
                began_us=self._clock.now_us(),
            )
            self._read_ready(self._ahead)

    def _check_vanished(self, progress: Progress) -> None:
        for name in progress.vanished():
            place = progress.committed[name]
            said = (
                f"the stream {self._calls.stream} no longer has {name}, which was read up to "
                f"{instant_text(place.seen_us)} and not to its end: its last records may have expired unread"
            )
            if not self._accept_gap:
                raise SourceGapError(f"{said}; run again with --accept-gap to go on without them")
            self.notices.append(f"{said}; the gap is accepted")
            self._waiting.append(progress.give(ShardInfo(name=name), replace(place, is_end=True)))

    def _begin_at(self, start: Literal["latest"] | datetime, progress: Progress, stream: Stream) -> None:
        """The time from which all shards are read, to be committed before the first read."""
        now_us = self._clock.now_us()
        latest_us = now_us // 1000 * 1000  # arrivals are whole milliseconds
        begin_us = latest_us if start == "latest" else round(start.timestamp() * 1_000_000)
        if begin_us < now_us - stream.retention_us + MARGIN_US:
            self.notices.append(f"{instant_text(begin_us)} is as old as what {self._name} keeps: all of it is read")
            return
        for info in progress.lineage.shards.values():
            place = Place(position=int(info.start), seen_us=begin_us, begin_us=begin_us)
            self._waiting.append(progress.give(info, place))

    def read(self, timeout_seconds: float) -> RecordBatch | None:
        """See Source.

        Raises:
            SourceGapError: records expired unread.
            TransientError: no shard can be read.
            PermanentError: the stream or a shard is gone.
        """
        with self._lock:
            ahead, progress = self._opened()
            if self._waiting:
                first, self._waiting = self._waiting, []
                return RecordBatch(table=RECORDS.empty_table(), ranges=first)
            self._look_for_children(ahead, progress)
        taken = ahead.take(READ_BYTES, timeout_seconds)
        if taken:
            with self._lock:
                return _batch(taken, progress)
        if self._once and ahead.is_over():
            with self._lock:
                if ahead.is_over() and progress.is_drained():
                    raise EOFError(f"{self._name} is drained")
        return None

    def _opened(self) -> tuple[ReadAhead, Progress]:
        if self._ahead is None or self._progress is None:
            raise ConfigError(f"{self._name} is not open: it is resumed before it is read")
        return self._ahead, self._progress

    def ack(self, receipt: Receipt) -> None:
        """See Source: children of shards that ended may be read from now on."""
        with self._lock:
            if self._progress is not None:
                self._progress.take_in(receipt)
            if self._ahead is not None:
                self._read_ready(self._ahead)

    def horizon_us(self) -> int | None:
        """See Source; earlier by a margin for clocks that differ."""
        with self._lock:
            seen_us = None if self._progress is None else self._progress.horizon_us()
        return None if seen_us is None else seen_us - MARGIN_US

    def abandoned(self, shards: Mapping[Shard, ShardState]) -> Collection[Shard]:
        """See Source: where a gap is accepted, what the stream lists no more though it was not read to its end."""
        own = {shard: state for shard, state in shards.items() if shard.source == self._name and not state.closed}
        if not self._accept_gap or not own:
            return []
        listed = {info.name for info in self._calls.shards()}
        return [shard for shard, state in own.items() if shard.name not in listed and not place_of(state).is_end]

    def lag(self) -> Mapping[str, float]:
        """See Source: seconds behind the tip of the shard that is furthest behind."""
        with self._lock:
            behind_ms = None if self._ahead is None else self._ahead.behind_ms()
        return {} if behind_ms is None else {"seconds": behind_ms / 1000}

    def close(self) -> None:
        """See Source. A call under way is waited for, a subscription is not."""
        with self._lock:
            ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.stop()

    def _read_ready(self, ahead: ReadAhead) -> None:
        """Begin with the shards that may be read now."""
        stream, progress = self._stream, self._progress
        if stream is not None and progress is not None:
            ahead.add(self._reader(info, place, stream) for info, place in progress.startable())

    def _reader(self, info: ShardInfo, place: Place, stream: Stream) -> ShardReader:
        consumer = self._consumer
        polled = PolledShard(self._calls, info.name, self._clock)
        return ShardReader(
            self._calls,
            stream,
            info,
            place,
            polled if consumer is None else SubscribedShard(consumer, info.name),
            clock=self._clock,
            accept_gap=self._accept_gap,
            notice=self.notices.append,
        )

    def _learn_children(self, reader: ShardReader, step: Step) -> None:
        """In a thread of the pool: who came from a shard that ended, with their first sequence numbers."""
        listed = self._calls.shards()
        with self._lock:
            if self._progress is not None:
                self._progress.lineage.learn([*listed, *step.children])

    def _look_for_children(self, ahead: ReadAhead, progress: Progress) -> None:
        """The list may be behind: look again for the children of shards that ended without any."""
        now = self._clock.monotonic()
        if self._once or now < self._look_at or not progress.childless():
            return
        self._look_at = now + LOOK_EVERY_SECONDS
        progress.lineage.learn(self._calls.shards())
        self._read_ready(ahead)

    def _is_wanted(self, step: Step, reader: ShardReader) -> bool:
        with self._lock:
            progress = self._progress
            return progress is not None and progress.is_news(reader.info.name, step.place, is_at_tip=step.is_at_tip)


def _batch(taken: Sequence[tuple[ShardReader, Step]], progress: Progress) -> RecordBatch:
    """One batch of what many shards gave, one range a shard."""
    last = {reader.info.name: (reader.info, step.place) for reader, step in taken}
    index = {name: i for i, name in enumerate(last)}
    numbers = [np.full(step.table.num_rows, index[reader.info.name], dtype=np.int32) for reader, step in taken]
    table = pa.concat_tables([step.table for _, step in taken]).combine_chunks()
    shard = pa.array(np.concatenate(numbers))
    ranges = [progress.give(info, place) for info, place in last.values()]
    # With the end of a shard the ledger learns of its children: should they vanish unread, that is known.
    ranges += [progress.give(*child) for info, place in last.values() if place.is_end for child in progress.born(info)]
    return RecordBatch(table=table.set_column(1, RECORDS.field("shard"), shard), ranges=ranges)
