"""Positions, lineage and errors of Kinesis, without a stream."""

import boto3
import pytest
from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError
from hypothesis import example, given
from hypothesis import strategies as st

from headgate.errors import ConfigError, HeadgateError, PermanentError, TransientError
from headgate.records import Counts, Receipt, Shard, ShardState
from headgate.source.kinesis.answers import Answer, answer_of, records_of
from headgate.source.kinesis.faults import REACTIONS, ExpiredError, MissingError, RefusedError, kinesis_error
from headgate.source.kinesis.lineage import Lineage, ShardInfo
from headgate.source.kinesis.positions import (
    MAX_SEQUENCE,
    Place,
    StreamIdentity,
    meta_of,
    place_of,
    sequence_numbers,
)
from headgate.source.kinesis.progress import Progress

STREAM = StreamIdentity(arn="arn:aws:kinesis:us-east-1:1:stream/s", created_us=5)
INFO = ShardInfo(name="a", start="49680416134313412584301755695956447753588730980307304466", hash_range=("0", "9"))
OPERATIONS = ("DescribeStreamSummary", "ListShards", "GetShardIterator", "GetRecords", "PutRecords")


def test_what_the_ledger_keeps_is_read_back():
    place = Place(position=int(INFO.start) + 7, seen_us=3, begin_us=2, is_end=True)
    state = ShardState(position=str(place.position), meta=meta_of(place, INFO, STREAM))
    assert place_of(state) == place


def test_facts_of_the_tip_and_the_end_hold_only_where_they_were_seen():
    """A range that was cut in two carries the facts of its end on both halves."""
    place = Place(position=int(INFO.start) + 7, seen_us=3, begin_us=2, is_end=True)
    cut = place_of(ShardState(position=str(place.position - 1), meta=meta_of(place, INFO, STREAM)))
    assert cut == Place(position=place.position - 1, begin_us=2)


def test_a_shard_that_is_closed_in_the_ledger_has_ended():
    assert place_of(ShardState(position="5", closed=True)).is_end


@pytest.mark.parametrize(("position", "last"), [(None, None), (int(INFO.start), None), (int(INFO.start) + 9, 8)])
def test_the_last_record_is_one_before_the_position(position, last):
    found = Place(position=position).last(INFO)
    assert found == (None if last is None else int(INFO.start) + last)


@pytest.mark.parametrize("text", ["", "-1", "1.0", "1_0", "x", "9" * 60])
def test_what_is_no_sequence_number_is_refused(text):
    with pytest.raises(PermanentError, match="no sequence number"):
        sequence_numbers(["1", text, "2"])


def test_sequence_numbers_are_compared_as_integers():
    assert sequence_numbers(["9", "10", "0" * 5 + "11"]) == [9, 10, 11]
    assert sequence_numbers([]) == []


@given(st.lists(st.integers(0, MAX_SEQUENCE)))
@example([0, 2**64 - 1, 2**64, 2**128 - 1, 2**191, MAX_SEQUENCE])
def test_a_record_ends_where_the_next_sequence_number_is(numbers):
    answer = Answer(
        data=[b""] * len(numbers),
        sequences=numbers,
        arrived_us=[0] * len(numbers),
        next_iterator=None,
        behind_ms=0,
    )
    table = records_of(answer)
    assert [int.from_bytes(value, "big") for value in table["sequence"].to_pylist()] == numbers
    assert [int.from_bytes(value, "big") for value in table["end"].to_pylist()] == [number + 1 for number in numbers]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"Records":1}', b'{"Records":[{"Data":"?"}]}', b"<html>"])
def test_an_answer_that_cannot_be_read_is_asked_for_again(body):
    with pytest.raises(TransientError):
        answer_of(body)


def shards(**parents):
    return [ShardInfo(name=name, parents=tuple(of)) for name, of in parents.items()]


def test_parents_come_before_children():
    lineage = Lineage(shards(a="", b="", c="ab", d="c", e="z"))
    done = set()
    ready = lambda: {info.name for info in lineage.ready(done.__contains__)}  # noqa: E731
    assert ready() == {"a", "b", "e"}
    done.add("a")
    assert ready() == {"b", "e"}
    done |= {"b", "e"}
    assert ready() == {"c"}
    done.add("c")
    assert ready() == {"d"}


def test_what_is_listed_counts_over_what_a_parent_named():
    lineage = Lineage([ShardInfo(name="a", parents=("p",))])
    listed = ShardInfo(name="a", parents=("p",), start="7")
    lineage.learn([listed])
    lineage.learn([ShardInfo(name="a", parents=("p",))])
    assert lineage.shards["a"] == listed


def test_a_receipt_that_comes_late_changes_nothing():
    progress = Progress("s", STREAM, {})
    progress.lineage.learn([INFO])
    start = int(INFO.start)
    ranges = [progress.give(INFO, Place(position=start + n, seen_us=n, is_end=n == 2)) for n in (1, 2)]
    receipts = [Receipt(number=1, entry_id="e", ranges=[r], counts=Counts(), committed_us=0) for r in ranges]
    for receipt in (*receipts, receipts[0]):
        progress.take_in(receipt)
    assert progress.is_done("a")
    assert [r.start for r in ranges] == [None, str(start + 1)]


def test_the_horizon_is_the_least_of_what_may_still_come():
    progress = Progress("s", STREAM, {})
    progress.lineage.learn([ShardInfo(name="a"), ShardInfo(name="b"), ShardInfo(name="c", parents=("a",))])
    assert progress.horizon_us() is None

    def commit(name, place):
        part = progress.give(progress.lineage.shards[name], place)
        progress.take_in(Receipt(number=1, entry_id="e", ranges=[part], counts=Counts(), committed_us=0))

    commit("a", Place(position=1, seen_us=50))
    assert progress.horizon_us() is None  # nothing is known of b
    commit("b", Place(position=1, seen_us=70))
    assert progress.horizon_us() == 50
    commit("a", Place(position=1, seen_us=60, is_end=True))
    assert progress.horizon_us() == 60  # the child begins where its parent ended
    commit("c", Place(position=1, seen_us=90))
    assert progress.horizon_us() == 70


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_error_that_the_service_declares_has_a_reaction(operation):
    client = boto3.client("kinesis", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    declared = {shape.name for shape in client.meta.service_model.operation_model(operation).error_shapes}
    assert declared <= REACTIONS.keys()


@pytest.mark.parametrize("code", REACTIONS)
@pytest.mark.parametrize("has_worked", [False, True])
def test_each_reaction_is_a_family_of_errors(code, has_worked):
    error = kinesis_error(client_error(code), "GetRecords", has_worked=has_worked)
    families = {
        "retry": TransientError,
        "expired": ExpiredError,
        "access": TransientError if has_worked else ConfigError,
        "missing": MissingError,
        "refused": RefusedError,
    }
    assert type(error) is families[REACTIONS[code]]
    assert code in str(error)


@pytest.mark.parametrize(
    ("status", "family"), [(500, TransientError), (503, TransientError), (400, RefusedError), (403, RefusedError)]
)
def test_a_code_that_nobody_knows_goes_by_its_status(status, family):
    assert type(kinesis_error(client_error("SomethingNew", status), "GetRecords", has_worked=True)) is family


def client_error(code, status=400):
    return ClientError({"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}, "op")


SDK_ERRORS = [
    kind
    for kind in vars(exceptions).values()
    if isinstance(kind, type) and issubclass(kind, BotoCoreError) and kind is not BotoCoreError
]


@pytest.mark.parametrize("kind", SDK_ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_of_the_sdk_becomes_one_of_headgates(kind):
    error = kind.__new__(kind)
    Exception.__init__(error, "said")
    assert isinstance(kinesis_error(error, "GetRecords", has_worked=False), HeadgateError)


def test_missing_credentials_are_a_wrong_configuration():
    assert type(kinesis_error(exceptions.NoCredentialsError(), "GetRecords", has_worked=False)) is ConfigError


def test_shards_of_another_source_are_no_business_of_this_one():
    progress = Progress("s", STREAM, {})
    progress.lineage.learn([INFO])
    part = progress.give(INFO, Place(position=1, is_end=True))
    other = Receipt(
        number=1,
        entry_id="e",
        ranges=[type(part)(shard=Shard("other", "a"), start=None, end="1", meta=part.meta)],
        counts=Counts(),
        committed_us=0,
    )
    progress.take_in(other)
    assert not progress.is_done("a")


def test_a_shard_of_which_nothing_was_read_cannot_vanish():
    """`verify` names the shards that the ledger knows without their positions, to read all of them again."""
    states = {"a": ShardState(meta={"hash_range": ["0", "9"]}), "b": ShardState(position="7")}
    assert Progress("kinesis://s", STREAM, states).vanished() == ["b"]
