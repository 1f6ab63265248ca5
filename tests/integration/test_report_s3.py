"""The report of a lake on S3, of each format, while it grows: the figures of the same lake on local disk."""

from __future__ import annotations

import itertools
import uuid
from pathlib import Path

import pytest

from headgate.lake.lake import open_lake
from headgate.lake.local import LocalStorage
from headgate.lake.options import LakeOptions
from headgate.lake.s3 import S3Storage
from headgate.lake.s3_options import S3Options
from headgate.lake.storage import Storage
from headgate.records import Shard
from headgate.report.collect import collect
from headgate.report.gather import Gathering
from headgate.report.page import render
from headgate.testing.clock import VirtualClock
from headgate.testing.compaction import of_storage
from headgate.testing.lake_rows import batch
from headgate.testing.records import ARRIVED_US
from headgate.testing.server_moto import Moto


def grow(storage: Storage, table_format: str, first: int, count: int) -> None:
    """So many commits, a minute apart."""
    clock = VirtualClock()
    clock.step(60 * first)
    ids = (f"e{n}" for n in itertools.count(first))
    lake = open_lake(storage, table_format, LakeOptions(), now_us=clock.now_us, new_id=lambda: next(ids))
    for n in range(first, first + count):
        lake.commit(lake.stage(batch(None, "10", [str(n)], shard=Shard("stream", f"s{n}"), event_type=f"t{n % 3}")))
        clock.step(60)
    lake.publish()
    lake.close()


@pytest.mark.parametrize("table_format", ["delta", "parquet", "json"])
def test_a_lake_on_s3_has_the_report_of_one_on_disk(
    tmp_path: Path, moto: Moto, aws_credentials: None, table_format: str
) -> None:
    uri = f"s3://{moto.make_bucket(f'report-{uuid.uuid4().hex}')}/lake"
    remote = S3Storage(uri, S3Options(endpoint_url=moto.endpoint_url, is_http_allowed=True))
    for storage in (remote, LocalStorage(tmp_path)):
        grow(storage, table_format, 0, 4)
    gathering = Gathering(of_storage(remote))
    assert gathering.advance() == 4
    for storage in (remote, LocalStorage(tmp_path)):
        grow(storage, table_format, 4, 2)
    assert (gathering.advance(), gathering.number) == (2, 6)
    far, near = (collect(of_storage(storage), now_us=ARRIVED_US) for storage in (remote, LocalStorage(tmp_path)))
    assert far.types == near.types == gathering.history.figures()
    assert (far.number, far.drift) == (near.number, near.drift)
    assert [table.files for table in far.facts.tables] == [table.files for table in near.facts.tables]
    assert [sample.text for sample in far.rejects] == [sample.text for sample in near.rejects]
    assert uri in render(far)
