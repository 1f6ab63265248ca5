"""Every claim store with every format, local and on S3, killed again and again: `python benchmarks/pairs.py`.

After the last process an independent reader judges each lake: every id once, conservation exact, all counts those of
the generator. S3 and DynamoDB are an emulator, Redis is a real Valkey. Exit code 1 on any deviation.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from headgate.testing.independent import totals
from headgate.testing.pairs import ALL, Generated, Pair, Servers, generate, killed_pair, servers_running

BATCHES_A_LIFE = 3  # about; a kill then falls into any stage of any batch
SLOW_STORES = ("dynamodb", "s3")  # one request an id, of which the emulator takes about 150 a second
SLOW_SHARE = 5  # of the events
ENOUGH = 0.75  # of the kills must have found the run at work; the last ones may come too late


def main() -> int:
    """Run and judge the pairs that are asked for."""
    options = arguments()
    folder = Path(tempfile.mkdtemp(prefix="headgate-pairs-", dir=options.dir))
    flags = ["--types", str(options.types), "--duplicates", "0.1", "--seed", str(options.seed)]
    inputs = {n: generate(folder / f"events-{n}", n, *flags) for n in (options.events, options.events // SLOW_SHARE)}
    pairs = [pair for pair in ALL if options.only in "-".join(pair)]
    print(f"{len(pairs)} pairs, {options.kills} kills each, seed {options.seed}, in {folder}", flush=True)
    with servers_running(folder / "servers") as servers:
        exact = [
            killed(pair, servers, inputs[options.events // (SLOW_SHARE if pair.store in SLOW_STORES else 1)], options)
            for pair in pairs
        ]
    print(f"{sum(exact)} of {len(pairs)} pairs exact")
    if all(exact):
        shutil.rmtree(folder)
    return 0 if all(exact) else 1


def killed(pair: Pair, servers: Servers, generated: Generated, options: argparse.Namespace) -> bool:
    """Run one pair to its end; True where everything is exact."""
    began = time.monotonic()
    folder = generated.source.parent.parent / "-".join(pair)
    size = max(20, generated.events // (options.kills + 1) // BATCHES_A_LIFE)
    judged = killed_pair(
        pair,
        servers,
        generated,
        folder,
        kills=options.kills,
        batch_events=(max(1, size // 4), 2 * size),
        rng=random.Random(f"{options.seed} {pair}"),
    )
    outcome, found = judged.outcome, list(judged.breaches)
    if outcome.exit_code:
        found.append(f"the last run ended with {outcome.exit_code}: {outcome.errors[-500:]}")
    if outcome.kills < options.kills * ENOUGH:
        found.append(f"only {outcome.kills} of {options.kills} kills found the run at work: take more events")
    print(
        f"{pair!s:40} {outcome.kills} kills, {outcome.starts} starts, {time.monotonic() - began:.0f} s: "
        f"{totals(folder / 'lake')} {'exact' if not found else 'NOT EXACT'}",
        flush=True,
    )
    for breach in found:
        print(f"  {breach}", flush=True)
    if not found:
        shutil.rmtree(folder)
    return not found


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="for each pair")
    parser.add_argument("--events", type=int, default=20_000, help="a fifth where claims are in DynamoDB or S3")
    parser.add_argument("--only", default="", help="pairs whose name holds this, such as redis-delta or -s3")
    parser.add_argument("--types", type=int, default=5, help="event types")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dir", type=Path, help="where to work; kept after a deviation")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
