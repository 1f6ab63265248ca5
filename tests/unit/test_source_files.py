"""Files as a source: identity, growth, order, starts, and what goes wrong with them."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from headgate.core.limits import Limits
from headgate.errors import ConfigError, TransientError
from headgate.records import RecordBatch, Shard, ShardState
from headgate.source.files import FileSource
from headgate.source.listing import LocalFiles
from headgate.testing.clock import VirtualClock
from headgate.testing.source_suite import drain, rows_of, states_after


class SleepingClock(VirtualClock):
    """Moves only by sleeping, for longer than no time."""

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        super().sleep(seconds)


OPENED: list[FileSource] = []


@pytest.fixture(autouse=True)
def _close_sources() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


def new_source(path: Path, clock: SleepingClock | None = None, **settings: object) -> FileSource:
    OPENED.append(FileSource(LocalFiles(str(path)), clock=clock or SleepingClock(0), **{"name": "files", **settings}))
    return OPENED[-1]


def open_source(path: Path, **settings: object) -> FileSource:
    source = new_source(path, **settings)
    source.resume({})
    return source


def data(batches: list[RecordBatch]) -> list[bytes]:
    return [row.data for batch in batches for row in rows_of(batch)]


def states(batches: list[RecordBatch]) -> dict[Shard, ShardState]:
    return states_after(part for batch in batches for part in batch.ranges)


def read_all(path: Path, **settings: object) -> list[bytes]:
    return data(drain(open_source(path, **settings)))


def wait(source: FileSource, seconds: float = 3.0) -> list[bytes]:
    """What a followed source hands over until it has been silent for so long."""
    found = []
    while (batch := source.read(seconds)) is not None:
        found += data([batch])
    return found


def modified(path: Path, seconds: int) -> None:
    os.utime(path, (seconds, seconds))


# --- which files, which records


def test_reads_json_files_of_a_folder_in_the_order_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("b/1.ndjson", "a.jsonl", "c.json", ".hidden.json", "notes.txt", "d.jsonl.bak"):
        (tmp_path / name).write_text('{"file":"' + name + '"}\n')
    assert read_all(tmp_path) == [
        b'{"file":"a.jsonl"}\n',
        b'{"file":"b/1.ndjson"}\n',
        b'{"file":"c.json"}\n',
    ]


def test_a_single_file_may_have_any_name(tmp_path: Path) -> None:
    (tmp_path / "events.log").write_bytes(b"1\n2")
    assert read_all(tmp_path / "events.log") == [b"1\n", b"2"]


def test_a_path_that_does_not_exist_is_a_wrong_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        open_source(tmp_path / "nowhere")


def test_shard_position_and_arrival_of_a_record(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\xef\xbb\xbf11\n\n 22\n")
    modified(path, 1_700_000_000)
    (batch,) = drain(open_source(path))
    assert [(row.sequence, row.end, row.data) for row in rows_of(batch)] == [
        (3, 6, b"11\n"),
        (7, 11, b" 22\n"),
    ]
    assert {row.arrived_us for row in rows_of(batch)} == {1_700_000_000_000_000}
    (part,) = batch.ranges
    assert part.shard.source == "files"
    assert part.shard.name.startswith("a.jsonl@11:")
    assert (part.start, part.end) == (None, "11")
    assert part.meta["path"] == "a.jsonl"


def test_blank_lines_alone_move_the_position(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\n \t\r\n")
    (batch,) = drain(open_source(tmp_path))
    assert (batch.num_records, batch.ranges[0].end) == (0, "5")


def test_many_small_files_share_a_read(tmp_path: Path) -> None:
    for i in range(500):
        (tmp_path / f"{i:03}.jsonl").write_text(f"{i}\n")
    (batch,) = drain(open_source(tmp_path))
    assert [row.data for row in rows_of(batch)] == [b"%d\n" % i for i in range(500)]
    assert batch.table.column("data").num_chunks == 1


def test_a_json_file_with_a_document_a_line_is_lines(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'{"a":1}{"b":2}\nnonsense\n{"c":3}')
    assert read_all(tmp_path) == [b'{"a":1}{"b":2}\n', b"nonsense\n", b'{"c":3}']


def test_a_json_array_is_its_elements(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf\n[{"a":\n1},2,\n nonsense,\n{"b":2}]\n[3]')
    assert read_all(tmp_path) == [b'{"a":\n1}', b"2", b"nonsense,", b'{"b":2}', b"[3]"]


def test_documents_larger_than_a_block_are_whole(tmp_path: Path) -> None:
    large = b'{"a":[' + b",\n".join(b'{"n":%d}' % i for i in range(500_000)) + b"]}"
    (tmp_path / "a.json").write_bytes(b"[\n" + large + b',\n{"b":2}]')
    assert read_all(tmp_path) == [large, b'{"b":2}']


# --- too large, broken


def test_a_line_that_is_too_long_is_one_faulty_record_of_its_first_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"{}\n" + b"x" * 9_000_000 + b'\n{"b":2}\n' + b"y" * 300)
    limits = Limits(max_event_bytes=10, max_record_bytes=100)
    batches = drain(open_source(tmp_path, limits=limits))
    rows = [row for batch in batches for row in rows_of(batch)]
    assert [row.data for row in rows] == [b"{}\n", b"x" * 11, b'{"b":2}\n', b"y" * 11]
    assert [(row.sequence, row.end) for row in rows[1:3]] == [(3, 9_000_004), (9_000_004, 9_000_012)]
    assert [row.fault and row.fault.split(":")[0] for row in rows] == [None, "too_large", None, "too_large"]


def test_a_document_that_is_too_large_is_one_faulty_record(tmp_path: Path) -> None:
    large = b'{"a":[' + b",\n".join([b'"\\"}"'] * 1_000_000) + b"]}"
    (tmp_path / "a.json").write_bytes(b'{\n"a":1}' + large + b'{"b":2}')
    batches = drain(open_source(tmp_path, limits=Limits(max_event_bytes=20, max_record_bytes=100)))
    rows = [row for batch in batches for row in rows_of(batch)]
    assert [row.data for row in rows] == [b'{\n"a":1}', large[:21], b'{"b":2}']
    assert rows[1].end - rows[1].sequence == len(large)
    assert rows[1].fault is not None
    assert rows[1].fault.startswith("too_large: ")


def test_a_gzip_stream_that_ends_between_two_records_can_be_completed_without_loss(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    packer = zlib.compressobj(wbits=31)
    first = packer.compress(b'{"n":1}\n') + packer.flush(zlib.Z_SYNC_FLUSH)
    rest = packer.compress(b'{"n":2}\n{"n":3}\n') + packer.flush()
    path.write_bytes(first)
    source = open_source(tmp_path)
    batches = drain(source)
    assert data(batches) == [b'{"n":1}\n']
    assert "ends early" in source.notices[0]
    path.write_bytes(first + rest)
    again = open_source(tmp_path)
    again.resume(states(batches))
    assert data(drain(again)) == [b'{"n":2}\n', b'{"n":3}\n']


@pytest.mark.parametrize("cut", [150, 200, 250])
def test_a_gzip_stream_that_ends_in_a_record_is_one_faulty_record_after_the_good_ones(tmp_path: Path, cut: int) -> None:
    lines = [b'{"n":%d,"%s":1}\n' % (i, os.urandom(8).hex().encode()) for i in range(20)]
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b"".join(lines))[:cut])
    batches = drain(open_source(tmp_path))
    rows = [row for batch in batches for row in rows_of(batch)]
    *good, broken = rows
    assert [row.data for row in good] == lines[: len(good)]
    assert broken.fault is not None
    assert broken.fault.startswith("malformed_json: gzip stream ends early at byte ")
    assert b"".join(lines).startswith(b"".join(row.data for row in rows))
    again = open_source(tmp_path)
    again.resume(states(batches))
    assert drain(again) == []


def test_garbage_that_calls_itself_compressed_is_one_faulty_record(tmp_path: Path) -> None:
    for name in ("a.jsonl.gz", "b.jsonl.zst"):
        (tmp_path / name).write_bytes(b"no such thing\nat all\n")
    rows = [row for batch in drain(open_source(tmp_path)) for row in rows_of(batch)]
    assert [row.data for row in rows] == [b"", b""]
    assert all(row.fault is not None and "stream is broken" in row.fault for row in rows)


def test_a_broken_check_sum_is_told_after_the_records(tmp_path: Path) -> None:
    stream = bytearray(gzip.compress(b"1\n2\n"))
    stream[-8] ^= 1
    (tmp_path / "a.jsonl.gz").write_bytes(stream)
    rows = [row for batch in drain(open_source(tmp_path)) for row in rows_of(batch)]
    assert rows[-1].fault is not None
    assert "check" in rows[-1].fault


# --- identity


def test_a_grown_file_keeps_its_shard_and_its_arrival(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"1\n")
    modified(path, 1_000)
    first = drain(open_source(path))
    path.write_bytes(b"1\n" + b"2\n" * 5_000)
    modified(path, 1_000 + 3_599)
    source = new_source(path)
    source.resume(states(first))
    rows = [row for batch in drain(source) for row in rows_of(batch)]
    assert len(rows) == 5_000
    assert {(row.shard, row.arrived_us) for row in rows} == {(first[0].ranges[0].shard, 1_000_000_000)}
    assert source.notices == []


def test_what_a_file_grows_by_after_an_hour_arrives_later(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"1\n")
    modified(path, 1_000)
    first = drain(open_source(path))
    path.write_bytes(b"1\n2\n")
    modified(path, 1_000 + 3_600)
    source = new_source(path)
    source.resume(states(first))
    second = drain(source)
    assert [row.arrived_us for batch in second for row in rows_of(batch)] == [4_600_000_000]
    path.write_bytes(b"1\n2\n3\n")
    modified(path, 1_000)
    source = new_source(path)
    source.resume(states(second))
    assert [row.arrived_us for batch in drain(source) for row in rows_of(batch)] == [4_600_000_000]


def test_a_file_that_begins_otherwise_is_a_new_shard_and_said_so(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"1\n2\n")
    old = states(drain(open_source(path)))
    path.write_bytes(b"3\n4\n5\n")
    source = open_source(path)
    source.resume(old)
    batches = drain(source)
    assert data(batches) == [b"3\n", b"4\n", b"5\n"]
    assert list(source.abandoned({**old, **states(batches)})) == list(old)
    assert "begins otherwise" in source.notices[0]


def test_a_file_that_became_shorter_is_a_new_shard_even_with_the_same_head(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    head = b"x" * 5_000 + b"\n"
    path.write_bytes(head + b"1\n2\n")
    old = states(drain(open_source(path)))
    path.write_bytes(head + b"3\n")
    source = open_source(path)
    source.resume(old)
    batches = drain(source)
    assert data(batches) == [head, b"3\n"]
    (new,) = states(batches)
    assert new.name.endswith("~2")
    assert "shorter" in source.notices[0]
    path.write_bytes(head + b"3\n4\n5\n")
    source.resume({**old, **states(batches)})
    assert data(drain(source)) == [b"4\n", b"5\n"]


def test_a_moved_file_is_read_again_with_a_warning(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"1\n")
    old = states(drain(open_source(tmp_path)))
    (tmp_path / "a.jsonl").rename(tmp_path / "b.jsonl")
    source = open_source(tmp_path)
    source.resume(old)
    assert data(drain(source)) == [b"1\n"]
    assert "b.jsonl begins as a.jsonl did" in source.notices[-1]
    assert list(source.abandoned(old)) == list(old)


def test_closed_shards_are_not_abandoned_again(tmp_path: Path) -> None:
    source = open_source(tmp_path)
    assert list(source.abandoned({Shard("files", "a@1:0123456789abcdef"): ShardState(closed=True)})) == []


# --- following


def test_follows_what_grows_and_what_is_new(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"1\n")
    source = open_source(tmp_path, once=False)
    assert wait(source) == [b"1\n"]
    with (tmp_path / "a.jsonl").open("ab") as file:
        file.write(b"2\n")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b"3\n"))
    assert wait(source) == [b"2\n", b"3\n"]
    assert wait(source) == []


def test_a_last_line_waits_for_its_newline(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'1\n{"a":')
    source = open_source(tmp_path, once=False)
    assert wait(source) == [b"1\n"]
    path.write_bytes(b'1\n{"a":2}\n')
    assert wait(source) == [b'{"a":2}\n']


def test_a_last_line_that_is_whole_and_quiet_is_a_record(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a":1}')
    source = open_source(tmp_path, once=False)
    assert source.read(0.4) is None
    assert wait(source) == [b'{"a":1}']
    path.write_bytes(b'{"a":1}\n{"b":2}\n')
    assert wait(source) == [b'{"b":2}\n']


def test_a_compressed_file_still_being_written_is_waited_for(tmp_path: Path) -> None:
    path, lines = tmp_path / "a.jsonl.gz", b"".join(b"%d\n" % i for i in range(5_000))
    whole = gzip.compress(lines)
    path.write_bytes(whole[: len(whole) // 2])
    source = open_source(tmp_path, once=False)
    first = wait(source)
    path.write_bytes(whole)
    assert 0 < len(first) < 5_000
    assert b"".join(first + wait(source)) == lines


def test_an_empty_file_is_no_shard_until_it_has_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.touch()
    source = open_source(tmp_path, once=False)
    assert source.read(1.0) is None
    path.write_bytes(b"1\n")
    assert wait(source) == [b"1\n"]
    assert source.notices == []


def test_a_file_rewritten_while_followed_is_a_new_shard(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"1\n2\n3\n")
    source = open_source(tmp_path, once=False)
    assert wait(source) == [b"1\n", b"2\n", b"3\n"]
    path.write_bytes(b"4\n")
    assert wait(source) == [b"4\n"]
    assert len(source.notices) == 1


def test_files_take_turns_while_following(tmp_path: Path) -> None:
    line = b'"' + b"x" * 999_997 + b'"\n'
    for name in "ab":
        (tmp_path / f"{name}.jsonl").write_bytes(line * 12)
    source = open_source(tmp_path, once=False)
    first = [source.read(0.0) for _ in range(2)]
    names = [part.shard.name[0] for batch in first if batch for part in batch.ranges]
    assert names == ["a", "b"]


def test_read_returns_after_the_timeout(tmp_path: Path) -> None:
    clock = SleepingClock(0)
    source = new_source(tmp_path, clock, once=False)
    source.resume({})
    assert source.read(1.25) is None
    assert clock.monotonic() == 1.25


# --- files that cannot be read


def test_a_file_that_vanished_before_it_was_read_is_passed_over(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.jsonl").write_text(name + "\n")
    source = open_source(tmp_path)
    (tmp_path / "a.jsonl").unlink()
    assert data(drain(source)) == [b"b\n"]
    assert "vanished before it was read" in source.notices[0]


def test_an_unreadable_file_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").symlink_to(tmp_path / "folder.d")
    (tmp_path / "folder.d").mkdir()
    (tmp_path / "b.jsonl").write_text("b\n")
    source = open_source(tmp_path / "*.jsonl")
    assert data(drain(source)) == [b"b\n"]
    source = open_source(tmp_path)
    (tmp_path / "b.jsonl").unlink()
    (tmp_path / "b.jsonl").mkdir()
    with pytest.raises(TransientError, match=r"b\.jsonl"):
        source.read(0.0)
    (tmp_path / "b.jsonl").rmdir()
    (tmp_path / "b.jsonl").write_text("b again\n")
    assert data(drain(source)) == [b"b again\n"]


# --- where to start


def test_latest_begins_at_the_present_ends_and_leaves_a_position_there(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"1\n2\n")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b"3\n"))
    source = open_source(tmp_path, once=False, start="latest")
    skipped = source.read(0.0)
    assert skipped is not None
    assert (skipped.num_records, [part.end for part in skipped.ranges]) == (0, ["4", "2"])
    source.resume({})
    with (tmp_path / "a.jsonl").open("ab") as file:
        file.write(b"4\n")
    (tmp_path / "c.jsonl").write_bytes(b"5\n")
    assert wait(source) == [b"4\n", b"5\n"]


def test_latest_counts_only_where_there_is_no_position(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"1\n")
    old = states(drain(open_source(tmp_path)))
    (tmp_path / "b.jsonl").write_bytes(b"2\n")
    source = new_source(tmp_path, start="latest")
    source.resume(old)
    assert data(drain(source)) == [b"2\n"]


def test_a_time_leaves_out_files_that_were_not_modified_since(tmp_path: Path) -> None:
    for name, seconds in (("a", 1_000), ("b", 2_000)):
        (tmp_path / f"{name}.jsonl").write_text(name + "\n")
        modified(tmp_path / f"{name}.jsonl", seconds)
    assert read_all(tmp_path, start=datetime.fromtimestamp(1_500, UTC)) == [b"b\n"]


def test_lag_is_what_waits_on_disk(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"1\n2\n")
    source = open_source(tmp_path)
    assert source.lag() == {"bytes": 4.0}
    drain(source)
    assert source.lag() == {"bytes": 0.0}


def test_pipes_in_a_folder_are_passed_over_and_as_a_source_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"1\n")
    os.mkfifo(tmp_path / "b.jsonl")
    assert read_all(tmp_path) == [b"1\n"]
    with pytest.raises(ConfigError, match="standard input"):
        open_source(tmp_path / "b.jsonl")


def test_a_name_that_is_no_utf8_becomes_a_text_that_no_other_file_has(tmp_path: Path) -> None:
    for name in (b"\xff.jsonl", b"\\xff.jsonl"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(b"1\n")
    (batch,) = drain(open_source(tmp_path))
    paths = [part.shard.name.rpartition("@")[0] for part in batch.ranges]
    assert paths == ["//\\xff.jsonl", "\\xff.jsonl"]


@pytest.mark.parametrize("pattern", ["", "**/*.jsonl"])
def test_a_lake_below_the_source_is_not_read(tmp_path: Path, pattern: str) -> None:
    for name in ("in/a.jsonl", "in/sub/b.jsonl", "in/lake/_headgate/format.json", "in/lake/events/x=1/c.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name[3:4].encode() + b"\n")
    assert read_all(tmp_path / "in" / pattern) == [b"a\n", b"s\n"]
