"""Kinesis servers from npm: `kinesis-local` for behaviour, `kinesalite` for load.

Where they are kinder than the real service: neither throttles, expires iterators or trims records; `kinesis-local`
answers 500 to an iterator it does not know and becomes slow beyond 20,000 records a stream; `kinesalite` has no
on-demand streams and no `ChildShards`, and its `MillisBehindLatest` is always 0.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from headgate.testing.servers import HOST, free_port, serving

STEPS = (
    "CREATE_STREAM",
    "DELETE_STREAM",
    "DEREGISTER_STREAM_CONSUMER",
    "MERGE_SHARDS",
    "REGISTER_STREAM_CONSUMER",
    "SPLIT_SHARD",
    "UPDATE_SHARD_COUNT",
    "UPDATE_STREAM_MODE",
)
DURATION = "5ms"  # that streams, shards and consumers take to change in kinesis-local
SHARD_LIMIT = "5000"  # shards of all streams; the default of 50 is for one test
REGION = "us-east-1"


def with_node() -> Mapping[str, str]:
    """An environment in which node and npm are found: those beside this Python, else this machine's."""
    return {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}


def has_node() -> bool:
    """True where there are node and npm."""
    return all(shutil.which(name, path=with_node()["PATH"]) for name in ("node", "npm"))


def installed(folder: Path) -> Path:
    """The npm packages of a folder with package.json and package-lock.json, installed once by `npm ci`.

    Raises:
        RuntimeError: npm failed; the message carries the end of its output.
    """
    modules = folder / "node_modules"
    marker = modules / ".package-lock.json"  # npm writes it last
    with (folder / ".install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes
        if not marker.exists():
            done = subprocess.run(
                ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
                env={**os.environ, **with_node()},
            )
            if done.returncode:
                raise RuntimeError(f"npm ci in {folder} ended with {done.returncode}: {done.stderr[-2000:]}")
    return modules


@contextmanager
def kinesis_local(folder: Path, logs: Path) -> Iterator[str]:
    """Run `kinesis-local`; gives its endpoint URL.

    Args:
        folder: with the package-lock.json that pins it.
        logs: where its output goes.
    """
    package = installed(folder) / "kinesis-local"
    port = free_port()
    env = {
        **with_node(),
        **{f"{step}_DURATION": DURATION for step in STEPS},
        "KINESIS_MOCK_CERT_PATH": str(package / "server.json"),
        "KINESIS_MOCK_PLAIN_PORT": str(port),
        "KINESIS_MOCK_TLS_PORT": str(free_port()),
        "SHARD_LIMIT": SHARD_LIMIT,
        "LOG_LEVEL": "ERROR",
    }
    with serving(["node", "main.js"], port, logs, env=env, cwd=package):
        yield f"http://{HOST}:{port}"


@contextmanager
def kinesalite(folder: Path, logs: Path) -> Iterator[str]:
    """Run `kinesalite`; gives its endpoint URL. For arguments see `kinesis_local`."""
    program = installed(folder) / "kinesalite" / "cli.js"
    port = free_port()
    options = ["--createStreamMs", "5", "--updateStreamMs", "5", "--deleteStreamMs", "5", "--shardLimit", "1000"]
    with serving(["node", program, "--port", str(port), *options], port, logs, env=with_node()):
        yield f"http://{HOST}:{port}"
