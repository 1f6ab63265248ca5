"""Keys on S3: globs of them mean what globs of paths mean, and small objects are fetched ahead."""

from __future__ import annotations

import glob
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.errors import ConfigError, PermanentError, TransientError
from headgate.lake.s3_object import S3Object
from headgate.source.bucket import AHEAD_BYTES, BucketFiles, Described, matches
from headgate.source.place import Listed

NAMES = [
    "a.jsonl",
    "b.jsonl.gz",
    ".hidden.jsonl",
    "x/a.jsonl",
    "x/.hidden/a.jsonl",
    "x/y/a.jsonl",
    "x/y/[b].jsonl",
    "x/y/z/a.json",
    ".dot/a.jsonl",
]
PATTERNS = [
    "*",
    "*.jsonl",
    "*/a.jsonl",
    "**",
    "**/*.jsonl",
    "x/**",
    "x/**/a.*",
    "**/y/*",
    "**/**/a.jsonl",
    "?.jsonl",
    "x/y/[[]b].jsonl",
    "[!a]*",
    ".*",
    "**/.*/*",
    "x/**.jsonl",
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_glob_of_keys_matches_what_it_matches_among_files(tmp_path: Path, pattern: str) -> None:
    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = (Path(path) for path in glob.iglob(f"{tmp_path}/{pattern}", recursive=True))
    expected = {str(path.relative_to(tmp_path)) for path in found if path.is_file()}
    assert {name for name in NAMES if matches(name.split("/"), pattern.split("/"))} == expected


class NoBucket:
    """Nothing is asked of it."""

    def objects(self, prefix: str) -> Iterator[Described]:
        raise AssertionError

    def look(self, path: str) -> None:
        raise AssertionError

    def fetch(self, path: str, start: int, stop: int, version: str | None) -> tuple[bytes, Described] | None:
        raise AssertionError


@pytest.mark.parametrize("uri", ["s3://b//a", "s3://b/a//", "s3://b/a/../c", "s3://b/./a.json"])
def test_keys_that_cannot_be_read_are_refused_at_once(uri: str) -> None:
    with pytest.raises(ConfigError, match="empty part"):
        BucketFiles(uri, NoBucket())


@pytest.mark.parametrize("uri", ["s3://b/a", "s3://b/a/"])
def test_a_prefix_is_the_same_source_with_and_without_its_slash(uri: str) -> None:
    assert BucketFiles(uri, NoBucket()).name == "s3://b/a"


class FarBucket(NoBucket):
    """Answers only when so many requests wait at the same time."""

    def __init__(self, waiting: int) -> None:
        self.all_wait = threading.Barrier(waiting, timeout=30)
        self.asked: list[str] = []

    def fetch(self, path: str, start: int, stop: int, version: str | None) -> tuple[bytes, Described] | None:
        self.asked.append(path)
        self.all_wait.wait()
        if path == "b":
            raise TransientError("b: no answer")
        return path.encode(), S3Object(path, len(path), 0, "tag")


def listed(name: str, size: int = 1) -> Listed:
    return Listed(name, f"s3://bucket/{name}", size, 0, "tag")


def test_small_objects_are_fetched_ahead_each_once_and_side_by_side() -> None:
    bucket = FarBucket(3)
    files = BucketFiles("s3://bucket", bucket)
    for _ in range(2):
        files.expect([listed("a"), listed("large", AHEAD_BYTES + 1), listed("b"), listed("c")])
    contents = [files.open(listed(name), 10).read(10) for name in "ac"]
    with pytest.raises(TransientError, match="b: no answer"):
        files.open(listed("b"), 10)
    assert (contents, sorted(bucket.asked)) == ([b"a", b"c"], ["a", "b", "c"])


def test_a_storage_without_etags_is_refused() -> None:
    class Untagged(NoBucket):
        def fetch(self, path: str, start: int, stop: int, version: str | None) -> tuple[bytes, Described] | None:
            return b"a", S3Object(path, 1, 0, "")

    with pytest.raises(PermanentError, match="s3://bucket/a has no ETag"):
        BucketFiles("s3://bucket", Untagged()).open(listed("a"), 10)


def test_what_is_expected_no_more_is_let_go() -> None:
    bucket = FarBucket(1)
    files = BucketFiles("s3://bucket", bucket)
    files.expect([listed("a"), listed("c")])
    files.expect([listed("c")])
    assert [files.open(listed(name), 10).read(10) for name in "ac"] == [b"a", b"c"]
    assert sorted(bucket.asked) == ["a", "a", "c"]
