"""Random SIGKILLs in a long run: `python benchmarks/kill.py [--kills 100] [--events 300000] [--formats ...]`.

Every process gets other batch sizes. After the last one an independent reader judges the lake: every id once,
conservation exact, all counts those of the generator. Exit code 1 on any deviation.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from headgate.testing.independent import breaches, totals
from headgate.testing.kills import run_with_kills
from headgate.testing.processes import run

BATCHES_A_LIFE = 3  # about; a kill then falls into any stage of any batch


def main() -> int:
    """Run and judge every format."""
    options = arguments()
    folder = Path(tempfile.mkdtemp(prefix="headgate-kill-", dir=options.dir))
    source, truth = folder / "events.jsonl", folder / "truth.json"
    wanted = ["--events", str(options.events), "--types", str(options.types), "--seed", str(options.seed)]
    code, child = run(["generate", *wanted, "--out", source, "--truth", truth], folder / "generate", seconds=600)
    if code:
        print(child.errors(), file=sys.stderr)
        return 1
    print(f"{options.events:,} events, {options.kills} kills, seed {options.seed}, in {folder}", flush=True)
    formats = options.formats.split(",")
    exact = [killed(folder, table_format, options) for table_format in formats]
    if all(exact):
        shutil.rmtree(folder)
    return 0 if all(exact) else 1


def killed(folder: Path, table_format: str, options: argparse.Namespace) -> bool:
    """Run one format to its end; True where everything is exact."""
    lake, began = folder / table_format, time.monotonic()
    size = max(20, options.events // (options.kills + 1) // BATCHES_A_LIFE)
    outcome = run_with_kills(
        ["run", folder / "events.jsonl", lake, "--format", table_format],
        lake,
        folder / f"logs-{table_format}",
        kills=options.kills,
        records=options.events,
        batch_events=(max(1, size // 4), 2 * size),
        rng=random.Random(f"{options.seed} {table_format}"),
    )
    took = time.monotonic() - began
    found = breaches(lake, json.loads((folder / "truth.json").read_text()))
    if outcome.exit_code:
        found.append(f"the last run ended with {outcome.exit_code}: {outcome.errors[-500:]}")
    if outcome.kills < options.kills:
        found.append(f"only {outcome.kills} of {options.kills} kills found the run at work: take more events")
    print(
        f"{table_format:8} {outcome.kills} kills, {outcome.starts} starts, {took:.0f} s: "
        f"{totals(lake)} {'exact' if not found else 'NOT EXACT'}",
        flush=True,
    )
    for breach in found:
        print(f"  {breach}", flush=True)
    return not found


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="for each format")
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--formats", default="delta,parquet,json")
    parser.add_argument("--types", type=int, default=100, help="event types")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dir", type=Path, help="where to work; kept after a deviation")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
