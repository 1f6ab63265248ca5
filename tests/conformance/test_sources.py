"""Every adapter of the Source port passes the same suite."""

from __future__ import annotations

import gzip
import os
import threading
from pathlib import Path

import pytest
import zstandard

from headgate.source.files import FileSource
from headgate.source.listing import LocalFiles
from headgate.source.stdin import StdinSource
from headgate.testing.clock import VirtualClock
from headgate.testing.source_suite import SourceSuite

LINES = b'\xef\xbb\xbf{"id":1}\n\n{"text":"\xc3\xa4"}\r\n   \n{"id":3}\nnot json\n{"id":4}{"id":5}\n{"last":true}'
ARRAY = b'\n [ {"id":1,\n "a":[1,{"b":"]}\\""}]},\n {"id":2}, 3,"4"\n,{}\n{"broken":\n,{"id":6}]\n {"id":7}'
PRETTY = b'{\n "id": 1\n}\n{\n "id": 2\n}{"id":3}\n{"cut": "short\n{"id":4}\n'


class FilesSuite(SourceSuite):
    """A FileSource over files that `write` lays down."""

    name = ""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path
        self.write(tmp_path)

    def write(self, folder: Path) -> None:
        raise NotImplementedError

    def open(self) -> FileSource:
        return FileSource(LocalFiles(str(self.folder / self.name)), clock=VirtualClock(0))


class TestFile(FilesSuite):
    name = "events.jsonl"

    def write(self, folder: Path) -> None:
        (folder / self.name).write_bytes(LINES)


class TestGzipFile(FilesSuite):
    name = "events.jsonl.gz"

    def write(self, folder: Path) -> None:
        half = len(LINES) // 2
        (folder / self.name).write_bytes(gzip.compress(LINES[:half]) + gzip.compress(LINES[half:]) + b"\0\0")


class TestBrokenGzipFile(FilesSuite):
    name = "events.jsonl.gz"

    def write(self, folder: Path) -> None:
        (folder / self.name).write_bytes(gzip.compress(LINES)[:-9])


class TestZstdFile(FilesSuite):
    name = "events.jsonl.zst"

    def write(self, folder: Path) -> None:
        half = len(LINES) // 2
        frames = zstandard.compress(LINES[:half]) + zstandard.compress(LINES[half:])
        (folder / self.name).write_bytes(frames)


class TestArrayFile(FilesSuite):
    name = "events.json"

    def write(self, folder: Path) -> None:
        (folder / self.name).write_bytes(ARRAY)


class TestPrettyPrintedFile(FilesSuite):
    name = "events.json.gz"

    def write(self, folder: Path) -> None:
        (folder / self.name).write_bytes(gzip.compress(PRETTY))


class TestFolder(FilesSuite):
    def write(self, folder: Path) -> None:
        (folder / "a").mkdir()
        (folder / "a" / "one.jsonl").write_bytes(LINES)
        (folder / "b.json").write_bytes(ARRAY)
        (folder / "c.ndjson.gz").write_bytes(gzip.compress(LINES))
        (folder / "empty.jsonl").touch()
        (folder / "readme.txt").write_text("not read")


class TestGlob(FilesSuite):
    name = "**/*.jsonl"

    def write(self, folder: Path) -> None:
        (folder / "a").mkdir()
        (folder / "a" / "one.jsonl").write_bytes(LINES)
        (folder / "two.jsonl").write_bytes(PRETTY)
        (folder / "three.json").write_bytes(ARRAY)


class StdinSuite(SourceSuite):
    """A StdinSource over a pipe."""

    keeps_records = False
    sent = LINES

    @pytest.fixture(autouse=True)
    def _close(self) -> object:
        self.writers: list[threading.Thread] = []
        self.readers: list[int] = []
        yield
        for writer in self.writers:
            writer.join()
        for reader in self.readers:
            os.close(reader)

    def open(self) -> StdinSource:
        reading, writing = os.pipe()
        writer = threading.Thread(target=_send, args=(writing, self.sent))
        writer.start()
        self.writers.append(writer)
        self.readers.append(reading)
        return StdinSource(run_id="run", arrived_us=1_700_000_000_000_000, descriptor=reading)


class TestStdin(StdinSuite):
    pass


class TestStdinGzip(StdinSuite):
    sent = gzip.compress(LINES)


class TestStdinZstd(StdinSuite):
    sent = zstandard.compress(LINES)


def _send(descriptor: int, sent: bytes) -> None:
    for byte in sent:
        os.write(descriptor, bytes([byte]))
    os.close(descriptor)
