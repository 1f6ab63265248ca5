"""`headgate doctor`: what works on this machine, what does not, and how to mend it."""

from __future__ import annotations

import importlib
import os
import platform
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from headgate.entrypoints.cli import common_options
from headgate.entrypoints.output import print_json, seconds, size

MIN_PYTHON = (3, 11)
MIN_FREE_BYTES = 1 << 30
MIN_MEMORY_BYTES = 2 << 30
MIN_OPEN_FILES = 1024  # RocksDB and a few hundred open Parquet writers
SLOW_FSYNC_SECONDS = 0.1
CLOCK_FLOOR = 1_735_689_600  # 2025-01-01, Unix seconds; an earlier clock was never set

#: Distribution to the module that must be importable.
DEPENDENCIES = {
    "click": "click",
    "deltalake": "deltalake",
    "duckdb": "duckdb",
    "jinja2": "jinja2",
    "msgspec": "msgspec",
    "numpy": "numpy",
    "prometheus-client": "prometheus_client",
    "pyarrow": "pyarrow",
    "rich": "rich",
    "rocksdict": "rocksdict",
    "waitress": "waitress",
    "xxhash": "xxhash",
    "zstandard": "zstandard",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One finding.

    Attributes:
        name: what was looked at.
        ok: True where it works.
        found: what was found.
        mend: what to do where it does not work.
        is_essential: False where Headgate runs nevertheless.
    """

    name: str
    ok: bool
    found: str
    mend: str = ""
    is_essential: bool = True


@click.command(
    epilog="""\b
Examples:
  headgate doctor
  headgate doctor --dir /data/lake
  headgate doctor --json
"""
)
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder where the lake will be.  [default: the folder for temporary files]",
)
@common_options
@click.pass_context
def command(ctx: click.Context, folder: Path | None, as_json: bool) -> None:
    """Check what works on this machine and what does not.

    Exits 1 when something fails that Headgate cannot do without.
    """
    checks = list(_checks(folder or Path(tempfile.gettempdir())))
    if as_json:
        print_json({"ok": _is_fit(checks), "checks": [asdict(check) for check in checks]})
    else:
        for check in checks:
            _print(check)
        click.echo("\nready" if _is_fit(checks) else "\nnot ready: mend what is marked `fail`")
    if not _is_fit(checks):
        ctx.exit(1)


def _is_fit(checks: list[Check]) -> bool:
    return all(check.ok for check in checks if check.is_essential)


def _print(check: Check) -> None:
    word, colour = ("ok", "green") if check.ok else ("fail", "red") if check.is_essential else ("warn", "yellow")
    click.echo(f"{click.style(f'{word:<4}', fg=colour)}  {check.name:<12} {check.found}")
    if not check.ok and check.mend:
        click.echo(f"      {'':<12} {check.mend}")


def _checks(folder: Path) -> Iterator[Check]:
    yield _python()
    for name, module in DEPENDENCIES.items():
        yield _dependency(name, module)
    try:
        with tempfile.TemporaryDirectory(prefix=".headgate-doctor-", dir=folder) as scratch:
            yield from (_attempt(name, check, Path(scratch)) for name, check in FOLDER_CHECKS.items())
    except OSError as error:
        yield Check("folder", False, f"{folder}: {error.strerror}", "choose a folder you may write to: --dir DIR")
    yield from (_cores(), _memory(), _open_files(), _clock())


def _attempt(name: str, check: Callable[[Path], Check], scratch: Path) -> Check:
    try:
        return check(scratch)
    except Exception as error:
        mend = "choose another folder (a local disk) with --dir DIR, or mend this one"
        return Check(name, False, f"{type(error).__name__}: {error}", mend)


def _python() -> Check:
    wanted = ".".join(map(str, MIN_PYTHON))
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Check("python", sys.version_info >= MIN_PYTHON, found, f"install Python {wanted} or newer")


def _dependency(name: str, module: str) -> Check:
    mend = f"pip install --force-reinstall {name}"
    try:
        importlib.import_module(module)
        return Check(name, True, version(name))
    except PackageNotFoundError:
        return Check(name, True, "version unknown")
    except Exception as error:  # a broken binary raises whatever it likes
        return Check(name, False, f"{type(error).__name__}: {error}", mend)


def _disk(scratch: Path) -> Check:
    free = shutil.disk_usage(scratch).free
    mend = f"free some space: at least {size(MIN_FREE_BYTES)}"
    return Check("disk", free >= MIN_FREE_BYTES, f"{size(free)} free in {scratch.parent}", mend, is_essential=False)


def _fsync(scratch: Path) -> Check:
    began = time.perf_counter()
    with (scratch / "fsync").open("wb") as file:
        file.write(b"headgate")
        file.flush()
        os.fsync(file.fileno())
    handle = os.open(scratch, os.O_RDONLY)
    try:
        os.fsync(handle)  # the folder too: a new name must survive a power cut
    finally:
        os.close(handle)
    taken = time.perf_counter() - began
    mend = "every commit waits for the disk: use a local one"
    return Check("fsync", taken < SLOW_FSYNC_SECONDS, f"file and folder in {taken * 1000:.1f} ms", mend, False)


def _links(scratch: Path) -> Check:
    """The local put-if-absent: a hard link to a name that is taken must fail."""
    (scratch / "entry").write_bytes(b"1")
    os.link(scratch / "entry", scratch / "linked")
    mend = "the ledger needs put-if-absent: choose a folder on a file system with hard links"
    try:
        os.link(scratch / "entry", scratch / "linked")
    except FileExistsError:
        return Check("hard links", True, "exclusive")
    return Check("hard links", False, "a link replaced a file that was there", mend)


def _rocksdb(scratch: Path) -> Check:
    from rocksdict import Options, Rdict

    options = Options(raw_mode=True)
    path = str(scratch / "claims")
    store = Rdict(path, options)
    store[b"key"] = b"value"
    store.close()
    again = Rdict(path, Options(raw_mode=True))
    is_there = again[b"key"] == b"value"
    again.close()
    return Check("rocksdb", is_there, "opens, writes, reads back", "reinstall rocksdict, or use another --dedup store")


FOLDER_CHECKS: dict[str, Callable[[Path], Check]] = {
    "disk": _disk,
    "fsync": _fsync,
    "hard links": _links,
    "rocksdb": _rocksdb,
}


def _cores() -> Check:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Check("cores", count >= 2, str(count), "one core works at about half the speed", is_essential=False)


def _memory() -> Check:
    """Physical memory, or the limit of the control group where that is lower."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.is_file() else "max"
    total = min(total, int(text)) if text.isdigit() else total
    mend = f"{size(MIN_MEMORY_BYTES)} are advised; below that set a lower batch.max_events"
    return Check("memory", total >= MIN_MEMORY_BYTES, size(total), mend, is_essential=False)


def _open_files() -> Check:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    is_enough = soft == resource.RLIM_INFINITY or soft >= MIN_OPEN_FILES
    return Check("open files", is_enough, f"{soft} (hard limit {hard})", f"ulimit -n {MIN_OPEN_FILES * 4}", False)


def _clock() -> Check:
    """A clock that was never set, or that stands still, makes arrival times worthless."""
    now, tick = time.time(), time.monotonic()
    deadline = tick + 1
    while time.time() <= now and time.monotonic() < deadline:
        pass
    is_sane = now > CLOCK_FLOOR and time.time() > now
    found = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    return Check("clock", is_sane, f"{found}, up {seconds(tick)}", "set the clock (NTP): arrival times come from it")
