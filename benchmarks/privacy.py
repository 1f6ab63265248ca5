"""What `[privacy]` costs: the same generated events through `run` without and with it, in turn.

    python benchmarks/privacy.py --events 500000

Prints CPU seconds of the whole process, the least of some runs, and by how many microseconds an event they differ.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MAIN = [sys.executable, "-c", "from headgate.entrypoints.cli import main; main()"]
KEY = "0123456789abcdef0123456789abcdef"
SETTINGS = {
    "off": {},
    "a path that never occurs": {"DROP": "nowhere"},
    "one hash (48 % of events)": {"HASH": "user_id"},
    "hash, mask and drop (93 % of events)": {"HASH": "user_id", "MASK": "country", "DROP": "device.browser"},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--times", type=int, default=2)
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {options.events:,} events")
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in SETTINGS}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "events.jsonl"
        subprocess.run([*MAIN, "generate", "--events", str(options.events), "--out", source], check=True)
        for turn in range(options.times):
            for name, given in SETTINGS.items():
                found[name].append(measure(source, Path(folder) / f"{turn}-{len(name)}", given))
    least = {name: (min(cpu for cpu, _ in some), min(wall for _, wall in some)) for name, some in found.items()}
    for name, (cpu, wall) in least.items():
        more = (cpu - least["off"][0]) / options.events * 1e6
        rate = options.events / wall
        print(f"{name:<38} {cpu:6.2f} s CPU, {wall:6.2f} s; {rate:9,.0f} events/s; {more:+5.1f} µs CPU an event")
    return 0


def measure(source: Path, lake: Path, given: dict[str, str]) -> tuple[float, float]:
    """CPU and wall seconds of one run into a new lake."""
    env = {**os.environ, "HEADGATE_PRIVACY_KEY": KEY, **{f"HEADGATE__PRIVACY__{k}": v for k, v in given.items()}}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([*MAIN, "run", source, lake], env=env, check=True, capture_output=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


if __name__ == "__main__":
    sys.exit(main())
