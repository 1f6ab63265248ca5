"""The same events in each format: bytes, files, time of queries; and what no transformation at all would save.

    python benchmarks/formats.py [--events 1000000]

Each format takes the same generated file through `headgate run`, is asked through `headgate query`, start-up included,
and a delta lake is compacted and built. Beside it stand two ways that transform nothing: the bytes copied as they are,
and compressed. CPU seconds are of the process, stages as the run counts them.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from main_job import HEADGATE, make_input, measured

COPY = "import shutil, sys; shutil.copyfileobj(open(sys.argv[1], 'rb'), open(sys.argv[2], 'wb'), 4 << 20)"
COMPRESS = (
    "import sys, zstandard; zstandard.ZstdCompressor(level=1).copy_stream(open(sys.argv[1], 'rb'), "
    "open(sys.argv[2], 'wb'))"
)
QUERIES = {
    "count by type": "SELECT event_type, count(*) FROM events GROUP BY 1",
    "one type": "SELECT count(DISTINCT event_uuid) FROM events WHERE event_type = 'payment'",
    "a field of the payload": "SELECT count(payload->>'amount') FROM events WHERE event_type = 'payment'",
}
TRANSFORMING = ("decode", "dedup")  # stages that a plain copy would not need


def size(folder: Path) -> tuple[int, int]:
    """Bytes and number of the data files below a folder."""
    files = [p for p in folder.rglob("*") if p.is_file() and "_delta_log" not in p.parts]
    return sum(p.stat().st_size for p in files), len(files)


def ask(lake: Path) -> None:
    """Print the best of three times of each query."""
    for name, sql in QUERIES.items():
        wall = min(measured([*HEADGATE, "query", str(lake), sql, "--json"])[0] for _ in range(3))
        print(f"    {name:<24} {wall:5.2f} s")


def show_run(path: Path, lake: Path, table_format: str, events: int) -> None:
    """One run: its CPU seconds by stage, and what lies in the lake."""
    command = [*HEADGATE, "run", str(path), str(lake), "--format", table_format, "--json"]
    wall, cpu, _, output = measured(command)
    stages = json.loads(output)["stages"]
    by_stage = {stage: times["cpu_seconds"] / events * 1e6 for stage, times in stages.items()}
    transforming = sum(by_stage[stage] for stage in TRANSFORMING)
    stored, files = size(lake / "events")
    print(f"{table_format:<8} {wall:6.1f} s, CPU {cpu / events * 1e6:5.1f} s a million, of it decoding, validating, "
          f"enriching and de-duplicating {transforming:.1f} ({transforming / cpu * events / 1e6:.0%})")  # fmt: skip
    print(f"    events: {stored / events:6.1f} bytes an event in {files:,} files")
    ask(lake)


def show_delta(lake: Path, events: int) -> None:
    """What compaction and typed tables make of a delta lake."""
    wall, _, _, _ = measured([*HEADGATE, "build", str(lake), "--json"])
    built, tables = size(lake / "analytics")
    print(f"build    {wall:6.1f} s; typed tables: {built / events:.1f} bytes an event in {tables:,} files")
    wall, _, _, output = measured([*HEADGATE, "compact", str(lake), "--json"])
    print(f"compact  {wall:6.1f} s; {json.dumps(json.loads(output))[:400]}")
    ask(lake)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--formats", default="delta,parquet,json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        path = make_input(options.events, folder)
        print(f"input: {options.events:,} events, {path.stat().st_size / options.events:.0f} bytes each")
        for name, program in (("copy", COPY), ("zstd", COMPRESS)):
            wall, cpu, _, _ = measured([sys.executable, "-c", program, str(path), str(folder / name)])
            stored, million = (folder / name).stat().st_size / options.events, options.events / 1e6
            print(f"{name:<8} {wall:6.1f} s, CPU {cpu / million:5.1f} s a million; {stored:.1f} bytes an event")
        for table_format in options.formats.split(","):
            lake = folder / table_format
            show_run(path, lake, table_format, options.events)
            if table_format == "delta":
                show_delta(lake, options.events)


if __name__ == "__main__":
    main()
