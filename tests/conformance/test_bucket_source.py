"""Objects on S3 pass the suite of the Source port, from a real server."""

from __future__ import annotations

import gzip
from typing import ClassVar
from uuid import uuid4

import pytest
import zstandard

from headgate.lake.s3 import S3Storage
from headgate.lake.s3_options import S3Options
from headgate.source.bucket import BucketFiles
from headgate.source.files import FileSource
from headgate.testing.clock import VirtualClock
from headgate.testing.server_moto import Moto
from headgate.testing.source_suite import SourceSuite

LINES = b'\xef\xbb\xbf{"id":1}\n\n{"text":"\xc3\xa4"}\r\n   \nnot json\n{"id":4}{"id":5}\n{"last":true}'
ARRAY = b'\n [ {"id":1,\n "a":[1,{"b":"]}\\""}]},\n {"id":2}, 3,"4"\n,{}\n{"broken":\n,{"id":6}]\n {"id":7}'


class BucketSuite(SourceSuite):
    """A FileSource over objects."""

    source = "in/"
    objects: ClassVar[dict[str, bytes]]

    @pytest.fixture(autouse=True)
    def _bucket(self, moto: Moto, aws_credentials: None) -> None:
        self.uri = f"s3://{moto.make_bucket(f'source-{uuid4().hex}')}"
        for key, content in self.objects.items():
            moto.client("s3").put_object(Bucket=self.uri[5:], Key=key, Body=content)
        self.bucket = S3Storage(self.uri, S3Options(endpoint_url=moto.endpoint_url, is_http_allowed=True))

    def open(self) -> FileSource:
        return FileSource(BucketFiles(f"{self.uri}/{self.source}", self.bucket), clock=VirtualClock(0))


class TestObject(BucketSuite):
    source = "in/a.jsonl"
    objects: ClassVar = {"in/a.jsonl": LINES, "in/a.jsonl.gz": b"another"}


class TestGzipObject(BucketSuite):
    source = "a.jsonl.gz"
    objects: ClassVar = {"a.jsonl.gz": gzip.compress(LINES[:20]) + gzip.compress(LINES[20:])}


class TestBrokenGzipObject(BucketSuite):
    source = "a.jsonl.gz"
    objects: ClassVar = {"a.jsonl.gz": gzip.compress(LINES)[:-9]}


class TestZstdObject(BucketSuite):
    source = "a.ndjson.zst"
    objects: ClassVar = {"a.ndjson.zst": zstandard.compress(LINES[:20]) + zstandard.compress(LINES[20:])}


class TestPrefix(BucketSuite):
    objects: ClassVar = {
        "in/": b"",
        "in/b/": b"",
        "in/b/one.jsonl": LINES,
        "in/c.json": ARRAY,
        "in/d.ndjson.gz": gzip.compress(LINES),
        "in/empty.jsonl": b"",
        "in/readme.txt": b"not read",
        "into.jsonl": b"not below the prefix",
    }


class TestGlobOfKeys(BucketSuite):
    source = "in/**/*.jsonl"
    objects: ClassVar = {
        "in/a.jsonl": LINES,
        "in/b/c/d.jsonl": b'{"id":1}\n',
        "in/b/e.json": ARRAY,
        "a.jsonl": b"not meant",
    }


del SourceSuite, BucketSuite
