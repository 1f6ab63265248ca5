"""The records of a stream depend on its bytes alone, not on how and from where it was read."""

from __future__ import annotations

import gzip
import io
import tracemalloc

import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headgate.core.limits import Limits
from headgate.source.identity import Identity, identify, parse
from headgate.source.inflate import open_stream
from headgate.source.reader import Layout, Reader, Stamp

SMALL = Limits(max_event_bytes=12, max_record_bytes=20)
PIECES = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    '"',
    '"a"',
    "12",
    "-1.5e+7",
    "true",
    "\\u00e9",
    "\\",
    "x",
    " ",
    "\n",
    "\n",
    '{"a":1}',
    "yyyyyyyyyy",
    "é",
]
BYTES = st.lists(st.sampled_from(PIECES), max_size=40).map(lambda pieces: "".join(pieces).encode())

Record = tuple[bytes, int, int, str | None]


def read(
    sent: bytes,
    room: int,
    *,
    position: int = 0,
    layout: Layout | None = None,
    is_document_file: bool = True,
    limits: Limits = SMALL,
) -> tuple[list[Record], Layout | None]:
    stream = open_stream(io.BytesIO(sent), sent[:4])
    reader = Reader(
        stream,
        offset=0,
        position=position,
        layout=layout,
        is_document_file=is_document_file,
        limits=limits,
    )
    found: list[Record] = []
    while True:
        table = reader.read(Stamp(0, 0), room, is_last=True)
        ends = ([int.from_bytes(v, "big") for v in table.column(name).to_pylist()] for name in ("sequence", "end"))
        found += zip(table.column("data").to_pylist(), *ends, table.column("fault").to_pylist(), strict=True)
        if reader.at_end:
            return found, reader.layout


@settings(max_examples=300)
@given(BYTES, st.integers(1, 30), st.booleans())
@example(b'"a"[[\nyyyyyyyyyy', 1, True)
@example(b'[\n"aaaaaaaaa\\x\nz', 1, True)
@example(b'[\n"aaaaaaaaa\\', 1, True)
@example(b"[\n111111111-1\nz", 1, True)
def test_records_do_not_depend_on_the_size_of_a_read(sent: bytes, room: int, is_document_file: bool) -> None:
    in_one_go = read(sent, 1_000, is_document_file=is_document_file)
    assert read(sent, room, is_document_file=is_document_file) == in_one_go


@settings(max_examples=200)
@given(BYTES, st.integers(1, 30), st.booleans())
def test_reading_on_after_any_record_gives_the_rest(sent: bytes, room: int, is_document_file: bool) -> None:
    records, layout = read(sent, room, is_document_file=is_document_file)
    for i, (_, _, end, _) in enumerate(records):
        rest, _ = read(sent, 1_000, position=end, layout=layout, is_document_file=is_document_file)
        assert rest == records[i + 1 :]


@settings(max_examples=200)
@example(b"", b'[{"a":1}\n]', 30)
@example(b"\xef\xbb\xbf", b'{"a":1}\n', 1)
@example(b"\xef\xbb\xbf \n", b'[{"a":1}\n]', 30)
@given(st.sampled_from([b"", b"\xef\xbb\xbf", b" \n"]), BYTES, st.integers(1, 30))
def test_reading_again_from_the_start_gives_the_same_though_the_layout_is_known(
    head: bytes, sent: bytes, room: int
) -> None:
    for is_document_file in (True, False):
        records, layout = read(head + sent, 1_000, is_document_file=is_document_file)
        again, _ = read(head + sent, room, layout=layout, is_document_file=is_document_file)
        assert again == records


@settings(max_examples=100)
@given(BYTES, st.integers(1, 30), st.sampled_from([gzip.compress, zstandard.compress]))
def test_a_compressed_stream_holds_the_records_of_what_it_inflates_to(sent: bytes, room: int, compress: object) -> None:
    assert callable(compress)
    assert read(compress(sent), room) == read(sent, 1_000)


@settings(max_examples=100)
@given(BYTES, st.data(), st.sampled_from([gzip.compress, zstandard.compress]))
def test_a_stream_cut_anywhere_gives_its_records_and_at_most_one_fault_and_passes_over_no_byte(
    sent: bytes, draw: st.DataObject, compress: object
) -> None:
    assert callable(compress)
    whole = compress(sent)
    cut = whole[: draw.draw(st.integers(4, len(whole) - 1))]
    roomy = Limits(max_event_bytes=1_000, max_record_bytes=1_000)  # no record is too large, so that a fault is the cut
    records, layout = read(cut, 1_000, is_document_file=False, limits=roomy)
    good = [record for record in records if record[3] is None]
    broken = records[len(good) :]
    assert good == read(sent, 1_000, is_document_file=False, limits=roomy)[0][: len(good)]
    assert len(broken) <= 1
    for data, start, end, fault in broken:
        assert "ends early" in fault
        assert end == start + len(data) > start
        assert sent[start:end] == data
        assert read(cut, 1_000, position=end, layout=layout, is_document_file=False, limits=roomy)[0] == []


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
@pytest.mark.parametrize("opening", [b"", b'{"a":"', b"["])
def test_a_bomb_stays_small_in_memory(compress: object, opening: bytes) -> None:
    assert callable(compress)
    sent = compress(opening + b"1" * (100 << 20))
    limits = Limits(max_event_bytes=1 << 20, max_record_bytes=2 << 20)
    tracemalloc.start()
    records, _ = read(sent, 4 << 20, limits=limits)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60 << 20
    assert [(len(data), end) for data, _, end, _ in records] == [((1 << 20) + 1, len(opening) + (100 << 20))]
    assert records[0][3] is not None
    assert records[0][3].startswith("too_large: ")


def test_a_shard_name_is_taken_apart_as_it_was_put_together() -> None:
    for identity in (identify("a@1/b~2.json", b"head"), Identity("x\ny", 4096, "0" * 16, 3)):
        assert parse(identity.name) == identity
    assert parse("stdin@run") is None
