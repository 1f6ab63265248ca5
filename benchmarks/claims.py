"""Claims a second, memory and bytes an id: `python benchmarks/claims.py [--ids N] [--stores ...]`.

Every call claims 100,000 ids that were never seen; then as many calls claim again 5 % ids seen at any time
before. DynamoDB and S3 take one request an id: they are measured on an emulator, which bounds the rate, and again
with the answers made up in this process, which is the most that one client's core can ask for.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import claims_aws
from headgate.claims.memory import MemoryClaimStore
from headgate.claims.redis import RedisClaimStore
from headgate.claims.rocksdb import RocksDbClaimStore
from headgate.ports import ClaimStore
from headgate.records import OWNER, Claims, Shard
from headgate.testing.server_valkey import valkey

CALL = 100_000  # ids
WINDOW_US = 7 * 24 * 3600 * 1_000_000
START_US = 1_780_000_000_000_000
EVENT_US = 3_600  # µs between two arrivals at 1M an hour


def keys(numbers: np.ndarray) -> np.ndarray:
    """Random-looking keys that can be made again from their numbers."""
    value = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    value ^= value >> np.uint64(29)
    value *= np.uint64(0xBF58476D1CE4E5B9)
    value ^= value >> np.uint64(32)
    return np.stack([value, value * np.uint64(0x94D049BB133111EB)], axis=1).view(np.uint8)


def owners(numbers: np.ndarray, shard: int) -> np.ndarray:
    """Owners in the order of a stream."""
    made = np.zeros(len(numbers), OWNER)
    made["shard"] = shard
    sequence = np.zeros((len(numbers), 3), ">u8")
    sequence[:, 2] = numbers * 300
    made["sequence"] = sequence.view("V24").reshape(-1)
    made["sub"] = -1
    made["arrived"] = START_US + numbers * EVENT_US
    made["fingerprint"] = numbers
    return made


def rss_mib() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def claim_all(store: ClaimStore, shard: int, first: int, count: int, duplicates: float) -> tuple[float, float, int]:
    """Claim ids number `first` and on in calls; returns wall seconds, CPU seconds, duplicates found."""
    rng = np.random.default_rng(first)
    wall = cpu = 0.0
    found = 0
    for begin in range(first, first + count, CALL):
        ids = positions = np.arange(begin, begin + CALL)
        again = rng.choice(CALL, int(CALL * duplicates), replace=False)
        ids = ids.copy()
        ids[again] = np.unique(rng.integers(0, max(begin, 1), 2 * len(again)))[: len(again)] if len(again) else 0
        claims = Claims(keys=keys(ids), owners=owners(positions, shard))
        t, c = time.perf_counter(), time.process_time()
        answer = store.claim(claims, WINDOW_US)
        store.sync()
        shards = {store.shard_of(shard): str((begin + CALL) * 300)}
        store.mark_seen(begin // CALL + 1, shards)
        wall, cpu = wall + time.perf_counter() - t, cpu + time.process_time() - c
        found += int((answer["fingerprint"] != claims.owners["fingerprint"]).sum())
    return wall, cpu, found


def measure(name: str, open_store: Callable[[], ClaimStore], count: int) -> None:
    """Print one store's figures."""
    store = open_store()
    shard = store.shard_number(Shard("benchmark", "0"))
    at_start = rss_mib()
    step = max(count // 4, CALL) // CALL * CALL
    for first in range(0, count, step):
        wall, cpu, _ = claim_all(store, shard, first, step, 0)
        print(
            f"{name:8} new ids {first + step:>11,}: {step / wall:>11,.0f}/s  wall {wall / step * 1e6:.2f} µs "
            f"cpu {cpu / step * 1e6:.2f} µs an id  RSS {rss_mib():,.0f} MiB (+{rss_mib() - at_start:,.0f})",
            flush=True,
        )
    again = min(count, 1_000_000)
    wall, cpu, found = claim_all(store, shard, count, again, 0.05)
    print(
        f"{name:8} 5 % copies {again:>8,}: {again / wall:>11,.0f}/s  wall {wall / again * 1e6:.2f} µs "
        f"cpu {cpu / again * 1e6:.2f} µs an id  copies found {found:,}"
    )
    disk = store.statistics().get("disk_bytes", 0)
    store.close()
    t = time.perf_counter()
    if disk:
        store = open_store()
        print(f"{name:8} {disk / (count + again):.0f} bytes an id, opens in {time.perf_counter() - t:.1f} s")
        store.close()
    print(f"{name:8} peak RSS {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB")


def measure_redis(folder: Path, count: int) -> None:
    """Valkey on this machine, with and without its append-only file."""
    for is_kept in ("no", "yes"):
        with valkey(folder / f"redis-{is_kept}", "--appendonly", is_kept) as server:
            print(f"redis    appendonly {is_kept}", flush=True)
            before = server.do("INFO")
            measure("redis", lambda: RedisClaimStore(server.uri, lake_id="benchmark", ttl_us=2 * WINDOW_US), count)
            after, ids = server.do("INFO"), server.do("DBSIZE")
            used = after["used_memory"] - before["used_memory"]
            cpu = sum(after[name] - before[name] for name in ("used_cpu_user", "used_cpu_sys"))
            print(f"redis    on the server: {used / ids:.0f} bytes, {cpu / ids * 1e6:.2f} µs CPU an id")


def main() -> None:
    """Measure the stores that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ids", type=int, default=1_000_000)
    every = ["rocksdb", "memory", "redis", "dynamodb", "s3"]
    parser.add_argument("--stores", nargs="+", choices=every, default=every)
    parser.add_argument("--dir", type=Path, default=None, help="where the embedded store lies (default: temporary)")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="headgate-claims-", dir=options.dir))
    stores: dict[str, Callable[[], ClaimStore]] = {
        "memory": MemoryClaimStore,
        "rocksdb": lambda: RocksDbClaimStore(folder / "claims"),
    }
    try:
        for name in options.stores:
            if name in stores:
                measure(name, stores[name], options.ids)
            elif name == "redis":
                measure_redis(folder, options.ids)
            else:
                claims_aws.measure(
                    name, folder, lambda n, shard: Claims(keys=keys(n), owners=owners(n, shard)), WINDOW_US
                )
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
