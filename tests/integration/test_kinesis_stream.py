"""A KinesisSource on a real server, by GetRecords and by enhanced fan-out: resharding, resuming, what is missing."""

from contextlib import closing
from datetime import UTC, datetime

import pytest

from headgate.errors import ConfigError, PermanentError, SourceGapError
from headgate.records import Island, Shard, ShardState
from headgate.source.kinesis.positions import StreamMadeAnewError
from headgate.testing.kinesis_driver import StreamDriver, answer, intercept
from headgate.testing.kinesis_reader import StreamReader
from headgate.testing.processes import wait_until

HOUR_US = 3_600_000_000


class Numbered:
    """Puts records that can be told apart."""

    def __init__(self, stream):
        self.stream, self.sent = stream, []

    def put(self, count, **where):
        new = [b'{"n":%d}' % (len(self.sent) + i) for i in range(count)]
        self.sent += new
        return self.stream.put(new, **where)


@pytest.fixture(params=["polled", "fan-out"])
def pushed(request):
    """The server of enhanced fan-out; None where the shards are polled."""
    return request.getfixturevalue("fan_out") if request.param == "fan-out" else None


#: For what has nothing to do with how records come.
polled_only = pytest.mark.parametrize("pushed", ["polled"], indirect=True)


@pytest.fixture
def url(pushed, kinesis_url):
    return kinesis_url if pushed is None else pushed.url


@pytest.fixture
def reader_of(pushed):
    readers = []

    def make(stream, **options):
        readers.append(StreamReader(stream, fan_out=None if pushed is None else "lake", **options))
        return readers[-1]

    yield make
    for reader in readers:
        reader.source.close()


def reshard(stream, turn):
    """A split and a merge in turn, wherever there is one to be done."""
    shards = stream.open_shards()
    if turn % 2 and len(shards) > 1:
        stream.merge(shards[0], shards[1])
    else:
        stream.split(shards[turn % len(shards)])


def check_order(reader, stream):
    """Within a shard positions rise; nothing of a child comes before the last of its parents."""
    last = {}
    first_at, last_at = {}, {}
    for i, row in enumerate(reader.rows):
        assert last.get(row.shard, -1) < row.sequence
        last[row.shard] = row.sequence
        first_at.setdefault(row.shard.name, i)
        last_at[row.shard.name] = i
    for shard in stream.shards():
        for parent in (shard.get("ParentShardId"), shard.get("AdjacentParentShardId")):
            if parent in last_at and shard["ShardId"] in first_at:
                assert last_at[parent] < first_at[shard["ShardId"]]


def test_splits_and_merges_while_reading(url, reader_of):
    stream = StreamDriver(url, shards=2)
    numbered, reader = Numbered(stream), reader_of(stream, page_shards=2)
    for turn in range(6):
        numbered.put(30)
        reader.step()
        reshard(stream, turn)
        numbered.put(30)
        reader.step()
    reader.until(lambda: len(reader.rows) >= len(numbered.sent))
    assert reader.data == sorted(numbered.sent)
    check_order(reader, stream)


def test_a_history_of_splits_and_merges_is_read_from_its_start(url, reader_of):
    stream = StreamDriver(url, shards=2)
    numbered = Numbered(stream)
    for turn in range(5):
        numbered.put(20)
        reshard(stream, turn)
    numbered.put(20)
    first, second = reader_of(stream, once=True, page_shards=3), reader_of(stream, once=True)
    first.drain()
    second.drain()
    assert first.data == sorted(numbered.sent)
    assert sorted(first.rows) == sorted(second.rows)
    check_order(first, stream)
    listed = {s["ShardId"] for s in stream.shards()}
    assert first.ended() == listed - {s["ShardId"] for s in stream.open_shards()}


def test_a_child_waits_until_the_end_of_its_parent_is_committed(url, reader_of):
    stream = StreamDriver(url)
    numbered, reader = Numbered(stream), reader_of(stream)
    numbered.put(3)
    stream.split(stream.open_shards()[0])
    numbered.put(3)
    held = []
    while not any(part.meta.get("is_end") for batch in held for part in batch.ranges):
        if (batch := reader.read()) is not None:
            held.append(batch)
    assert reader.read(0.3) is None
    for batch in held:
        reader.commit(batch)
    assert len(reader.rows) == 3
    reader.until(lambda: len(reader.rows) == 6)
    assert reader.data == sorted(numbered.sent)


@polled_only
def test_an_on_demand_stream(url, reader_of):
    stream = StreamDriver(url, shards=None)
    numbered, reader = Numbered(stream), reader_of(stream, once=True)
    numbered.put(50)
    reader.drain()
    assert reader.data == sorted(numbered.sent)
    assert len(reader.ledger) == 4


def test_by_arn_the_source_has_the_same_name(url, reader_of):
    stream = StreamDriver(url)
    Numbered(stream).put(3)
    by_name = reader_of(stream, once=True)
    by_name.drain()
    name, stream.name = stream.name, stream.summary()["StreamARN"]
    by_arn = reader_of(stream, once=True)
    by_arn.drain()
    assert by_arn.source.name == by_name.source.name == f"kinesis://{name}"
    assert by_arn.rows == by_name.rows


def test_a_new_process_after_every_batch(url, reader_of, pushed, monkeypatch):
    if pushed is not None:
        pushed.script.records = 3
    monkeypatch.setattr("headgate.source.kinesis.polling.MAX_RECORDS", 3)
    monkeypatch.setattr("headgate.source.kinesis.source.READ_BYTES", 1)
    stream = StreamDriver(url, shards=2)
    numbered, reader = Numbered(stream), reader_of(stream)
    numbered.put(20)
    stream.split(stream.open_shards()[0])
    numbered.put(20)
    while len(reader.rows) < 40:
        if reader.step() is not None:
            reader.die()
    assert reader.data == sorted(numbered.sent)
    check_order(reader, stream)


def test_a_kill_before_the_commit_gives_the_same_records_again(url, reader_of):
    stream = StreamDriver(url, shards=3)
    numbered, reader = Numbered(stream), reader_of(stream)
    for _ in range(4):
        numbered.put(25)
        reader.some()
        reader.die()
        reader.step()
    reader.until(lambda: len(reader.rows) >= 100)
    assert reader.data == sorted(numbered.sent)


def test_resume_on_the_same_object_throws_away_what_was_read_ahead(url, reader_of):
    stream = StreamDriver(url, shards=2)
    numbered, reader = Numbered(stream), reader_of(stream, once=True)
    numbered.put(40)
    reader.some()
    reader.source.resume({})
    reader.drain()
    assert reader.data == sorted(numbered.sent)


@pytest.mark.parametrize("size", [1, 1 << 20])
def test_records_of_any_size(url, reader_of, size):
    stream = StreamDriver(url)
    sent = [bytes([65 + i]) * size for i in range(3)]
    for record in sent:
        stream.put([record])
    reader = reader_of(stream, once=True)
    reader.drain()
    assert reader.data == sent


def test_latest_is_committed_as_a_time_before_the_first_read(url, reader_of):
    stream = StreamDriver(url, shards=2)
    numbered = Numbered(stream)
    numbered.put(10)
    reader = reader_of(stream, start="latest")
    batch = reader.some()
    assert batch.num_records == 0
    assert len({part.meta["begin_us"] for part in batch.ranges}) == 1
    assert {part.shard.name for part in batch.ranges} == {s["ShardId"] for s in stream.shards()}
    numbered.put(10)
    assert reader.read(0.3) is None  # nothing is read before it is committed
    reader.commit(batch)
    reader.until(lambda: len(reader.rows) >= 10)
    assert reader.data == sorted(numbered.sent[10:])


def test_latest_then_a_crash_before_the_first_read(url, reader_of):
    stream = StreamDriver(url, shards=2)
    numbered = Numbered(stream)
    numbered.put(10)
    reader = reader_of(stream, start="latest", once=True)
    reader.commit(reader.some())
    reader.die()
    numbered.put(10)  # while nobody reads
    stream.split(stream.open_shards()[0])
    numbered.put(10)
    reader.drain()
    assert reader.data == sorted(numbered.sent[10:])


def test_latest_that_was_not_committed_begins_later(url, reader_of):
    stream = StreamDriver(url)
    numbered, reader = Numbered(stream), reader_of(stream, start="latest")
    reader.some()
    numbered.put(10)
    reader.die()
    reader.commit(reader.some())
    numbered.put(10)
    reader.until(lambda: len(reader.rows) >= 10)
    assert reader.data == sorted(numbered.sent[10:])


def test_a_time_is_where_reading_begins_also_in_shards_that_are_closed(url, reader_of):
    stream = StreamDriver(url)
    numbered = Numbered(stream)
    numbered.put(10)
    everything = reader_of(stream, once=True)
    everything.drain()
    begin_us = everything.rows[-1].arrived_us + 1000
    wait_until(lambda: everything.clock.now_us() > begin_us + 1000, "a later millisecond")
    numbered.put(5)
    stream.split(stream.open_shards()[0])
    numbered.put(5)
    reader = reader_of(stream, start=datetime.fromtimestamp(begin_us / 1e6, UTC), once=True)
    reader.drain()
    assert reader.data == sorted(numbered.sent[10:])


@polled_only
def test_a_time_beyond_what_the_stream_keeps_is_its_start(url, reader_of):
    stream = StreamDriver(url)
    numbered = Numbered(stream)
    numbered.put(10)
    reader = reader_of(stream, start=datetime(2020, 1, 1, tzinfo=UTC), once=True)
    reader.drain()
    assert reader.data == sorted(numbered.sent)
    assert "all of it is read" in " ".join(reader.source.notices)


@polled_only
def test_start_counts_only_where_there_is_no_position(url, reader_of):
    stream = StreamDriver(url)
    numbered, reader = Numbered(stream), reader_of(stream, once=True)
    numbered.put(5)
    reader.drain()
    numbered.put(5)
    reader.options["start"] = "latest"
    reader.die()
    reader.drain()
    assert reader.data == sorted(numbered.sent)


def test_an_empty_shard_is_told_of_now_and_then_and_no_gap(url, reader_of, pushed, monkeypatch):
    if pushed is not None:  # what a subscription says holds for the time when it began
        pushed.script.events = 1
        monkeypatch.setattr("headgate.source.kinesis.fan_out.SHORTEST_SECONDS", 0)
    stream = StreamDriver(url, shards=2)
    numbered, reader = Numbered(stream), reader_of(stream)
    numbered.put(1, hash_key=0)
    reader.until(lambda: len(reader.ledger) == 2)
    for _ in range(60):  # 30 hours, with nothing put
        reader.clock.shift_us += HOUR_US // 2
        before = dict(reader.ledger)
        reader.until(lambda before=before: all(reader.ledger[s].meta != before[s].meta for s in before))
    assert len(reader.rows) == 1
    for state in reader.ledger.values():
        assert reader.clock.now_us() - state.meta["seen_empty_us"] < HOUR_US
    horizon_us = reader.source.horizon_us()
    assert reader.clock.now_us() - horizon_us < HOUR_US
    reader.die()
    numbered.put(1, hash_key=0)
    reader.until(lambda: len(reader.rows) == 2)


def test_nothing_new_is_no_batch(url, reader_of):
    stream = StreamDriver(url, shards=2)
    reader = reader_of(stream)
    reader.until(lambda: len(reader.ledger) == 2)
    assert [reader.read(0.1) for _ in range(5)] == [None] * 5


def test_a_pause_longer_than_the_retention_is_a_gap_where_the_last_record_is_gone(url, reader_of, pushed):
    stream = StreamDriver(url)
    numbered, reader = Numbered(stream), reader_of(stream)
    first, second, _ = numbered.put(3, hash_key=0)
    reader.until(lambda: reader.rows)
    reader.ledger = {
        shard: ShardState(position=str(first.sequence + 1), meta={**state.meta, "at": str(first.sequence + 1)})
        for shard, state in reader.ledger.items()
    }
    reader.rows.clear()
    reader.clock.shift_us = 25 * HOUR_US
    reader.die()
    reader.until(lambda: reader.rows)  # the first record is still there: nothing after it is missing
    assert reader.data == sorted(numbered.sent[1:])

    reader.rows.clear()
    reader.ledger = {shard: ShardState(position=str(first.sequence + 1)) for shard in reader.ledger}
    reader.die()
    expire(reader.client, stream, pushed, upto=second)
    with pytest.raises(SourceGapError, match=f"{first.shard}.*--accept-gap"):
        reader.until(lambda: reader.rows)
    reader.options["accept_gap"] = True
    reader.die()
    expire(reader.client, stream, pushed, upto=second)
    reader.until(lambda: reader.rows)
    assert reader.data == numbered.sent[2:]
    assert any("the gap is accepted" in notice for notice in reader.source.notices)


def expire(client, stream, pushed, *, upto):
    """The real service forgets what is older than the retention: reading begins at what is left, silently."""
    if pushed is not None:
        pushed.script.trimmed[upto.shard] = upto.sequence

    def respond(body):
        if int(body.get("StartingSequenceNumber", 0)) > upto.sequence or body["ShardId"] != upto.shard:
            return None
        got = stream.client.get_shard_iterator(
            StreamName=stream.name,
            ShardId=upto.shard,
            ShardIteratorType="AFTER_SEQUENCE_NUMBER",
            StartingSequenceNumber=str(upto.sequence),
        )
        return answer(200, {"ShardIterator": got["ShardIterator"]})

    intercept(client, "GetShardIterator", respond)


def test_an_empty_shard_that_nobody_looked_at_for_longer_than_the_retention_is_a_gap(url, reader_of):
    stream = StreamDriver(url)
    reader = reader_of(stream)
    reader.until(lambda: reader.ledger)
    reader.clock.shift_us = 25 * HOUR_US
    reader.die()
    with pytest.raises(SourceGapError, match=r"keeps records for 24 hours.*it is empty"):
        reader.until(lambda: reader.rows)


def test_a_child_that_nobody_looked_at_for_longer_than_the_retention_is_a_gap(url, reader_of):
    stream = StreamDriver(url)
    numbered, reader = Numbered(stream), reader_of(stream)
    numbered.put(1)
    stream.split(stream.open_shards()[0])
    reader.until(reader.ended)
    reader.die()
    reader.ledger = {shard: state for shard, state in reader.ledger.items() if state.meta.get("is_end")}
    reader.clock.shift_us = 25 * HOUR_US
    with pytest.raises(SourceGapError, match=r"shardId-00000000000[12]"):
        reader.until(lambda: len(reader.ledger) == 3)


@polled_only
def test_a_shard_that_vanished_before_its_end_is_a_gap(url, reader_of):
    stream = StreamDriver(url)
    numbered, reader = Numbered(stream), reader_of(stream)
    numbered.put(1)
    reader.until(lambda: reader.rows)
    (shard,) = reader.ledger
    stream.split(stream.open_shards()[0])
    numbered.put(2)
    reader.die()
    vanish(reader.client, stream, shard.name)
    with pytest.raises(SourceGapError, match=f"no longer has {shard.name}.*--accept-gap"):
        reader.read()
    assert list(reader.source.abandoned(reader.ledger)) == []

    reader.options["accept_gap"] = True
    reader.die()
    vanish(reader.client, stream, shard.name)
    assert list(reader.source.abandoned(reader.ledger)) == [shard]
    reader.until(lambda: len(reader.rows) == 3)
    assert reader.ledger[shard].meta["is_end"]
    reader.options["accept_gap"] = False
    reader.die()
    vanish(reader.client, stream, shard.name)
    reader.step()


@polled_only
def test_a_child_that_vanished_before_it_was_read_is_a_gap(url, reader_of):
    """The ledger learns of the children with the end of their parent."""
    stream = StreamDriver(url)
    numbered, reader = Numbered(stream), reader_of(stream)
    numbered.put(1)
    stream.split(stream.open_shards()[0])
    reader.until(reader.ended)
    children = [shard.name for shard, state in reader.ledger.items() if not state.meta.get("is_end")]
    assert len(children) == 2
    reader.die()
    vanish(reader.client, stream, children[0])
    with pytest.raises(SourceGapError, match=f"no longer has {children[0]}"):
        reader.read()


def test_once_ends_on_a_stream_that_never_rests(url, reader_of, pushed):
    """What arrived after the start is not waited for."""
    stream = StreamDriver(url)
    numbered = Numbered(stream)
    numbered.put(3)
    reader = reader_of(stream, once=True)

    def one_more(_=None):
        numbered.put(1)  # before each answer another record is there

    if pushed is None:
        intercept(reader.client, "GetRecords", one_more)
    else:
        pushed.script.before_event = one_more
    reader.drain()
    assert len(reader.rows) > 3


def vanish(client, stream, name):
    """The real service lists a closed shard until its last record is older than the retention."""

    def respond(_):
        return answer(200, {"Shards": [s for s in stream.shards() if s["ShardId"] != name]})

    intercept(client, "ListShards", respond)


@polled_only
def test_a_shard_that_is_abandoned_in_the_ledger_is_not_asked_for(url, reader_of):
    stream = StreamDriver(url)
    Numbered(stream).put(3)
    reader = reader_of(stream, once=True)
    gone = Shard(f"kinesis://{stream.name}", "shardId-000000000099")
    reader.ledger[gone] = ShardState(position="5", closed=True)
    reader.drain()
    assert len(reader.rows) == 3


@polled_only
def test_a_stream_made_anew_under_its_name_is_refused(url, reader_of):
    stream = StreamDriver(url)
    numbered, reader = Numbered(stream), reader_of(stream)
    numbered.put(3)
    reader.until(lambda: reader.rows)
    stream.delete()
    stream.make(1)
    reader.die()
    with pytest.raises(StreamMadeAnewError, match=f"{stream.name}.*made anew.*--source-name"):
        reader.read()


@polled_only
def test_a_stream_that_is_not_there_is_a_wrong_configuration(url, reader_of):
    stream = StreamDriver(url)
    reader = reader_of(stream)
    stream.delete()
    with pytest.raises(PermanentError, match=f"{stream.name}.*check name, region and endpoint"):
        reader.read()


def test_records_inside_islands_are_not_handed_over(url, reader_of):
    stream = StreamDriver(url)
    numbered, reader = Numbered(stream), reader_of(stream, once=True)
    placed = numbered.put(10, hash_key=0)
    shard = Shard(f"kinesis://{stream.name}", placed[0].shard)
    island = Island(placed[3].sequence, placed[5].sequence + 1, 0, 7)
    reader.ledger[shard] = ShardState(islands=(island,), islands_at=7)
    ranges = []
    while True:
        try:
            batch = reader.step()
        except EOFError:
            break
        ranges += batch.ranges if batch else []
    assert reader.data == sorted(numbered.sent[:3] + numbered.sent[6:])
    assert {part.islands_at for part in ranges} == {7}
    assert ranges[0].start is None


def test_what_it_says_of_lag_and_horizon(url, reader_of):
    stream = StreamDriver(url, shards=2)
    reader = reader_of(stream)
    assert reader.source.lag() == {}
    assert reader.source.horizon_us() is None
    began_us = reader.clock.now_us()
    reader.until(lambda: len(reader.ledger) == 2)
    assert reader.source.lag() == {"seconds": 0.0}
    assert began_us - HOUR_US < reader.source.horizon_us() < began_us


@polled_only
def test_read_before_resume_is_an_error(url, reader_of):
    reader = reader_of(StreamDriver(url))
    with pytest.raises(ConfigError, match="resumed before it is read"):
        reader.source.read(0.1)


def test_on_kinesalite_too(kinesalite_url):
    """A server that names no children in its answers: they are listed. It speaks no enhanced fan-out."""
    stream = StreamDriver(kinesalite_url, shards=2)
    numbered, reader = Numbered(stream), StreamReader(stream)
    with closing(reader.source):
        for turn in range(4):
            numbered.put(100)
            reader.step()
            reshard(stream, turn)
        numbered.put(100)
        reader.until(lambda: len(reader.rows) >= 500)
    assert reader.data == sorted(numbered.sent)
    check_order(reader, stream)
