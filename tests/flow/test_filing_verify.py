"""`verify` over a lake into which a delivery was filed: proven, and what is broken is named."""

import pytest

from headgate.errors import ConfigError
from headgate.testing.filing_world import SHARD, SOURCE, FilingWorld, event, record
from headgate.testing.memory_source import MemorySource, Record, Stream
from headgate.testing.records import ARRIVED_US


@pytest.fixture
def plain(tmp_path):
    return FilingWorld(folder=tmp_path)


def some(*parts, start=0, arrived_us=ARRIVED_US):
    return [record(start + n, data, arrived_us + n * 1_000) for n, data in enumerate(parts)]


def test_verify_reads_the_stream_again_and_names_what_is_not_delivered(plain):
    parts = [event(1), event(2), event(1), b"rubbish", event(4), event(5)]
    records = [one._replace(sequence=n) for n, one in enumerate(some(*parts))]
    stream = Stream(shards={SHARD: [Record(data=one.data, arrived_us=one.arrived_us) for one in records]})
    for one in records:
        plain.deliver([one])
    (name,) = [name for name in plain.delivery.list("") if b"id-4" in plain.delivery.get(name)]
    plain.delivery.delete(name)
    plain.file()

    proof = plain.verify(MemorySource(stream, name=SOURCE))

    assert proof.breaches == []
    assert (proof.reread_parts, proof.undelivered, proof.ledger_only_rows) == (6, 1, 0)
    stream.shards[SHARD][1] = stream.shards[SHARD][4]
    del stream.shards[SHARD][5:]
    kinds = {breach.kind for breach in plain.verify(MemorySource(stream, name=SOURCE)).breaches}
    assert kinds == {"other_id", "content", "extra", "shorter"}


@pytest.mark.parametrize("table", ["events", "duplicates", "rejected"])
def test_verify_finds_a_lost_file_of_a_filing(plain, table):
    plain.deliver(some(event(1), event(2), event(1), b"rubbish"))
    plain.file()
    for path in list(plain.platform.storage.list(f"{table}/")):
        plain.platform.storage.delete(path)
    assert "lost" in {breach.kind for breach in plain.verify().breaches}


def test_verify_names_the_sources_that_were_filed(plain):
    plain.deliver(some(event(1)))
    plain.file()
    with pytest.raises(ConfigError, match=SOURCE):
        plain.verify(source_name="kinesis://another")
