"""`run`, `build` and `compact` at once, each killed again and again: `python benchmarks/build_kill.py [--seconds 120]`.

Generated events (several types, copies, rubbish, late ones, fields whose types drift) flow into files of a folder.
`headgate run` follows them with small batches, other ones after each kill; `headgate build` (a fifth of the runs with
`--date`) and `headgate compact` run beside it all the time. At random moments SIGKILL ends each of them. At the end
the lake is drained, built and compacted once more; independent readers and `headgate verify` then judge it: each id
once in `events` and once, with every value as it was sent, in its typed table; conservation and the generator's counts.

    python benchmarks/build_kill.py --seed 1
    python benchmarks/build_kill.py --format parquet       # which is not compacted
    python benchmarks/build_kill.py --s3 --rate 300        # the lake on an S3 server (moto)

Exit code 1 on any deviation.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from headgate.testing.flowing_files import FlowingFiles, flowing_events
from headgate.testing.independent import totals
from headgate.testing.killed_jobs import Ended, Place, commits, killed_jobs, unnamed_files
from headgate.testing.pairs import Servers
from headgate.testing.remote_lake import RemoteLake
from headgate.testing.server_moto import moto_serving
from headgate.testing.typed_reader import typed_folders, typed_rows

RUN_SECONDS = 8.0  # that a consumer lives at most


def main() -> int:
    """Run, kill, judge, print."""
    options = arguments()
    folder = Path(tempfile.mkdtemp(prefix="headgate-build-kill-", dir=options.dir))
    rng = random.Random(options.seed)
    lines, truth = flowing_events(int(options.seconds * options.rate), rng, types=options.types)
    where = f"{options.format}{' on S3' if options.s3 else ''}"
    print(f"{where}, {options.seconds:.0f} s, {options.rate:.0f} lines/s, seed {options.seed}, in {folder}", flush=True)
    with ExitStack() as stack:
        flow = FlowingFiles(lines, folder / "source", rng, lines_a_second=options.rate)
        began = time.monotonic()
        ended = killed_jobs(
            place_of(options, folder, stack),
            flow,
            truth,
            rng,
            batch_events=(20, 500),
            run_seconds=RUN_SECONDS,
            is_over=lambda _: time.monotonic() - began > options.seconds,
        )
        took = time.monotonic() - began
    show(ended, flow, took)
    if not ended.found:
        shutil.rmtree(folder)
    return 1 if ended.found else 0


def place_of(options: argparse.Namespace, folder: Path, stack: ExitStack) -> Place:
    """A lake in the folder, or on an S3 server that lives as long as the stack."""
    uri, env, remote = str(folder / "lake"), {}, None
    if options.s3:
        servers = Servers(moto=stack.enter_context(moto_serving(folder / "moto")), redis_uri="")
        uri, env = servers.make_lake_uri(), servers.env(folder / "cache")
        remote = RemoteLake(servers.moto, uri)
    return Place(
        source=folder / "source",
        lake=uri,
        table_format=options.format,
        logs=folder / "logs",
        env=env,
        remote=remote,
    )


def show(ended: Ended, flow: FlowingFiles, took: float) -> None:
    """One line a figure."""
    tables = totals(ended.folder)
    done = {name: count for name, count in commits(ended.folder).items() if count}
    before, after = ended.compacted
    compacted = {"files before the last compaction": f"{before:,}", "files after it": f"{after:,}"} if before else {}
    figures: dict[str, object] = {
        "lines written": f"{flow.written:,} in {flow.files} files",
        **{f"kills of {name}": f"{kills} of {ended.starts[name]} starts" for name, kills in ended.kills.items()},
        **done,
        "accepted": f"{tables.accepted:,}",
        "duplicates": f"{tables.duplicates:,}",
        "rejected": f"{tables.rejected:,}",
        "typed rows": f"{typed_rows(ended.folder):,} in {len(typed_folders(ended.folder))} tables",
        **compacted,
        "files that killed processes left": f"{unnamed_files(ended.folder):,}",
        "seconds": f"{took:.0f}",
        "result": "NOT EXACT" if ended.found else "exact",
    }
    for name, figure in figures.items():
        print(f"{name:34} {figure}", flush=True)
    for breach in ended.found:
        print(f"  {breach}", flush=True)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120, help="of flow and kills; the ending comes on top")
    parser.add_argument("--rate", type=float, default=500, help="lines a second")
    parser.add_argument("--types", type=int, default=6, help="event types, each with one to three names")
    parser.add_argument("--format", choices=["delta", "parquet"], default="delta")
    parser.add_argument("--s3", action="store_true", help="the lake on an S3 server")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dir", type=Path, help="where to work; kept after a deviation")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
