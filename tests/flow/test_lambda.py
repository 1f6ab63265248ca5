"""The Lambda handler: whatever a mapping repeats, reorders, cuts anew or gives up, each record is judged once."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.config import Config, Dedup, Lake
from headgate.core.ranges import RETENTION_US
from headgate.entrypoints.aws_lambda import admit
from headgate.errors import CommitUnknown, PermanentError, TransientError
from headgate.invocation import InvocationSettings
from headgate.lake.published import read_published
from headgate.records import Counts, Shard
from headgate.telemetry.facts import PublicationLeft
from headgate.testing.action_log import ActionLog
from headgate.testing.containers import Platform
from headgate.testing.event_source_mapping import EventSourceMapping, FunctionError, StreamRecord, kinesis_record
from headgate.testing.laws import check_laws, entries, rows
from headgate.testing.memory_storage import MemoryStorage
from headgate.testing.records import ARRIVED_US
from headgate.testing.scripted_storage import Killed, ScriptedStorage
from headgate.testing.strategies import shards

FIRST = 49590338271490256608559692538361571095921575989136588898  # of sequence numbers, with the gaps of real ones
GAP = 1 << 70
ALWAYS = InvocationSettings(publish_seconds=0.0)
MAPPING = EventSourceMapping()


class NamedDeadline:
    """A context that has a request id, as Lambda's has."""

    def __init__(self, world, request_id):
        self.aws_request_id, self._deadline = request_id, world.deadline(60.0)

    def get_remaining_time_in_millis(self):
        return self._deadline.get_remaining_time_in_millis()


def event(n, **more):
    return json.dumps({"event_uuid": f"id-{n}", "event_name": "a:b", "created_at": 1_790_000_000, **more}).encode()


def record(n, data=None, shard="shardId-000000000000"):
    return StreamRecord(shard, FIRST + n * GAP, event(n) if data is None else data, ARRIVED_US)


def platform(**more):
    return Platform(**{"storage": MemoryStorage(), "settings": ALWAYS, **more})


def invoke(world, some, container=None, seconds=60.0):
    container = container or world.container()
    return admit(container, some if isinstance(some, dict) else MAPPING.event(some), world.deadline(seconds))


def accepted(world):
    return sorted(row["event_uuid"] for row in rows(world, "events"))


def counts(answer):
    return tuple(answer[name] for name in ("received", "accepted", "duplicates", "rejected", "skipped"))


def test_an_invocation_is_one_batch_and_one_entry_and_answers_with_its_counts():
    world = platform()

    answer = invoke(world, [record(0), record(1), record(2, event(1)), record(3, b"rubbish")])

    assert answer == {
        "received": 4, "accepted": 2, "duplicates": 1, "rejected": 1, "skipped": 0,
        "ledger_number": 2, "batchItemFailures": [],
    }  # fmt: skip
    (batch,) = [entry for entry in entries(world.storage) if entry.kind == "batch"]
    (moved,) = batch.ranges
    assert (moved.source, moved.shard, moved.is_island) == ("kinesis://stream", "shardId-000000000000", True)
    assert (moved.start, moved.end) == (str(FIRST), str(FIRST + 3 * GAP + 1))
    assert [row["arrived_at"] for row in rows(world, "events")] == [rows(world, "events")[0]["arrived_at"]] * 2


def test_a_repeated_invocation_skips_every_record():
    world = platform()
    some = [record(n) for n in range(5)]
    first, again = invoke(world, some), invoke(world, some)
    assert counts(first) == (5, 5, 0, 0, 0)
    assert counts(again) == (0, 0, 0, 0, 5)
    assert len(accepted(world)) == 5


def test_a_late_batch_is_judged_though_it_lies_before_the_last_position():
    world = platform()
    invoke(world, [record(5), record(6)])
    assert counts(invoke(world, [record(1), record(2)])) == (2, 2, 0, 0, 0)
    assert len(accepted(world)) == 4


def test_of_a_batch_that_overlaps_committed_ones_only_the_rest_is_judged_in_one_entry():
    world = platform()
    invoke(world, [record(2), record(3)])
    invoke(world, [record(6), record(7)])

    answer = invoke(world, [record(n) for n in range(10)])

    assert counts(answer) == (6, 6, 0, 0, 4)
    last = entries(world.storage)[-1]
    spans = [(int(r.start), int(r.end)) for r in last.ranges]
    assert spans == [(FIRST + a * GAP, FIRST + b * GAP + 1) for a, b in ((0, 1), (4, 5), (8, 9))]
    assert len(accepted(world)) == 10


def test_batches_of_one_shard_that_interleave_are_refused_by_the_name_of_the_setting():
    world = platform()
    invoke(world, [record(n) for n in range(0, 40, 2)])
    with pytest.raises(PermanentError, match="ParallelizationFactor"):
        invoke(world, [record(n) for n in range(1, 41, 2)])
    assert len(accepted(world)) == 20


def test_several_shards_may_stand_in_one_event():
    world = platform()
    answer = invoke(world, [record(0), record(1, shard="shardId-000000000001"), record(2)])
    assert counts(answer) == (3, 3, 0, 0, 0)
    assert {shard.name for shard in world.lake().refresh().shards} == {"shardId-000000000000", "shardId-000000000001"}


def test_a_poison_batch_is_rejected_and_does_not_raise():
    world = platform()
    poison = [b"", b"\xff\xfe", b"[" * 100_000, b'{"event_uuid":', b"null", b"\x1f\x8b broken gzip", b'"\\ud800"']
    answer = invoke(world, [record(n, data) for n, data in enumerate(poison)])
    assert (answer["accepted"], answer["duplicates"]) == (0, 0)
    assert answer["rejected"] == answer["received"] >= len(poison) - 1


WHOLE = {"event_uuid": "u", "event_name": "a:b", "created_at": 1_790_000_000}


@pytest.mark.parametrize(
    "odd",
    [
        {"data": [WHOLE]},
        {"data": [json.dumps(WHOLE)]},
        {"Records": [{"kinesis": {"data": json.dumps(WHOLE)}}]},
        {"Records": [{"kinesis": {"data": WHOLE}}]},
        {"Records": [{"data": json.dumps(WHOLE)}]},
        {"Records": [WHOLE]},
        {"Records": [json.dumps(WHOLE)]},
        {"Records": [{"kinesis": {"data": WHOLE, "sequenceNumber": "abc", "approximateArrivalTimestamp": None}}]},
        {"Records": [{"kinesis": {"data": WHOLE, "sequenceNumber": 7}, "eventID": 3, "eventSourceARN": "x"}]},
        {"Records": [{"kinesis": {"data": WHOLE}, "eventID": "shardId-000000000003:17"}]},
    ],
)
def test_events_as_people_write_them_for_a_test_are_taken(odd):
    world = platform()
    assert counts(invoke(world, odd)) == (1, 1, 0, 0, 0)
    (row,) = rows(world, "events")
    assert json.loads(row["payload"]) == WHOLE


@pytest.mark.parametrize(
    "strange", [{}, [], None, "x", {"Records": 3}, {"Records": [{"eventSource": "aws:sqs", "body": ""}]}]
)
def test_an_event_of_another_kind_is_refused(strange):
    world = platform()
    with pytest.raises(PermanentError):
        admit(world.container(), strange, world.deadline())
    assert world.lake().refresh().number == 0


@pytest.mark.parametrize("empty", [{"Records": []}, {"data": []}])
def test_an_event_without_records_is_answered_with_zeros(empty):
    world = platform()
    assert counts(invoke(world, empty)) == (0, 0, 0, 0, 0)


def test_a_direct_invocation_that_is_retried_admits_its_events_once():
    """Lambda keeps the request id when it retries an asynchronous invocation."""
    world = platform()
    log = ActionLog(faults={12: "killed before"})
    events = {"data": [json.loads(event(n)) for n in range(3)]}
    with pytest.raises(Killed):
        admit(world.container(log), events, NamedDeadline(world, "request-1"))
    again = admit(world.container(), events, NamedDeadline(world, "request-1"))
    assert counts(again)[:2] in ((3, 3), (0, 0))
    world.lake().publish()
    assert accepted(world) == ["id-0", "id-1", "id-2"]
    assert counts(admit(world.container(), events, NamedDeadline(world, "request-1"))) == (0, 0, 0, 0, 3)
    assert counts(admit(world.container(), events, NamedDeadline(world, "request-2"))) == (3, 0, 3, 0, 0)


def test_an_old_test_event_does_not_cost_a_shared_store_its_claims():
    world = platform()
    invoke(world, [record(0)])
    world.store.expire(ARRIVED_US + 30 * 24 * 3600 * 1_000_000)  # what arrived before is forgotten by now
    held = world.store.generation
    old = StreamRecord(
        "shardId-000000000009", FIRST, event(9, created_at=1_428_000_000), 1_428_537_600_000_000
    )  # as the console's own has it

    assert counts(invoke(world, [old])) == (1, 1, 0, 0, 0)

    assert world.store.expired_us > 0
    assert world.store.generation == held


def test_a_test_event_with_the_same_sequence_number_everywhere_loses_nothing():
    world = platform()
    copies = [record(0), record(0), record(0, event(1))]
    assert counts(invoke(world, copies)) == (2, 2, 0, 0, 1)


def test_direct_invocations_at_the_same_instant_do_not_disturb_each_other():
    world = platform()
    for _ in range(3):
        answer = invoke(world, {"data": [json.loads(event(n)) for n in range(4)]})
    assert counts(answer) == (4, 0, 4, 0, 0)
    assert len(accepted(world)) == 4


def test_a_consumers_stream_is_named_as_by_the_mapping_of_an_enhanced_consumer():
    world = platform()
    one = kinesis_record(record(0))
    one["eventSourceARN"] += "/consumer/fan:1560280000"
    invoke(world, {"Records": [one]})
    assert [shard.source for shard in world.lake().refresh().shards] == ["kinesis://stream"]


def test_invocations_share_a_publication_until_it_is_due():
    world = platform(settings=InvocationSettings(publish_seconds=10.0))
    container = world.container()
    invoke(world, [record(0)], container)
    for n in range(1, 5):
        invoke(world, [record(n)], world.container())
    assert len(accepted(world)) == 1
    world.clock.sleep(10.0)

    invoke(world, [record(5)], container)

    assert len(accepted(world)) == 6
    assert read_published(world.storage).number == 7


def test_a_repeated_invocation_shows_what_nobody_showed():
    world = platform(settings=InvocationSettings(publish_seconds=10.0))
    invoke(world, [record(0)])
    invoke(world, [record(1)])
    world.clock.sleep(10.0)
    invoke(world, [record(1)])
    assert len(accepted(world)) == 2


def test_a_publication_that_fails_does_not_fail_the_committed_batch():
    world = platform()
    log = ActionLog()
    log.fail("storage.rename", "error before")
    answer = invoke(world, [record(0)], world.container(log))
    assert counts(answer) == (1, 1, 0, 0, 0)
    assert len(world.telemetry.of(PublicationLeft)) == 1
    assert accepted(world) == []
    assert counts(invoke(world, [record(0)])) == (0, 0, 0, 0, 1)
    assert len(accepted(world)) == 1


def test_it_gives_up_before_its_deadline_and_leaves_nothing_behind():
    world = platform()
    world.lake().close()
    broken = world.container(ActionLog(faults=dict.fromkeys(range(1_000), "error before")))

    with pytest.raises(TransientError, match="come again"):
        invoke(world, [record(0)], broken, seconds=20.0)

    assert 5.0 < world.clock.monotonic() < 20.0
    assert entries(world.storage) == [] or entries(world.storage)[-1].kind == "note"
    assert counts(invoke(world, [record(0)])) == (1, 1, 0, 0, 0)


def test_an_invocation_without_time_raises_before_it_claims():
    world = platform()
    with pytest.raises(TransientError):
        invoke(world, [record(0)], seconds=2.0)
    assert world.store.statistics()["claims"] == 0


def test_where_little_time_is_left_after_the_commit_the_publication_is_left_to_others():
    world = platform()
    world.lake().close()
    log = ActionLog()
    log.when("storage.put_if_absent", lambda: world.clock.sleep(30.0), nth=2)  # the entry of the batch
    container = world.container(log)
    answer = invoke(world, [record(0)], container, seconds=33.0)
    assert answer["accepted"] == 1
    assert accepted(world) == []


def test_a_commit_whose_answer_was_lost_is_found_and_not_made_twice():
    world = platform()
    world.lake().close()
    for nth in range(1, 4):
        log = ActionLog()
        log.fail("storage.put_if_absent", "error after", nth=nth)
        assert counts(invoke(world, [record(nth)], world.container(log)))[1] == 1
    assert len(accepted(world)) == 3
    check_conservation(world)


def test_a_commit_whose_outcome_cannot_be_told_is_looked_for_before_it_is_tried_again():
    storage = ScriptedStorage(MemoryStorage())
    world = platform(storage=storage)
    invoke(world, [record(0)])
    storage.fail("put_if_absent", "_headgate/ledger/", "silent")
    assert counts(invoke(world, [record(1)])) == (1, 1, 0, 0, 0)
    assert len(accepted(world)) == 2
    check_conservation(world)


def test_a_claim_store_that_lost_its_data_is_filled_before_the_next_verdict():
    world = platform()
    container = world.container()
    invoke(world, [record(0), record(1)], container)
    world.store.renew()

    answer = invoke(world, [record(2, event(0)), record(3)], container)

    assert counts(answer) == (2, 1, 1, 0, 0)
    assert world.lake().refresh().generation == world.store.generation


def test_a_claim_store_that_loses_its_data_while_a_batch_is_judged():
    world = platform()
    invoke(world, [record(0), record(1)])
    log = ActionLog()
    log.when("claims.sync", world.store.renew, nth=2)
    assert counts(invoke(world, [record(2, event(0)), record(3)], world.container(log))) == (2, 1, 1, 0, 0)


def test_event_types_beyond_the_limit_are_rejected_in_commit_order():
    world = platform(config=Config(lake=Lake(max_event_types=1)))
    invoke(world, [record(0)])
    other = {**json.loads(event(9)), "event_name": "other"}
    assert counts(invoke(world, [record(1, json.dumps(other).encode())])) == (1, 0, 0, 1, 0)


def test_records_below_the_position_are_done_with():
    world = platform(settings=InvocationSettings(publish_seconds=0.0, retention_us=RETENTION_US))
    invoke(world, [record(0), record(1)])
    world.clock.sleep(RETENTION_US / 1e6 + 1)
    invoke(world, [record(5)])
    state = world.lake().refresh().shards[Shard("kinesis://stream", "shardId-000000000000")]
    assert state.position == str(FIRST + GAP + 1)
    assert counts(invoke(world, [record(1), record(2)])) == (1, 1, 0, 0, 1)


def check_conservation(world):
    for entry in entries(world.storage):
        assert entry.counts.is_conserved
        assert sum((r.counts for r in entry.ranges), Counts()) == entry.counts


def stream_of(held):
    return [
        StreamRecord(name, FIRST + n * GAP, one.data, one.arrived_us // 1000 * 1000)
        for name, some in held.items()
        for n, one in enumerate(some)
    ]


def as_sent(sent):
    return [
        part._replace(
            sequence=FIRST + part.sequence * GAP,
            text=part.text.replace(str(part.sequence), str(FIRST + part.sequence * GAP), 1),
            arrived_us=part.arrived_us // 1000 * 1000,
        )
        for part in sent
    ]


@st.composite
def scripts(draw, stream):
    """Any cut into batches, in any order, any of them repeated; faults in some invocations."""
    cuts = draw(st.integers(1, 4))
    batches = list(EventSourceMapping(batch_size=cuts).batches(stream))
    order = draw(st.permutations(batches))
    repeats = draw(st.lists(st.sampled_from(batches), max_size=4)) if batches else []
    other = draw(st.integers(1, 5))
    recut = list(EventSourceMapping(batch_size=other).batches(stream)) if draw(st.booleans()) else []
    faults = st.dictionaries(
        st.integers(0, 45),
        st.sampled_from(("error before", "error after", "killed before", "killed after")),
        max_size=2,
    )
    return [(batch, draw(faults)) for batch in [*order, *repeats, *recut, *batches]]


@pytest.mark.parametrize("table_format", ["parquet", "json"])
@settings(max_examples=12)
@given(world=shards(), script=st.data())
def test_any_cut_order_and_repetition_gives_each_record_once(table_format, world, script):
    held, sent = world
    stream = stream_of(held)
    world = platform(table_format=table_format, config=Config(dedup=Dedup(window="100s")))
    container = None
    disturbed = set()  # their claims may be overtaken, more than a window later, before they come again
    for batch, faults in script.draw(scripts(stream)):
        log = ActionLog(faults=faults)
        try:
            container = world.container(log) if faults or container is None else container
            invoke(world, batch, container)
        except (Killed, TransientError, CommitUnknown):
            container = None
            disturbed |= {(one.shard, str(one.sequence)) for one in batch}
    for batch in MAPPING.batches(stream):
        invoke(world, batch)
    world.lake().publish()
    check_laws(world, as_sent(sent), may_be_orphan=lambda place: (place[0], place[1].split("#")[0]) in disturbed)


@settings(max_examples=20)
@given(world=shards(), fail=st.lists(st.booleans(), max_size=12), is_bisected=st.booleans(), size=st.integers(1, 6))
def test_a_mapping_that_retries_and_bisects_loses_nothing(world, fail, is_bisected, size):
    held, sent = world
    world = platform(config=Config(dedup=Dedup(window="100s")))
    lost = iter(fail)

    def answer(event):
        result = invoke(world, event)
        if next(lost, False):
            raise FunctionError("the answer was lost")
        return result

    EventSourceMapping(batch_size=size, is_bisected=is_bisected).drive(stream_of(held), answer)
    check_laws(world, as_sent(sent))
