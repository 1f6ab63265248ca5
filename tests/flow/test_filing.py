"""Filing what Firehose delivered: each event once, whatever is delivered twice, late, beside it, or not at all."""

import pyarrow as pa
import pytest

from headgate.errors import ConfigError, PermanentError
from headgate.jobs.filing import Filed, FilingSettings
from headgate.jobs.transform import FIREHOSE
from headgate.lake.local import LocalStorage
from headgate.lake.read import dataset
from headgate.records import Counts
from headgate.testing.filing_world import FIRST, SHARD, SOURCE, WINDOW_US, FilingWorld, event, record
from headgate.testing.records import ARRIVED_US


@pytest.fixture(params=["delta", "parquet", "json"])
def world(request, tmp_path):
    return FilingWorld(folder=tmp_path, table_format=request.param)


@pytest.fixture
def plain(tmp_path):
    return FilingWorld(folder=tmp_path)


def some(*parts, start=0, arrived_us=ARRIVED_US):
    return [record(start + n, data, arrived_us + n * 1_000) for n, data in enumerate(parts)]


def proven(world):
    proof = world.verify()
    assert proof.breaches == []
    return proof


def test_accepted_duplicates_and_rejects_are_filed_with_their_positions(world):
    world.deliver(some(event(1), event(2), event(1), b"rubbish", event(3, event_name="other")))

    filed = world.file()

    assert (filed.counts, filed.redelivered, filed.waiting) == (Counts(5, 3, 1, 1), 0, 0)
    assert world.ids() == ["id-1", "id-2", "id-3"]
    assert {(row["source"], row["shard"], row["sequence"]) for row in world.rows("events")} == {
        (SOURCE, SHARD, str(FIRST + n)) for n in (0, 1, 4)
    }
    (duplicate,) = world.rows("duplicates")
    assert (duplicate["original_sequence"], duplicate["conflict"]) == (str(FIRST), False)
    (reject,) = world.rows("rejected")
    assert (reject["raw"], reject["reason"]) == (b"rubbish", "malformed_json")
    assert proven(world).counts == Counts(5, 3, 1, 1)


def test_twice_changes_nothing(world):
    world.deliver(some(event(1), event(1), b"rubbish"))
    first = world.file()
    assert world.file() == Filed(number=first.number)
    proven(world)


def test_a_payload_is_filed_byte_for_byte(plain):
    payload = b'{ "created_at" : 1790000000000,\n"event_uuid":"u", "event_name":"a:b"}'
    plain.deliver(some(payload))
    plain.file()
    assert [row["payload"].encode() for row in plain.rows("events")] == [payload]


def test_gzip_is_read(plain):
    plain.is_gzip = True
    plain.deliver(some(event(1), event(2)))
    assert plain.file().counts.accepted == 2


def test_what_is_delivered_again_is_counted_and_dropped(world):
    records = some(event(1), event(2), event(1))
    world.deliver(records)
    world.deliver(records)

    filed = world.file()

    assert (filed.counts, filed.redelivered) == (Counts(3, 2, 1, 0), 2)
    world.platform.clock.step(9 * 24 * 3600)
    world.deliver(records)  # days later
    again = world.file()
    assert (again.counts, again.objects, again.redelivered) == (Counts(), 1, 2)
    assert world.ids() == ["id-1", "id-2"]
    proven(world)


def test_an_object_that_the_ledger_knows_is_not_read_again(plain):
    plain.deliver(some(event(1)))
    plain.file()
    (name,) = plain.delivery.list("")
    size = plain.delivery.size(name)
    plain.delivery.put(name, b"x" * size)  # would be refused
    plain.deliver(some(event(2), start=10))
    assert plain.file().objects == 1
    assert plain.ids() == ["id-1", "id-2"]


def test_an_object_that_grew_is_read_again(plain):
    plain.deliver(some(event(1), event(2)))
    (name,) = plain.delivery.list("")
    whole = plain.delivery.get(name)
    plain.delivery.put(name, whole.splitlines(keepends=True)[0])
    plain.file()
    plain.delivery.put(name, whole)
    filed = plain.file()
    assert (filed.counts.accepted, filed.redelivered) == (1, 1)


def test_objects_are_filed_in_batches_and_long_ones_in_pieces(plain):
    plain.settings = FilingSettings(window_us=WINDOW_US, batch_bytes=1_000)
    for start in range(0, 40, 10):
        plain.deliver(some(*(event(n) for n in range(start, start + 10)), start=start))
    filed = plain.file()
    assert filed.entries > 4
    assert (filed.counts.accepted, filed.objects) == (40, 4)
    assert plain.file().entries == 0
    assert proven(plain).rows["events"] == 40


def test_events_of_a_lost_claim_store_are_duplicates_of_the_first(world):
    world.deliver(some(event(1), event(2)))
    world.platform.store.renew()
    world.deliver(some(event(1, more=1), event(3), event("1"), start=10))  # the ledger knows of none

    filed = world.file()

    assert filed.accepted_again == 1
    assert world.ids() == ["id-1", "id-2", "id-3"]
    originals = [(row["sequence"], row["original_sequence"], row["conflict"]) for row in world.rows("duplicates")]
    assert sorted(originals) == [(str(FIRST + 10), str(FIRST), True), (str(FIRST + 12), str(FIRST), False)]
    proven(world)


def test_so_they_are_when_the_first_was_filed_before(world):
    old = {"created_at": 1_780_000_000}
    late = []
    for start, arrived_us in ((10, ARRIVED_US + WINDOW_US), (20, ARRIVED_US - WINDOW_US), (0, ARRIVED_US)):
        world.deliver(some(event(1, more=start, **old), start=start, arrived_us=arrived_us))
        world.platform.store.renew()
        late += [(name, world.delivery.get(name)) for name in world.delivery.list("")]
        world.delivery.delete(late[-1][0])
    world.delivery.put(*late.pop())
    world.file()
    for name, content in late:
        world.delivery.put(name, content)
    assert world.file().accepted_again == 2
    assert [row["sequence"] for row in world.rows("events")] == [str(FIRST)]
    assert {row["original_sequence"] for row in world.rows("duplicates")} == {str(FIRST)}
    assert all(row["conflict"] for row in world.rows("duplicates"))
    proven(world)


def test_beyond_the_window_an_id_is_accepted_again(plain):
    plain.deliver(some(event(1)))
    plain.file()
    plain.deliver(some(event(1), start=10, arrived_us=ARRIVED_US + WINDOW_US + 1_000))
    filed = plain.file()
    assert (filed.counts, filed.accepted_again) == (Counts(1, 1, 0, 0), 0)
    proven(plain)


def test_a_rebuilt_claim_store_knows_what_was_filed(plain):
    plain.deliver(some(event(1), event(2)))
    plain.file()
    plain.platform.store.renew()
    plain.deliver([*some(event(1), event(3), start=10), record(1, event(2), ARRIVED_US + 1_000, times=2)])
    filed = plain.file()
    assert (filed.counts, filed.accepted_again, filed.redelivered) == (Counts(2, 1, 1, 0), 0, 1)
    (duplicate,) = plain.rows("duplicates")
    assert (duplicate["original_shard"], duplicate["original_sequence"]) == (SHARD, str(FIRST))
    proven(plain)


def test_a_duplicate_waits_for_its_original_for_a_day(plain):
    plain.deliver(some(event(1), event(1)))
    (name,) = plain.delivery.list("")
    held = plain.delivery.get(name)
    plain.delivery.delete(name)  # Firehose has not delivered it yet

    assert (plain.file().counts, plain.file().waiting) == (Counts(), 1)
    plain.delivery.put(name, held)
    filed = plain.file()
    assert (filed.counts, filed.waiting) == (Counts(2, 1, 1, 0), 0)
    proven(plain)


def test_a_duplicate_whose_original_never_comes_is_filed_and_named(plain):
    plain.deliver(some(event(1), event(1)))
    for name in list(plain.delivery.list("")):
        plain.delivery.delete(name)
    plain.file()
    plain.platform.clock.step(25 * 3600)
    assert plain.file().counts == Counts(1, 0, 1, 0)
    assert [breach.kind for breach in plain.verify().breaches] == ["orphan"]


def test_what_was_kept_goes_a_day_after_it_was_filed(plain):
    plain.deliver(some(event(1), event(1), b"rubbish"))
    before = len(list(plain.platform.storage.list(FIREHOSE)))
    plain.file()
    plain.platform.clock.step(23 * 3600)
    plain.file()
    assert len(list(plain.platform.storage.list(FIREHOSE))) == before == 2
    plain.platform.clock.step(2 * 3600)
    plain.deliver(some(b"more rubbish", start=10))
    plain.file()
    assert len(list(plain.platform.storage.list(FIREHOSE))) == 1
    assert [len(plain.rows(table)) for table in ("events", "duplicates", "rejected")] == [1, 1, 2]
    proven(plain)


def test_a_verdict_that_changed_after_it_was_filed_is_not_filed_twice(plain):
    plain.deliver(some(event(1), b"rubbish"))
    (name,) = plain.delivery.list("")
    plain.file()
    content = plain.delivery.get(name)
    plain.delivery.put("late", content.replace(str(FIRST).encode(), str(FIRST + 1).encode()))
    filed = plain.file()
    assert (filed.counts, filed.redelivered) == (Counts(), 1)
    proven(plain)


def test_a_line_that_no_transformation_made_is_a_reject(plain):
    plain.deliver(some(event(1), event(2)))
    (name,) = plain.delivery.list("")
    content = plain.delivery.get(name)
    plain.delivery.put(name, b"\nstrange\n" + content + b'{"event_uuid":"x"}')
    filed = plain.file()
    assert filed.counts == Counts(4, 2, 0, 2)
    assert sorted((row["raw"], row["shard"], row["sequence"]) for row in plain.rows("rejected")) == [
        (b"strange", name, "1"),
        (b'{"event_uuid":"x"}', name, str(len(content) + 9)),
    ]
    proven(plain)


@pytest.mark.parametrize("content", [b"PAR1 no lines", b'{"a":1}\n', b"\x1f\x8b no gzip"])
def test_an_object_of_another_kind_stops_the_filing(plain, content):
    plain.deliver(some(event(1)))
    plain.delivery.put("zzz", content)
    with pytest.raises(PermanentError, match="zzz"):
        plain.file()


def test_types_beyond_the_limit_stop_the_filing(plain):
    plain.deliver(some(event(1)))
    (name,) = plain.delivery.list("")
    content = plain.delivery.get(name)
    plain.delivery.put(name, content.replace(b'"event_type":"a"', b'"event_type":"z"'))
    plain.settings = FilingSettings(window_us=WINDOW_US, max_event_types=1)
    with pytest.raises(PermanentError, match="max_event_types"):
        plain.file()


@pytest.mark.parametrize("where", ["lake/events", "lake", ""])
def test_a_delivery_inside_the_lake_is_refused(plain, where):
    with pytest.raises(ConfigError, match="outside the lake"):
        plain.file(delivery=LocalStorage(plain.folder / where))


def test_nothing_delivered_is_nothing_filed(world):
    assert world.file() == Filed()
    assert all(world.rows(table) == [] for table in ("events", "duplicates", "rejected", "quality"))


def test_quality_says_what_was_filed(plain):
    plain.deliver(some(event(1), event(2), event(1, more=1), b"rubbish", event(3, event_name="other")))
    plain.file()
    rows = {}
    for row in plain.rows("quality"):
        before = rows.setdefault(row["event_type"], [0, 0, 0, 0, 0, {}])
        names = ("received", "accepted", "duplicates", "conflicts", "rejected")
        rows[row["event_type"]] = [*(a + row[name] for a, name in zip(before[:5], names, strict=True)),
                                   before[5] | dict(row["reasons"])]  # fmt: skip
    assert rows == {
        "a": [3, 2, 1, 1, 0, {}],
        "other": [1, 1, 0, 0, 0, {}],
        None: [1, 0, 0, 0, 1, {"malformed_json": 1}],
    }
    assert sum(row["payload_bytes"] for row in plain.rows("quality")) > 0
    for row in plain.rows("quality"):  # what is not delivered is not known
        events = row["accepted"] + row["duplicates"]
        assert {row[name] for name in ("rule_passes", "rule_failures", "units", "dedup_seconds", "shard_lag")} == {None}
        assert sum(dict(row["created_to_arrived"]).values()) == sum(dict(row["arrived_to_staged"]).values()) == events
    assert pa.table({"t": [row["staged_at"] for row in plain.rows("quality")]})["t"].null_count == 0


def test_quality_of_a_filing_knows_missing_fields_by_their_reasons(plain):
    plain.deliver(some(b'{"event_name": "a"}', b'{"event_uuid": "1", "event_name": "a"}', event(1), b"{}", b"rubbish"))
    plain.file()
    missing = {}
    for row in plain.rows("quality"):
        for field, count in row["missing"]:
            missing[row["event_type"], field] = missing.get((row["event_type"], field), 0) + count
    assert missing == {("a", "event_uuid"): 1, ("a", "created_at"): 1, (None, "event_uuid"): 1}


def test_only_files_of_the_time_are_looked_at(tmp_path):
    world = FilingWorld(folder=tmp_path, table_format="delta")
    for day in range(3):
        world.deliver(some(event(day), start=day, arrived_us=ARRIVED_US + day * 24 * 3600 * 1_000_000))
        world.file()
    late = ARRIVED_US + 2 * 24 * 3600 * 1_000_000
    spans = [None, (0, late), (late, late), (late + 2_000, late + 9_000)]
    found = [dataset(world.platform.storage, "events", arrived_us=span) for span in spans]
    assert [len(list(one.get_fragments())) for one in found] == [3, 3, 1, 0]
