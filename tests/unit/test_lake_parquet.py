"""Parquet files hold what the schema says, and no bounds of texts."""

import io

import pyarrow as pa
import pyarrow.parquet as pq

from headgate.core.partition import split
from headgate.core.schema import EVENTS, PARTITIONS
from headgate.lake import parquet
from headgate.records import Shard
from headgate.testing.lake_rows import event_rows, quality_rows

SHARD = Shard("source", "shard")


def test_rows_are_read_back_as_plain_columns():
    rows = parquet.prepare(event_rows([("a", "t"), ("b", "t")], SHARD)).drop_columns(list(PARTITIONS["events"]))
    read = pq.read_table(io.BytesIO(parquet.encode(rows)))
    assert read.schema.remove_metadata() == pa.schema([f for f in EVENTS if f.name not in PARTITIONS["events"]])
    assert read["event_uuid"].to_pylist() == ["a", "b"]


def test_only_times_have_statistics():
    rows = event_rows([("a", "t"), ("b", "t")], SHARD).drop_columns(list(PARTITIONS["events"]))
    group = pq.read_metadata(io.BytesIO(parquet.encode(rows))).row_group(0)
    columns = [group.column(i) for i in range(group.num_columns)]
    assert {c.path_in_schema for c in columns if c.statistics} == {"created_datetime", "arrived_at"}


def test_maps_are_compressed_and_read_back():
    read = pq.read_table(io.BytesIO(parquet.encode(quality_rows(["t"]))))
    assert read["reasons"].to_pylist() == [[("malformed_json", 1)]]


def test_a_column_of_many_values_is_no_dictionary():
    rows = event_rows([(str(i), f"t{i}") for i in range(129)], SHARD)
    given = rows.set_column(1, "event_name", rows["event_name"].combine_chunks().dictionary_encode())
    for table in (rows, given):
        prepared = parquet.prepare(table)
        assert prepared.schema.field("event_name").type == pa.string()
        assert pa.types.is_dictionary(prepared.schema.field("source").type)


def test_bounds_are_rounded_outwards_for_each_partition():
    rows = event_rows([("a", "t"), ("b", "u")], SHARD)
    times = pa.array([-1, 1_500_001], pa.int64()).cast(rows.schema.field("created_datetime").type)
    rows = rows.set_column(rows.schema.get_field_index("created_datetime"), "created_datetime", times)
    ordered, parts = split(rows, PARTITIONS["events"])
    first, second = parquet.time_statistics(ordered, parts)
    assert (first["minValues"]["created_datetime"], first["maxValues"]["created_datetime"]) == (
        "1969-12-31T23:59:59.999Z",
        "1970-01-01T00:00:00.000Z",
    )
    assert second["maxValues"]["created_datetime"] == "1970-01-01T00:00:01.501Z"
    assert (second["numRecords"], second["nullCount"]["created_datetime"]) == (1, 0)
