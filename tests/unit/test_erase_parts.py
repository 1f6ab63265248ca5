"""The parts of an erasure: what a predicate may be, which rows match, what is kept of ids, what logs lose."""

import gzip
import json
from datetime import UTC, datetime

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from headgate.core.erase_match import Match, Places
from headgate.core.erase_predicate import Predicate
from headgate.core.erased import CLOCK_US, ERASED, digests_of, erased_of, without_old_digests
from headgate.core.inflate import inflated_part
from headgate.core.keys import keys_of
from headgate.core.limits import Limits
from headgate.core.schema import DUPLICATES, EVENTS, REJECTED, SETTLED
from headgate.errors import ConfigError, PermanentError
from headgate.jobs.exclusive import IN_USE, held
from headgate.lake.entry import File, decode_entry, encode, entry_path, new_entry
from headgate.lake.erase_files import DataFile
from headgate.lake.erase_ledger import Left, clean_entries
from headgate.lake.erase_log import clean_versions
from headgate.lake.erase_read import rows_of_file, with_schema
from headgate.lake.erase_receipt import drop_digests, interrupted, record, write_receipt
from headgate.lake.erasures import write_rows
from headgate.testing.lake_rows import NOW_US, SHARD, duplicate_rows, event_rows, rejected_rows
from headgate.testing.memory_storage import MemoryStorage

DAY_US = 86_400_000_000
ARRIVED_US = NOW_US + 500_000  # of all events here
LIMITS = Limits(max_record_bytes=1_000)
SECRET = b"s" * 32
NOBODY, NOTHING = ERASED.empty_table(), SETTLED.empty_table()


def events(*ids: str) -> pa.Table:
    return event_rows([(name, "payment") for name in ids], SHARD)


@pytest.mark.parametrize(
    "text",
    [
        "payload->>'event_uuid' = 'a'",
        "event_uuid IN ('a', 'z') -- a comment",
        "created_datetime > TIMESTAMPTZ '2000-01-01 00:00:00Z' AND event_uuid LIKE 'a%'",
        "CASE WHEN event_type = 'payment' THEN sequence = '0' END",
    ],
)
def test_a_predicate_is_sql_over_the_columns_of_an_event(text):
    assert Predicate(text).holds(events("a", "b")).tolist() == [True, False]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nobody = 1", "nobody"),
        ("payload->>", "syntax"),
        ("true; SELECT 1", "syntax"),
        ("true) FROM events WHERE (true", "nothing around it"),
        ("true) AS a, (true", "nothing around it"),
        ("true) LIMIT (1", "nothing around it"),
        ("(SELECT true)", "subquery"),
        ("EXISTS (FROM read_csv('/etc/passwd'))", "subquery"),
        ("event_uuid = ANY(SELECT 'a')", "subquery"),
        ("event_uuid", "VARCHAR"),
        ("NULL", "not true or false"),
        ("count(*) > 1", "aggregate"),
        ("random() < 2", "volatile"),
        ("getenv('HOME') = 'a'", "getenv"),
        ("?", "--where"),
        ("", "--where"),
    ],
)
def test_anything_else_is_refused(text, said):
    with pytest.raises(ConfigError, match="--where") as refused:
        Predicate(text)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_predicate_that_fails_on_an_event_is_an_error_and_on_a_reject_no_match():
    predicate = Predicate("CAST(payload->>'n' AS INTEGER) = 1")
    table = with_schema(pa.table({"payload": ['{"n":1}', '{"n":"x"}', "{", '{"n":2}']}), EVENTS, {})
    assert predicate.may_hold(table).tolist() == [True, False, False, False]
    with pytest.raises(ConfigError, match="fails"):
        predicate.holds(table)


def test_what_can_be_inflated_of_a_broken_record_is_looked_at():
    text = b"somebody " * 20
    for packed in (gzip.compress(text), zstandard.compress(text)):
        assert inflated_part(packed, LIMITS) == text
        assert inflated_part(packed + packed, LIMITS) == 2 * text
        assert inflated_part(packed + b"rest", LIMITS) == text
        assert len(inflated_part(packed * 10, LIMITS)) == LIMITS.max_record_bytes
        assert inflated_part(packed[:6] + b"\xff" * 8, LIMITS) in (b"", text[:1])
    noise = np.random.default_rng(1).bytes(4_000)
    packed = gzip.compress(b"somebody" + noise)
    assert inflated_part(packed[:-2_000], Limits()).startswith(b"somebody")
    assert inflated_part(text, LIMITS) == b""


def test_a_duplicate_goes_with_its_original_and_a_reject_with_what_became_of_it():
    settled = pa.table(
        [["rejected"], ["source"], ["shard-0"], ["9"], [None], [None], ["r"], ["9#1"], ["accepted"]],
        schema=SETTLED,
    )
    match = Match(Predicate("event_uuid = 'a'"), b"", NOBODY, settled, LIMITS)
    copies = duplicate_rows([("copy", "payment"), ("other", "payment")], SHARD).cast(DUPLICATES)
    assert match.duplicates(copies).tolist() == [False, False]
    match.found("events", pa.table({"source": ["source"] * 2, "shard": ["shard-0"] * 2, "sequence": ["7", "9#1"]}))
    assert match.duplicates(copies).tolist() == [True, True]
    rejects = rejected_rows([b"x"] * 10, SHARD).cast(REJECTED)
    assert match.rejected(rejects).tolist() == [False] * 7 + [True, False, True]


def test_a_reject_matches_by_its_bytes_or_as_an_object():
    match = Match(Predicate("payload->>'a' = '1' OR source = 'source'"), b"some", NOBODY, NOTHING, LIMITS)
    raws = [b'{"a":1}', b'[{"a":1}]', b"\xffsome", gzip.compress(b"some"), gzip.compress(b'{"a":"1"}'), b'{"a":2}', b""]
    assert match.rejected(rejected_rows(raws, SHARD)).tolist() == [True, False, True, True, True, False, False]


def test_rows_of_an_earlier_record_match_wherever_they_still_are():
    recorded = erased_of("events", events("a", "b").slice(1, 1), SECRET)
    match = Match(None, b"", recorded, NOTHING, LIMITS)
    assert match.events(events("a", "b", "c")).tolist() == [False, True, False]
    assert match.typed(events("a", "b", "c")).tolist() == [False, True, False]
    assert match.rejected(rejected_rows([b"1", b"2"], SHARD)).tolist() == [False, True]


def test_positions_with_a_null_are_nowhere():
    places = Places().plus(pa.table({"source": ["s"], "shard": ["a"], "sequence": ["1"]}))
    assert places.holds(pa.array([None, "s\0a\x001"])).tolist() == [False, True]
    assert Places().holds(pa.array(["s"])).tolist() == [False]
    assert len(places.plus(pa.table({"source": ["s"], "shard": ["a"], "sequence": ["1"]}))) == 1


def test_digests_are_kept_while_the_window_may_be_open():
    rows = events("a", "b")
    kept = erased_of("events", rows, SECRET)
    keys = keys_of(rows["event_uuid"].combine_chunks())
    assert kept["digest"].to_pylist() == [bytes(digest) for digest in digests_of(keys, SECRET)]
    for erased_us in (ARRIVED_US + DAY_US, ARRIVED_US - DAY_US):
        last_us = max(erased_us, ARRIVED_US) + DAY_US + CLOCK_US
        assert without_old_digests(kept, erased_us, last_us, DAY_US).equals(kept)
        assert without_old_digests(kept, erased_us, last_us + 1, DAY_US)["digest"].null_count == 2
    copies = duplicate_rows([("a", "payment")], SHARD)
    of_copies = erased_of("duplicates", copies, SECRET).to_pylist()
    assert [(row["original_shard"], row["original_sequence"], row["digest"]) for row in of_copies] == [
        (SHARD.name, "7", None)
    ]


def test_an_interrupted_erasure_keeps_its_digests_until_another_has_finished_it():
    storage = MemoryStorage()
    write_rows(storage, "one", erased_of("events", events("a"), SECRET))
    assert interrupted(storage) == ["one"]
    assert drop_digests(storage, NOW_US + 9 * DAY_US) == 0
    write_rows(storage, "two", NOBODY)
    finished_us = ARRIVED_US // 1_000_000 * 1_000_000 + DAY_US
    finished = datetime.fromtimestamp(finished_us / 1e6, UTC).isoformat()
    write_receipt(storage, "two", {"id": "two", "finished": finished, "window_us": 7 * DAY_US, "continues": ["one"]})
    assert interrupted(storage) == []
    assert drop_digests(storage, finished_us + 8 * DAY_US) == 0
    assert drop_digests(storage, finished_us + 8 * DAY_US + 1) == 1
    assert record(storage, "one")["digest"].null_count == 1
    storage.put("_headgate/erasures/two/receipt.json", b"{")
    with pytest.raises(PermanentError, match=r"two/receipt\.json"):
        drop_digests(storage, NOW_US)


def test_an_entry_keeps_all_but_what_it_says_of_changed_files():
    storage, stats = MemoryStorage(), {"numRecords": 5}
    files = [
        File("events", "events/a", 100, 5, stats=stats),
        File("events", "events/joined-since", 100, 5, stats=stats),
        File("rejected", "staging/b", 100, 5, target="rejected/b", stats=stats),
        File("quality", "quality/c", 100, 5, stats=stats),
    ]
    for number in (1, 2):
        entry = new_entry(f"e{number}", "batch", 1, writer={}, config="", files=files)
        storage.put(entry_path(number), encode(msgspec.structs.replace(entry, number=number)))
    left = {
        "events/a": Left(path="events/new", size=50, rows=3, stats={"numRecords": 3}),
        "rejected/b": Left(path="rejected/b", size=0, rows=0, stats={}),
    }
    assert clean_entries(storage, left, {"events": {"events/new"}}, 1) == 2
    first, second = (decode_entry(storage.get(entry_path(n))).files for n in (1, 2))
    assert first[0] == File("events", "events/new", 50, 3, stats={"numRecords": 3}, erased=2)
    assert first[1] == File("events", "events/joined-since", 100, 5)
    assert first[2] == File("rejected", "staging/b", 0, 0, target="rejected/b", erased=5)
    assert first[3] == files[3]
    assert second == [first[0], files[1], first[2], files[3]]  # not published: its bounds are still needed
    assert clean_entries(storage, left, {"events": {"events/new"}}, 1) == 0


def test_versions_lose_the_statistics_of_files_that_are_not_shown_and_nothing_else():
    storage = MemoryStorage()
    shown = {"add": {"path": "a%20b", "stats": '{"maxValues":{"payload":"them"}}', "tags": {"x": "1"}}}
    gone = {"add": {"path": "gone", "size": 1.5, "stats": '{"maxValues":{"payload":"them"}}'}}
    taken = {"remove": {"path": "gone", "stats": "them", "dataChange": True}}
    other = {"commitInfo": {"operation": "WRITE", "big": 9007199254740993}, "txn": {"stats": 1}}
    lines = [json.dumps(line) for line in (other, shown, gone, taken)]
    storage.put(f"events/_delta_log/{0:020d}.json", "\n".join(lines).encode() + b"\n")
    storage.put(f"events/_delta_log/{1:020d}.json", lines[1].encode() + b"\n")
    assert clean_versions(storage, "events", {"a%20b"}) == 1
    found = storage.get(f"events/_delta_log/{0:020d}.json").splitlines()
    assert found[0].decode() == lines[0]
    assert found[1].decode() == lines[1]
    assert json.loads(found[2]) == {"add": {"path": "gone", "size": 1.5}}
    assert json.loads(found[3]) == {"remove": {"path": "gone", "dataChange": True}}
    assert clean_versions(storage, "events", {"a%20b"}) == 0


def test_a_typed_table_without_positions_has_no_row_that_matches(tmp_path):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"n": [1, 2]}), sink)
    file = DataFile(table="analytics/mine", path="analytics/mine/a.parquet", size=1, state="live")
    rows = list(rows_of_file(file, sink.getvalue().to_pybytes()))
    match = Match(None, b"", erased_of("events", events("a"), SECRET), NOTHING, LIMITS)
    assert [match.typed(some).any() for some in rows] == [False]


class Busy:
    """A lease that is free at the third try."""

    patience_seconds = 0.0

    def __init__(self):
        self.tries = 0

    def try_acquire(self):
        self.tries += 1
        return self.tries >= 3

    def holder(self):
        return "a compaction"

    def release(self):
        self.tries = 0


def test_a_lease_is_waited_for_as_long_as_is_said():
    with pytest.raises(PermanentError, match="a compaction"), held(Busy(), IN_USE):
        pass
    with held(Busy(), IN_USE, 60.0):
        pass
