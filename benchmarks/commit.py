"""Many Lambda containers that write into one Delta lake: how many commits a second one ledger takes.

    make bench-commit          50 containers with 10-second batches, then the same without a pause

The lake lies on an S3 emulator, which answers one request at a time; on the same with 20 ms added to each request,
which is about what S3 takes for a small one; and in a folder with 20 ms added to each request, where no emulator is
the bound. Claims are in a Valkey. After each run an independent reader judges the lake.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from headgate.lake.lake import LakeOptions, open_lake
from headgate.lake.opening import open_storage
from headgate.lake.s3_options import S3Options
from headgate.testing.independent import breaches, totals
from headgate.testing.pairs import Servers, servers_running
from headgate.testing.remote_lake import RemoteLake

WRITERS_PY = str(Path(__file__).with_name("commit_writers.py"))
OPENING_SECONDS = 20.0  # for all containers to open
PLACES = {"s3": 0.0, "s3+20ms": 0.020, "folder+20ms": 0.020}  # seconds added to each request


def main() -> int:
    options = arguments()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {options.writers} containers", flush=True)
    is_exact = True
    with tempfile.TemporaryDirectory(dir=options.dir) as scratch:
        folder = Path(scratch)
        with servers_running(folder / "servers") as servers:
            for place in options.places:
                for period in options.periods:
                    is_exact &= measure(place, period, servers, folder, options)
    print(f"\nload {os.getloadavg()[0]:.1f}")
    return 0 if is_exact else 1


def measure(place: str, period: float, servers: Servers, folder: Path, options: argparse.Namespace) -> bool:
    """One run into a new lake; True where it is exact."""
    copy = folder / "lake"
    uri = str(copy) if place.startswith("folder") else servers.make_lake_uri()
    env = {
        **os.environ,
        **servers.env(folder / "cache"),
        "HEADGATE__LAKE__URI": uri,
        "HEADGATE__DEDUP__STORE": servers.redis_uri,
        "HEADGATE__FUNCTION__PUBLISH_SECONDS": str(options.publish_seconds),
    }
    seen = run_writers(env, PLACES[place], period, options)
    pace = f"a batch of {options.events} events every {period:g} s" if period else "batches one after the other"
    print(f"\n{place}: {pace}, for {options.seconds:g} s", flush=True)
    publish_rest(uri, servers)
    if uri.startswith("s3://"):
        RemoteLake(servers.moto, uri).copy(copy)
    show(seen, copy, options)
    found = [*breaches(copy), *strays(seen, copy, options.events)]
    print(f"  {'exact' if not found else 'NOT EXACT'}: {totals(copy)}", flush=True)
    for breach in found:
        print(f"    {breach}", flush=True)
    shutil.rmtree(copy)
    return not found


def run_writers(env: dict[str, str], delay: float, period: float, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Start the processes together and wait for them; what each writer saw."""
    share = -(-options.writers // options.processes)
    start = time.time() + OPENING_SECONDS
    children = [
        subprocess.Popen(
            [
                *(sys.executable, WRITERS_PY, str(first), str(min(share, options.writers - first)), str(start)),
                *(str(options.seconds), str(period), str(options.events), str(options.types), str(delay)),
            ],
            stdout=subprocess.PIPE,
            env=env,
        )
        for first in range(0, options.writers, share)
    ]
    outputs = [child.communicate()[0] for child in children]
    if any(child.returncode for child in children):
        sys.exit("a writer failed")
    return [seen for output in outputs for seen in json.loads(output)]


def publish_rest(uri: str, servers: Servers) -> None:
    """What the last invocations left to whoever comes next."""
    os.environ.update(servers.env(Path()))
    options = S3Options(endpoint_url=servers.moto.endpoint_url, is_http_allowed=True)
    lake = open_lake(open_storage(uri, options), None, LakeOptions(), now_us=lambda: time.time_ns() // 1000)
    lake.publish()
    lake.close()


def show(seen: list[dict[str, Any]], lake: Path, options: argparse.Namespace) -> None:
    """Print what the writers saw and what the lake says."""
    every = {name: np.array([value for one in seen for value in one[name]]) for name in ("latencies", "ends", "late")}
    sums = {name: sum(one[name] for one in seen) for name in ("requests", "appends", "conflicts")}
    commits, failures = len(every["latencies"]), [f for one in seen for f in one["failures"]]
    window = max(every["ends"]) - (min(every["ends"] - every["latencies"]))
    quantiles = ", ".join(
        f"{q}: {np.percentile(every['latencies'], p):.2f} s"
        for q, p in (("p50", 50), ("p95", 95), ("p99", 99), ("max", 100))
    )
    shown = [s for s in published(lake) if s > 0]
    print(
        f"  ledger        {commits:,} commits, {commits / window:.2f}/s; {sums['conflicts'] / commits:.2f} conflicts "
        f"a commit; {sums['requests'] / commits:.0f} requests a commit, {sums['requests'] / window:.0f}/s"
    )
    print(
        f"  publication   {len(shown)} Delta commits of events, {60 * len(shown) / window:.1f} a minute; "
        f"{np.mean(shown):.1f} entries each, at most {max(shown)}"
    )
    print(f"  a commit      {quantiles}; begun {np.percentile(every['late'], 95):.2f} s late (p95)")
    print(f"  given up and handed over again: {len(failures)}{', as: ' + failures[0] if failures else ''}", flush=True)


def published(lake: Path) -> list[int]:
    """Ledger entries that each version of the Delta table shows."""
    found = []
    for path in sorted((lake / "events" / "_delta_log").glob("*.json")):
        actions = [json.loads(line) for line in path.read_text().splitlines()]
        for action in actions:
            if "headgate" in action.get("commitInfo", {}):
                first, _, last = action["commitInfo"]["headgate"].partition("..")
                found.append(int(last) - int(first) + 1)
    return found


def strays(seen: list[dict[str, Any]], lake: Path, events: int) -> list[str]:
    """Rows that are missing or too many, by what the writers handed over."""
    wanted, found = events * sum(len(one["latencies"]) for one in seen), totals(lake)
    return [] if sum(found) == wanted else [f"{sum(found):,} rows, {wanted:,} were handed over"]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--writers", type=int, default=50)
    parser.add_argument("--processes", type=int, default=5, help="that the writers share")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each run")
    parser.add_argument("--periods", type=float, nargs="+", default=[10.0, 0.0], help="seconds between two batches")
    parser.add_argument("--events", type=int, default=56, help="a batch: 1,000,000 an hour over 50 shards for 10 s")
    parser.add_argument("--types", type=int, default=2, help="event types; each is a file a batch")
    parser.add_argument("--publish-seconds", type=float, default=10.0, help="[function] publish_seconds")
    parser.add_argument("--places", nargs="+", choices=[*PLACES], default=[*PLACES])
    parser.add_argument("--dir", type=Path, help="where to work, in a folder that is removed")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
