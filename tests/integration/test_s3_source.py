"""Objects on a real S3 server as a source: which are read, what is asked for, and what replaced ones become."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result

from headgate.entrypoints.cli import cli
from headgate.errors import ConfigError, PermanentError, SourceMissingError, TransientError
from headgate.lake.s3 import S3Storage
from headgate.lake.s3_options import S3Options
from headgate.records import RecordBatch, Shard, ShardState
from headgate.source.bucket import BucketFiles
from headgate.source.files import FileSource
from headgate.source.reader import BLOCK_BYTES
from headgate.testing.clock import VirtualClock
from headgate.testing.proxy import Fault, FaultProxy, fault_proxy
from headgate.testing.server_moto import Moto
from headgate.testing.source_suite import drain, receipt_of, rows_of, states_after

LINE_BYTES = 1000
LARGE_LINES = 3 * BLOCK_BYTES // LINE_BYTES  # three ranges and a bit


@pytest.fixture(scope="module")
def shared_proxy(moto: Moto, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultProxy]:
    with fault_proxy(moto.port, tmp_path_factory.mktemp("proxy")) as proxy:
        yield proxy


class Scene:
    """A bucket that is written past the proxy and read through it."""

    def __init__(self, moto: Moto, proxy: FaultProxy) -> None:
        self.name, self.proxy = moto.make_bucket(f"source-{uuid4().hex}"), proxy
        self.client = moto.client("s3")
        self.opened: list[FileSource] = []

    def put(self, **objects: bytes) -> None:
        for key, content in objects.items():
            self.put_key(key.replace("__", "/") + ".jsonl", content)

    def put_key(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=content)

    def files(self, path: str) -> BucketFiles:
        options = S3Options(endpoint_url=self.proxy.endpoint_url, is_http_allowed=True)
        return BucketFiles(f"s3://{self.name}/{path}", S3Storage(f"s3://{self.name}", options))

    def new(self, path: str = "in/", **settings: object) -> FileSource:
        self.opened.append(FileSource(self.files(path), **{"clock": VirtualClock(0), "name": "objects", **settings}))
        return self.opened[-1]

    def open(self, path: str = "in/", **settings: object) -> FileSource:
        source = self.new(path, **settings)
        source.resume({})
        return source

    def read_all(self, path: str = "in/") -> list[bytes]:
        return data(drain(self.open(path)))

    def gets(self, key: str) -> list[str]:
        """The ranges of an object that were asked for so far."""
        return [r.headers["range"] for r in self.proxy.requests("GET", f"/{self.name}/{key}") if "range" in r.headers]


@pytest.fixture
def scene(moto: Moto, shared_proxy: FaultProxy, aws_credentials: None) -> Iterator[Scene]:
    scene = Scene(moto, shared_proxy)
    yield scene
    shared_proxy.heal()
    for source in scene.opened:
        source.close()


def data(batches: list[RecordBatch]) -> list[bytes]:
    return [row.data for batch in batches for row in rows_of(batch)]


def states(batches: list[RecordBatch]) -> dict[Shard, ShardState]:
    return states_after(part for batch in batches for part in batch.ranges)


def wait(source: FileSource, seconds: float = 3.0) -> list[bytes]:
    """What a followed source hands over until it has been silent for so long, on its own clock."""
    found = []
    while (batch := source.read(seconds)) is not None:
        found += data([batch])
        source.ack(receipt_of(batch))
    return found


def large(word: bytes) -> list[bytes]:
    return [b'{"%s":%07d}'.ljust(LINE_BYTES + 5) % (word, i) + b"\n" for i in range(LARGE_LINES)]


# --- which objects


def test_objects_below_a_prefix_in_the_order_of_their_keys_over_several_pages(scene: Scene) -> None:
    names = [f"{i // 10:03}/{i:04}" for i in range(1_005)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: scene.put_key(f"in/{name}.jsonl", name.encode()), reversed(names)))
    listed = scene.files("in/").listing()
    assert [file.name for file in listed] == [f"{name}.jsonl" for name in names]
    assert {file.size for file in listed} == {8}
    assert len(scene.proxy.requests("GET", f"/{scene.name}?")) == 2


def test_a_prefix_may_lack_its_slash_and_an_object_may_have_any_name(scene: Scene) -> None:
    scene.put(in__a=b"1\n", into=b"2\n")
    scene.put_key("in/some.log", b"3\n")
    assert (scene.read_all("in"), scene.read_all("in/some.log")) == ([b"1\n"], [b"3\n"])
    assert scene.read_all("") == [b"1\n", b"2\n"]


def test_what_is_not_there_is_said(scene: Scene) -> None:
    scene.put(in__a=b"1\n")
    for path in ("other", "in/b.jsonl"):
        with pytest.raises(SourceMissingError, match=f"{scene.name}/{path}"):
            scene.open(path)
    assert [scene.read_all(path) for path in ("other/", "in/*.json")] == [[], []]


@pytest.mark.parametrize("path", ["", "a.jsonl", "a/", "*.jsonl"])
def test_a_bucket_that_is_missing_is_a_wrong_configuration_and_no_empty_source(scene: Scene, path: str) -> None:
    scene.name = "no-such-bucket"
    with pytest.raises(ConfigError, match="no such bucket") as raised:
        scene.open(path)
    assert not isinstance(raised.value, SourceMissingError)
    with pytest.raises(ConfigError, match="no such bucket"):
        scene.new(path).abandoned({Shard("objects", "a.jsonl@1:0123456789abcdef"): ShardState(position="1")})


def test_hidden_objects_and_those_of_other_kinds_are_left_out(scene: Scene) -> None:
    scene.put(in__a=b"1\n", in__b=b"2\n")
    for key in ("in/.hidden.jsonl", "in/.folder/x.jsonl", "in/x.txt", "in/x.jsonl.bak"):
        scene.put_key(key, b"no\n")
    scene.put_key("in/c d+e%20ü#?.json.gz", gzip.compress(b'{"n":\n3}'))
    assert scene.read_all() == [b"1\n", b"2\n", b'{"n":\n3}']


@pytest.mark.parametrize("path", ["in/", "in/**/*.jsonl", "", "i*/"])
def test_a_lake_below_the_source_is_not_read(scene: Scene, path: str) -> None:
    scene.put(in__a=b"1\n", in__sub__b=b"2\n", in__zlake__events__x__c=b"3\n", in__lake__events__d=b"4\n")
    scene.put_key("in/lake/_headgate/format.json", b"{}")
    scene.put_key("in/lake/_headgate/ledger/00001.json", b"{}")
    assert scene.read_all(path) == [b"1\n", b"2\n", b"3\n"]
    assert scene.read_all("in/lake/") != []  # as for a folder, what SOURCE itself names is read


def test_a_key_that_cannot_be_told_from_others_stops_the_run_and_is_named(scene: Scene) -> None:
    scene.put(in__a=b"1\n")
    scene.put_key("in/x//b.jsonl", b"2\n")
    with pytest.raises(PermanentError, match=r"x//b\.jsonl"):
        scene.open()


# --- what is asked for


def test_a_resumed_object_is_read_on_from_its_offset(scene: Scene) -> None:
    lines = large(b"a")
    scene.put(in__a=b"".join(lines))
    source = scene.open()
    first = source.read(1.0)
    second = source.read(1.0)
    assert first
    assert second
    before = len(scene.gets("in/a.jsonl"))
    again = scene.new()
    again.resume(states([first, second]))
    rest = drain(again)
    assert data([first, second, *rest]) == lines
    position = int(second.ranges[0].end)
    assert [text.split("-")[0] for text in scene.gets("in/a.jsonl")[before:]][:2] == ["bytes=0", f"bytes={position}"]


def test_any_cut_of_a_large_gzip_object_is_followed_by_exactly_the_rest(scene: Scene) -> None:
    lines = large(b"a")
    scene.put_key("in/a.jsonl.gz", gzip.compress(b"".join(lines), 0))
    batches = drain(scene.open())
    rows = [row for batch in batches for row in rows_of(batch)]
    (shard,) = {row.shard for row in rows}
    assert [row.data for row in rows] == lines
    for cut in (1, len(rows) // 3, len(rows) - 1):
        # A batch may be cut anywhere; what the ledger keeps with the shard is then that of the whole range.
        meta = next(part.meta for batch in batches for part in batch.ranges if int(part.end) >= rows[cut - 1].end)
        again = scene.new()
        again.resume({shard: ShardState(position=str(rows[cut - 1].end), meta=meta)})
        assert data(drain(again)) == lines[cut:]


def test_objects_that_were_read_to_their_end_are_not_asked_for_again(scene: Scene) -> None:
    scene.put(in__a=b"1\n2\n", in__b=b"3\n")
    scene.put_key("in/c.jsonl.gz", gzip.compress(b"4\n"))
    known = states(drain(scene.open()))
    before = scene.gets("in/")
    again = scene.new()
    again.resume(known)
    assert (drain(again), list(again.abandoned(known)), scene.gets("in/")) == ([], [], before)
    a = next(shard for shard in known if shard.name.startswith("a.jsonl"))
    again = scene.new()
    again.resume({**known, a: ShardState(position="2", meta=known[a].meta)})
    assert data(drain(again)) == [b"2\n"]


# --- objects that are replaced


def test_an_object_that_begins_otherwise_or_is_shorter_is_a_new_shard_and_said_so(scene: Scene) -> None:
    head = b"x" * 5_000 + b"\n"
    scene.put(in__a=b"1\n", in__b=head + b"2\n")
    known = states(drain(scene.open()))
    scene.put(in__a=b"3\n4\n", in__b=head)
    source = scene.new()
    source.resume(known)
    batches = drain(source)
    assert data(batches) == [b"3\n", b"4\n", head]
    assert [words in notice for words, notice in zip(["begins otherwise", "shorter"], source.notices, strict=True)]
    assert set(source.abandoned({**known, **states(batches)})) == set(known)


def test_an_object_written_again_with_the_same_or_more_is_read_on(scene: Scene) -> None:
    scene.put(in__a=b"1\n", in__b=b"2\n")
    known = states(drain(scene.open()))
    scene.put(in__a=b"1\n", in__b=b"2\n3\n")
    source = scene.new()
    source.resume(known)
    assert (data(drain(source)), source.notices) == ([b"3\n"], [])


@pytest.mark.parametrize("once", [True, False])
def test_an_object_replaced_between_two_ranges_is_never_read_as_a_mixture(scene: Scene, once: bool) -> None:
    old, new = large(b"o"), large(b"n")
    scene.put(in__a=b"".join(old))
    source = scene.open(once=once)
    first = source.read(1.0)
    assert first
    scene.put(in__a=b"".join(new))
    rest = data(drain(source)) if once else wait(source)
    assert data([first]) == old[: first.num_records]
    assert rest == new
    assert ["was replaced while it was read" in source.notices[0], "begins otherwise" in source.notices[1]] == [
        True
    ] * 2


def test_an_object_deleted_between_two_ranges_is_said_and_read_on_when_it_is_back(scene: Scene) -> None:
    lines = large(b"a")
    scene.put(in__a=b"".join(lines))
    source = scene.open(once=False)
    first = source.read(1.0)
    assert first
    scene.client.delete_object(Bucket=scene.name, Key="in/a.jsonl")
    assert source.read(1.0) is None
    assert "vanished in the middle" in source.notices[-1]
    scene.put(in__a=b"".join(lines))
    assert data([first]) + wait(source) == lines


# --- following


def test_objects_that_appear_are_read_to_their_ends_at_once(scene: Scene) -> None:
    scene.put(in__b=b"1\n")
    source = scene.open(once=False)
    assert wait(source) == [b"1\n"]
    scene.put(in__a=b'{"no newline":2', in__c=b"3\n")
    scene.put_key("in/d.jsonl.gz", gzip.compress(b"4\n5\n"))
    assert wait(source) == [b'{"no newline":2', b"3\n", b"4\n", b"5\n"]
    scene.put(in__c=b"6\n")
    assert wait(source) == [b"6\n"]
    assert wait(source) == []


def test_objects_that_are_through_hold_no_claims_back(scene: Scene) -> None:
    scene.put(in__a=b"1\n", in__b=b"2\n")
    source = scene.open(once=False)
    batch = source.read(1.0)
    assert batch
    assert source.horizon_us() == rows_of(batch)[0].arrived_us
    source.ack(receipt_of(batch))
    assert source.horizon_us() is None


def test_an_object_arrives_when_it_was_written(scene: Scene) -> None:
    scene.put(in__a=b"1\n")
    written = scene.client.head_object(Bucket=scene.name, Key="in/a.jsonl")["LastModified"]
    (batch,) = drain(scene.open())
    assert rows_of(batch)[0].arrived_us == int(written.timestamp()) * 1_000_000


# --- a server that does not answer


def test_an_object_that_may_not_be_read_is_named_the_others_go_on_and_it_is_not_skipped(scene: Scene) -> None:
    scene.put(in__a=b"1\n", in__b=b"2\n", in__c=b"3\n")
    scene.proxy.fail(Fault(method="GET", path="in/b.jsonl", status=403, code="AccessDenied", times=2))
    source, found, errors = scene.open(), [], []
    for _ in range(20):
        try:
            batch = source.read(1.0)
        except TransientError as error:
            errors.append(str(error))
        except EOFError:
            break
        else:
            found += data([batch]) if batch else []
    assert found == [b"1\n", b"3\n", b"2\n"]
    assert {error.partition(":")[2].partition(":")[0] for error in errors} == {f"//{scene.name}/in/b.jsonl"}
    assert "access denied" in errors[0]


def test_an_archived_object_is_named_with_what_to_do(scene: Scene) -> None:
    scene.put(in__a=b"1\n")
    scene.proxy.fail(Fault(method="GET", path="in/a.jsonl", status=403, code="InvalidObjectState", times=None))
    with pytest.raises(TransientError, match=r"a\.jsonl: the object is archived: restore it"):
        drain(scene.open())


def test_a_listing_that_fails_is_no_empty_source(scene: Scene) -> None:
    scene.put(in__a=b"1\n")
    known = states(drain(scene.open()))
    scene.proxy.fail(Fault(method="GET", path=f"/{scene.name}?", status=403, code="AccessDenied", times=None))
    for ask in (lambda: scene.open(), lambda: scene.new().abandoned(known)):
        with pytest.raises(TransientError, match="access denied"):
            ask()


@pytest.mark.parametrize("effect", ["drop", "lose"])
def test_a_connection_lost_in_the_middle_of_an_object_costs_nothing(scene: Scene, effect: str) -> None:
    lines = large(b"a")
    scene.put(in__a=b"".join(lines))
    source = scene.open()
    first = source.read(1.0)
    assert first
    scene.proxy.fail(Fault(method="GET", path="in/a.jsonl", effect=effect, times=5))  # the client tries 5 times
    with pytest.raises(TransientError, match=r"a\.jsonl"):
        source.read(1.0)
    assert data([first, *drain(source)]) == lines


# --- the commands


def headgate(scene: Scene, *args: object) -> Result:
    env = {
        "HEADGATE__STORAGE__ENDPOINT_URL": scene.proxy.endpoint_url,
        "HEADGATE__STORAGE__ALLOW_HTTP": "true",
        "HEADGATE_CONFIG": "",
    }
    return CliRunner().invoke(cli, [str(arg) for arg in args], env=env)


EVENT = b'{"event_uuid":"%d","event_name":"a:b","created_at":1}\n'


def test_run_and_verify_by_uri(scene: Scene, tmp_path: Path) -> None:
    source, lake = f"s3://{scene.name}/in", tmp_path / "lake"
    scene.put(in__a=EVENT % 1 + EVENT % 1 + b"nonsense\n", in__b=EVENT % 2)
    ran = headgate(scene, "run", f"{source}/", lake, "--json")
    assert (ran.exit_code, ran.stderr.count("WARNING")) == (0, 0), ran.stderr
    counts = json.loads(ran.stdout)
    assert [counts[word] for word in ("received", "accepted", "duplicates", "rejected")] == [4, 2, 1, 1]
    assert json.loads(headgate(scene, "run", source, lake, "--json").stdout)["received"] == 0

    def proof() -> dict[str, object]:
        return json.loads(headgate(scene, "verify", source, lake, "--json").stdout)

    assert [proof()[word] for word in ("proven", "reread_parts", "unread_records")] == [True, 4, 0]
    scene.put(in__b=EVENT % 2 + EVENT % 3)  # it has grown
    assert [proof()[word] for word in ("proven", "reread_parts", "unread_records")] == [True, 4, 1]
    scene.put(in__b=EVENT % 4)  # another one, as long as what was read
    assert [proof()[word] for word in ("proven", "reread_parts", "ledger_only_rows")] == [True, 3, 1]
    for key in ("in/a.jsonl", "in/b.jsonl"):
        scene.client.delete_object(Bucket=scene.name, Key=key)
    assert [proof()[word] for word in ("proven", "reread_parts", "ledger_only_rows")] == [True, 0, 4]


@pytest.mark.parametrize(
    ("source", "lake", "words"),
    [
        ("s3://no-such-bucket/in/", "lake", "no such bucket"),
        ("s3://{bucket}/nowhere", "lake", "no object or prefix at s3://{bucket}/nowhere"),
        ("s3://{bucket}/in", "s3://{bucket}/in/", "is SOURCE and LAKE at once"),
        ("s3://{bucket}//in", "lake", "an empty part"),
        ("s3://", "lake", "expected s3://bucket"),
    ],
)
def test_a_wrong_source_is_one_line_and_exit_code_2(
    scene: Scene, tmp_path: Path, source: str, lake: str, words: str
) -> None:
    source, lake, words = (text.format(bucket=scene.name) for text in (source, lake, words))
    ran = headgate(scene, "run", source, lake if "://" in lake else tmp_path / lake)
    assert (ran.exit_code, ran.stderr.count("\n"), words in ran.stderr) == (2, 1, True), ran.stderr


def test_a_bucket_that_does_not_answer_proves_nothing(scene: Scene, tmp_path: Path) -> None:
    scene.put(in__a=EVENT % 1)
    assert headgate(scene, "run", f"s3://{scene.name}/in", tmp_path / "lake").exit_code == 0
    scene.proxy.fail(Fault(method="GET", path=f"/{scene.name}?", status=301, code="PermanentRedirect", times=None))
    verified = headgate(scene, "verify", f"s3://{scene.name}/in", tmp_path / "lake")
    assert (verified.exit_code, "another region" in verified.stderr) == (2, True), verified.output
