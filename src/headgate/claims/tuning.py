"""How RocksDB is set for claims: little memory, few merges, no compression (ids are noise)."""

from __future__ import annotations

from rocksdict import (
    BlockBasedIndexType,
    BlockBasedOptions,
    Cache,
    DBCompactionStyle,
    DBCompressionType,
    Options,
    UniversalCompactOptions,
)

WRITE_BUFFER_BYTES = 8 << 20  # bytes; small writes of one bucket before they become a file
ALL_WRITE_BUFFERS_BYTES = 64 << 20  # bytes
FILES_BEFORE_MERGE = 16  # sorted files of a bucket before RocksDB merges them
MERGE_WIDTH = 8  # files of a size that are merged together; each id is rewritten once a factor of 8
MAX_OPEN_FILES = 512
METADATA_BLOCK_BYTES = 4 << 10  # bytes; a piece of an index or filter
SYNC_EVERY_BYTES = 4 << 20  # bytes; merging writes back steadily, not at its end


def claim_options(cache: Cache) -> Options:
    """Settings of the database and of each bucket.

    Args:
        cache: blocks, indexes and filters of all buckets.

    Returns:
        The settings for opening, for a new bucket, and for a file that is to be taken in.
    """
    table = BlockBasedOptions()
    table.set_bloom_filter(10, False)
    table.set_block_cache(cache)
    table.set_index_type(BlockBasedIndexType.two_level_index_search())
    table.set_partition_filters(True)  # else a merged file's filter is larger than a part of the cache
    table.set_metadata_block_size(METADATA_BLOCK_BYTES)
    table.set_cache_index_and_filter_blocks(True)
    table.set_pin_top_level_index_and_filter(True)
    table.set_format_version(5)
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.create_missing_column_families(True)
    options.set_block_based_table_factory(table)
    options.set_compression_type(DBCompressionType.none())
    options.set_write_buffer_size(WRITE_BUFFER_BYTES)
    options.set_db_write_buffer_size(ALL_WRITE_BUFFERS_BYTES)
    options.set_max_total_wal_size(ALL_WRITE_BUFFERS_BYTES)
    options.set_max_background_jobs(2)
    options.set_max_open_files(MAX_OPEN_FILES)
    options.set_bytes_per_sync(SYNC_EVERY_BYTES)
    options.set_keep_log_file_num(2)
    options.set_stats_dump_period_sec(0)
    _merge_seldom(options)
    return options


def _merge_seldom(options: Options) -> None:
    """Merge many files of about one size at a time: ids are hardly ever overwritten, so merges win little."""
    merges = UniversalCompactOptions()
    merges.min_merge_width = MERGE_WIDTH
    merges.max_merge_width = 2 * MERGE_WIDTH
    merges.size_ratio = 20  # percent
    merges.max_size_amplification_percent = 100_000  # percent; there is next to nothing to win back
    options.set_universal_compaction_options(merges)
    options.set_compaction_style(DBCompactionStyle.universal())
    options.set_level_zero_file_num_compaction_trigger(FILES_BEFORE_MERGE)
    options.set_level_zero_slowdown_writes_trigger(8 * FILES_BEFORE_MERGE)
    options.set_level_zero_stop_writes_trigger(16 * FILES_BEFORE_MERGE)
