"""The main job: events/s, CPU seconds of each stage and peak memory, beside a peer that promises nothing.

    make bench                 1,000,000 events to delta and to parquet
    make bench-long            20,000,000 events: does memory grow with the number of events?

Behind it the same job with nothing told and with everything told, by turns: metrics served and scraped every second,
JSON log lines at level debug. What of `quality` costs time whether somebody looks or not, bench-quality tells.

The peer is bare DuckDB on the same file in the same run: lenient JSON parsing and one partitioned Parquet write,
without validation, de-duplication, commit or restart. The physical limit is reading the file.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

HEADGATE = [sys.executable, "-c", "from headgate.entrypoints.cli import main; main()"]
PEER = """
import duckdb, sys
con = duckdb.connect()
con.execute("SET threads = 2; SET memory_limit = '1.4GB'; SET TimeZone = 'UTC'")
con.execute('''COPY (
  SELECT id AS event_uuid, name AS event_name, split_part(name, ':', 1) AS event_type, ts AS created_at, payload,
         CASE WHEN ts BETWEEN 0 AND 1e11 THEN make_timestamp((ts * 1e6)::BIGINT)::DATE END AS created_date
  FROM (SELECT payload, j.event_uuid AS id, j.event_name AS name, try_cast(j.created_at AS DOUBLE) AS ts
        FROM (SELECT json AS payload, json_transform(json, '{"event_uuid":"VARCHAR","event_name":"VARCHAR",
                "created_at":"VARCHAR"}') AS j
              FROM read_json_objects($1, format='newline_delimited', ignore_errors=true) WHERE json IS NOT NULL))
  WHERE length(name) < 100
) TO $2 (FORMAT parquet, PARTITION_BY (event_type, created_date), COMPRESSION zstd)''', [sys.argv[1], sys.argv[2]])
"""


def measured(command: list[str]) -> tuple[float, float, float, str]:
    """Wall seconds, CPU seconds, peak MiB and output of a child process."""
    began = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert child.stdout is not None
    output = child.stdout.read().decode()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{' '.join(command[:4])} ... ended with {child.returncode}")
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, output


def make_input(events: int, folder: Path) -> Path:
    """The generated file; kept between runs where the folder is kept."""
    path = folder / f"events-{events}.jsonl"
    if not path.exists():
        print(f"generating {events:,} events ...", flush=True)
        options = ["--events", str(events), "--out", str(path), "--start", "2026-11-01T00:00:00Z"]
        subprocess.run([*HEADGATE, "generate", *options], check=True, stdout=subprocess.DEVNULL)
    return path


def run_headgate(path: Path, table_format: str, folder: Path, extra: list[str]) -> dict[str, object]:
    """One run into a new lake."""
    lake = folder / f"lake-{table_format}"
    shutil.rmtree(lake, ignore_errors=True)
    command = [*HEADGATE, "run", str(path), str(lake), "--format", table_format, "--json", *extra]
    wall, cpu, peak, output = measured(command)
    result = json.loads(output)
    shutil.rmtree(lake)
    return {**result, "wall": wall, "cpu": cpu, "peak_mib": peak}


class Scraper(threading.Thread):
    """Reads a run's metrics every second, as Prometheus would, until it ends."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port, self.scrapes, self.seconds, self.is_over = port, 0, 0.0, threading.Event()

    def run(self) -> None:
        while not self.is_over.wait(1.0):
            began = time.perf_counter()
            with contextlib.suppress(OSError):
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
                    answer.read()
                self.scrapes, self.seconds = self.scrapes + 1, self.seconds + time.perf_counter() - began


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def compare(path: Path, table_format: str, folder: Path, extra: list[str], pairs: int) -> None:
    """The job with nothing told beside the job with everything told, by turns; medians."""
    flow: dict[str, list[float]] = {"off": [], "on": []}
    cpu: dict[str, list[float]] = {"off": [], "on": []}
    scrapes = 0
    for turn in range(2 * pairs):
        which = "off" if turn % 4 in (0, 3) else "on"
        os.environ["HEADGATE__LOG__LEVEL"] = "error" if which == "off" else "debug"
        os.environ["HEADGATE__LOG__FORMAT"] = "json"
        port = free_port()
        scraper = Scraper(port)
        more = [] if which == "off" else ["--metrics", str(port)]
        if which == "on":
            scraper.start()
        result = run_headgate(path, table_format, folder, [*extra, *more])
        scraper.is_over.set()
        scrapes += scraper.scrapes
        flow[which].append(float(str(result["flow_seconds"])))
        cpu[which].append(float(str(result["cpu"])))
    off, on = statistics.median(flow["off"]), statistics.median(flow["on"])
    off_cpu, on_cpu = statistics.median(cpu["off"]), statistics.median(cpu["on"])
    print(
        f"telling {table_format:<8} off {off:6.2f} s, CPU {off_cpu:.2f} s   on {on:6.2f} s, CPU {on_cpu:.2f} s   "
        f"{(on / off - 1) * 100:+.1f} % ({(on_cpu / off_cpu - 1) * 100:+.1f} % CPU)   medians of {pairs} each, "
        f"{scrapes} scrapes"
    )


def show(table_format: str, result: dict[str, object]) -> None:
    received, flow = int(str(result["received"])), float(str(result["flow_seconds"]))
    print(
        f"headgate {table_format:<8} {received / flow:>9,.0f} events/s   {flow:6.2f} s   CPU {result['cpu']:6.2f} s"
        f"   peak {result['peak_mib']:5,.0f} MiB   {result['files']:>6} files   conserved: {result['conserved']}"
    )
    stages = result["stages"]
    assert isinstance(stages, dict)
    in_stages = 0.0
    for stage, times in stages.items():
        per_million = times["cpu_seconds"] / received * 1e6
        in_stages += times["cpu_seconds"]
        print(f"    {stage:<10} {times['wall_seconds']:6.2f} s wall   {per_million:5.2f} CPU-s per million")
    rest = (float(str(result["cpu"])) - in_stages) / received * 1e6
    print(f"    {'elsewhere':<10} {'':13}   {rest:5.2f} CPU-s per million (reading, writers, engines, start-up)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--formats", default="delta,parquet")
    parser.add_argument("--folder", type=Path, help="keep the generated input here")
    parser.add_argument("--repeat", type=int, default=1, help="show the best of so many runs")
    parser.add_argument("--pairs", type=int, default=3, help="runs with nothing told and with everything told; 0: none")
    options, extra = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        path = make_input(options.events, folder)
        began = time.perf_counter()
        with path.open("rb") as file:
            while file.read(4 << 20):
                pass
        print(f"input: {options.events:,} events, {path.stat().st_size / 2**20:,.0f} MiB; {os.cpu_count()} cores")
        print(f"reading it alone: {time.perf_counter() - began:.2f} s")
        for table_format in options.formats.split(","):
            runs = [run_headgate(path, table_format, Path(scratch), extra) for _ in range(options.repeat)]
            show(table_format, min(runs, key=lambda r: float(str(r["flow_seconds"]))))
        if options.pairs:
            compare(path, options.formats.split(",")[0], Path(scratch), extra, options.pairs)
        wall, cpu, peak, _ = measured([sys.executable, "-c", PEER, str(path), f"{scratch}/peer"])
        print(
            f"peer: bare DuckDB  {options.events / wall:>9,.0f} events/s   {wall:6.2f} s   CPU {cpu:6.2f} s"
            f"   peak {peak:5,.0f} MiB   (parse and write only)"
        )


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
