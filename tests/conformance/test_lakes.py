"""Every table format passes the conformance suite of the Lake port, on local disk and on S3."""

import uuid
from pathlib import Path

import duckdb
import pyarrow.dataset as ds
import pytest
from deltalake import DeltaTable

from headgate.lake.s3 import S3Storage
from headgate.lake.s3_options import S3Options
from headgate.testing.lake_rows import ODD_TYPES, batch
from headgate.testing.lake_suite import LakeSuite


class TestDelta(LakeSuite):
    table_format = "delta"

    def test_deltalake_reads_the_same_rows(self, open_handle, files):
        lake = open_handle()
        for i, event_type in enumerate(ODD_TYPES):
            lake.commit(lake.stage(batch(None if i == 0 else str(i), str(i + 1), [f"{i:02d}"], event_type=event_type)))
        lake.publish()
        read = DeltaTable(Path(files.root) / "events").to_pyarrow_table().sort_by("event_uuid")
        assert read["event_type"].to_pylist() == list(ODD_TYPES)


class TestParquet(LakeSuite):
    table_format = "parquet"

    def test_duckdb_and_pyarrow_read_the_folders_alone(self, open_handle, files):
        lake = open_handle()
        types = [t for t in ODD_TYPES if t != "__HIVE_DEFAULT_PARTITION__"]  # pyarrow's own name for null
        for i, event_type in enumerate(types):
            lake.commit(lake.stage(batch(None if i == 0 else str(i), str(i + 1), [f"{i:02d}"], event_type=event_type)))
        lake.publish()
        pattern = f"{files.root}/events/**/*.parquet"
        by_duckdb = duckdb.sql(
            f"SELECT event_type FROM read_parquet('{pattern}', hive_partitioning=true, "
            "hive_types={event_type: VARCHAR}) ORDER BY event_uuid"
        ).fetchall()
        by_pyarrow = ds.dataset(Path(files.root) / "events", partitioning=ds.partitioning(flavor="hive")).to_table()
        assert [t for (t,) in by_duckdb] == types
        assert set(map(str, by_pyarrow["event_type"].to_pylist())) == set(types)


class TestJson(LakeSuite):
    table_format = "json"

    def test_duckdb_reads_the_folders_alone(self, open_handle, files):
        lake = open_handle()
        lake.commit(lake.stage(batch(None, "1", ["a", "b"])))
        lake.publish()
        read = duckdb.sql(f"SELECT event_uuid, created_at, _headgate.shard FROM '{files.root}/events/**/*.jsonl.gz'")
        assert sorted(read.fetchall()) == [
            ("a", 1_795_000_000.5, "shard-0"),
            ("b", 1_795_000_000.5, "shard-0"),
        ]


class OnS3(LakeSuite):
    @pytest.fixture
    def files(self, moto, aws_credentials):
        bucket = moto.make_bucket(f"lake-{uuid.uuid4().hex}")
        return S3Storage(f"s3://{bucket}/lake", S3Options(endpoint_url=moto.endpoint_url, is_http_allowed=True))


class TestDeltaOnS3(OnS3):
    table_format = "delta"

    def test_deltalake_reads_the_same_rows(self, open_handle, files):
        lake = open_handle()
        for i, event_type in enumerate(ODD_TYPES):
            lake.commit(lake.stage(batch(None if i == 0 else str(i), str(i + 1), [f"{i:02d}"], event_type=event_type)))
        lake.publish()
        table = DeltaTable(f"{files.root}/events", storage_options=files.delta_options)
        assert table.to_pyarrow_table().sort_by("event_uuid")["event_type"].to_pylist() == list(ODD_TYPES)


class TestParquetOnS3(OnS3):
    table_format = "parquet"


class TestJsonOnS3(OnS3):
    table_format = "json"
