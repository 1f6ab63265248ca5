"""The Kinesis consumer bound by nothing but itself: recorded answers of GetRecords through `headgate run`.

    make bench-stream          1,000,000 events of 100 types, as records of one event and of 20

Answers hold what the service's do: up to 10,000 records or 10 MB. They are handed to a real boto3 client without a
network; the pace of reading is the consumer's own, 5 calls and 2 MB a second a shard, over as many shards as make that
no bound. Stores on AWS are an emulator that takes one request an id: it bounds them, and they get fewer events.
Beside it in the same run: the reading alone, the SDK's parser and plain JSON on the same answers, and bare DuckDB on
the same events (no validation, de-duplication, commit or restart).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

from headgate.testing.pairs import Servers, servers_running
from main_job import HEADGATE, PEER, measured
from stream_child import write_recording

CHILD = [sys.executable, str(Path(__file__).with_name("stream_child.py"))]
START = "2026-11-01T00:00:00Z"
SHARDS = 64  # 128 MB/s, more than is taken
ANSWER_RECORDS, ANSWER_BYTES = 10_000, 10 << 20  # GetRecords API reference
QUIET = 1.5  # load average a core, above which figures are no figures


def main() -> None:
    options = arguments()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
    if os.getloadavg()[0] > QUIET * (os.cpu_count() or 1):
        print("the machine is busy: the figures below are not usable")
    with tempfile.TemporaryDirectory(dir=options.dir) as scratch:
        folder = Path(scratch)
        lines, truth = make_lines(options.events, folder)
        recordings = {n: record(lines, n, folder / f"records-{n}") for n in options.per_record}
        few = record(lines[: options.few], 1, folder / "few")
        with servers_running(folder / "servers") as servers:
            for per_record, recording in recordings.items():
                print(f"\nrecords of {per_record} event{'s' if per_record > 1 else ''}", flush=True)
                parsers(recording, per_record)
                for store in options.stores:
                    if store in ("rocksdb", "redis", "memory"):
                        show(store, run(recording, store, servers, folder), truth)
            print(f"\non an emulator, which bounds it, {options.few:,} events", flush=True)
            for store in options.stores:
                if store in ("dynamodb", "s3"):
                    show(store, run(few, store, servers, folder), None)
        wall, cpu, peak, _ = measured([sys.executable, "-c", PEER, str(folder / "events.jsonl"), f"{scratch}/peer"])
        print(
            f"\npeer: bare DuckDB    {options.events / wall:>9,.0f} events/s   {wall:6.2f} s   CPU {cpu:6.2f} s"
            f"   peak {peak:5,.0f} MiB   (parse and write only, from a file)"
        )
    print(f"load {os.getloadavg()[0]:.1f}")


def make_lines(events: int, folder: Path) -> tuple[list[bytes], dict[str, object]]:
    """The events, and what is known of them."""
    flags = ["--events", str(events), "--start", START, "--truth", f"{folder}/truth.json"]
    subprocess.run(
        [*HEADGATE, "generate", *flags, "--out", f"{folder}/events.jsonl"], check=True, stdout=subprocess.DEVNULL
    )
    return (folder / "events.jsonl").read_bytes().split(b"\n")[:-1], json.loads((folder / "truth.json").read_text())


def record(lines: list[bytes], per_record: int, folder: Path) -> Path:
    """Answers that hold them."""
    records = [b"\n".join(lines[i : i + per_record]) for i in range(0, len(lines), per_record)]
    largest = max(map(len, records))
    arrived = datetime.fromisoformat(START) + timedelta(hours=len(lines) / 1_000_000)
    write_recording(
        folder,
        records,
        shards=SHARDS,
        per_answer=min(ANSWER_RECORDS, max(1, ANSWER_BYTES // largest)),
        arrived_us=round(arrived.timestamp()) * 1_000_000,
    )
    return folder


def parsers(recording: Path, per_record: int) -> None:
    """Print what reading costs by itself."""
    names = {"read": "reading alone", "boto": "  the SDK's parser", "json": "  json and base64"}
    for what, name in names.items():
        _, _, _, output = measured([*CHILD, what, str(recording)])
        took = json.loads(output)
        events = took["records"] * per_record
        print(
            f"{name:<20} {events / took['wall']:>9,.0f} events/s   CPU {took['cpu'] / events * 1e6:5.2f} s a million, "
            f"{took['cpu'] / took['records'] * 1e6:.2f} µs a record",
            flush=True,
        )


def run(recording: Path, store: str, servers: Servers, folder: Path) -> dict[str, object]:
    """One run into a new Delta lake on this disk."""
    lake = folder / "lake"
    os.environ.update(servers.env(folder / "cache"))
    flags = ["--dedup", "memory:"] if store == "memory" else servers.dedup(store)
    wall, cpu, peak, output = measured([*CHILD, "run", str(recording), str(lake), "--format", "delta", *flags])
    shutil.rmtree(lake)
    return {**json.loads(output), "wall": wall, "cpu": cpu, "peak_mib": peak}


def show(store: str, result: dict[str, object], truth: dict[str, object] | None) -> None:
    """Print one run; where the truth is known it must be found."""
    received, flow = int(str(result["received"])), float(str(result["flow_seconds"]))
    print(
        f"{store + ' claims':<20} {received / flow:>9,.0f} events/s   {flow:6.2f} s   CPU {result['cpu']:6.2f} s"
        f"   peak {result['peak_mib']:5,.0f} MiB   {result['commits']} commits, {result['files']} files",
        flush=True,
    )
    stages, in_stages = result["stages"], 0.0
    assert isinstance(stages, dict)
    for stage, times in stages.items():
        in_stages += times["cpu_seconds"]
        print(
            f"    {stage:<10} {times['wall_seconds']:6.2f} s wall   "
            f"{times['cpu_seconds'] / received * 1e6:5.2f} CPU-s per million"
        )
    rest = (float(str(result["cpu"])) - in_stages) / received * 1e6
    print(f"    {'elsewhere':<10} {'':13}   {rest:5.2f} CPU-s per million (reading, writers, engines, start-up)")
    for name in ("received", "accepted", "duplicates", "rejected") if truth else ():
        if result[name] != truth[name]:
            print(f"    NOT EXACT: {result[name]:,} {name}, the truth is {truth[name]:,}")


def arguments() -> argparse.Namespace:
    """The command line."""
    every = ["rocksdb", "redis", "memory", "dynamodb", "s3"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--few", type=int, default=2_000, help="events for stores on an emulator")
    parser.add_argument("--per-record", type=int, nargs="+", default=[1, 20], help="events a record")
    parser.add_argument("--stores", nargs="+", choices=every, default=every)
    parser.add_argument("--dir", type=Path, help="where to work, in a folder that is removed")
    return parser.parse_args()


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
