"""Kinesis as a source: shards and their lineage, positions, reading ahead, limits."""
