"""Builds the image with podman, on a base made here by debootstrap; `make image` calls it.

    python infrastructure/image/build.py [--tag headgate] [--base IMAGE] [--no-cache]

Packages come from where this machine's pip takes them: its settings are handed to the build, not to the image.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import podman

ROOT = Path(__file__).parents[2]
EPOCH = "315532800"  # seconds; 1980-01-01, the first moment that a zip file, and so a wheel, can carry
BASE = "localhost/headgate-base:bookworm"
MIRROR = "http://deb.debian.org/debian"
#: What an image has no use for; the base is not part of Headgate's image, but its size is.
WASTE = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info")


def base() -> str:
    """Debian's Python on its smallest system, as an image; made once.

    Returns:
        its name.
    """
    if subprocess.run(podman.command("image", "exists", BASE), check=False).returncode == 0:
        return BASE
    folder = podman.cache() / "base"
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    packages = "--include=python3,python3-venv,ca-certificates"
    with (podman.cache() / "debootstrap.log").open("wb") as log:
        words = ["debootstrap", "--variant=minbase", packages, "bookworm", str(folder), MIRROR]
        subprocess.run(words, check=True, stdout=log, stderr=subprocess.STDOUT)
    for waste in WASTE:
        shutil.rmtree(folder / waste, ignore_errors=True)
    archive = subprocess.Popen(["tar", "-C", str(folder), "-c", "."], stdout=subprocess.PIPE)
    subprocess.run(podman.command("import", "-", BASE), check=True, stdin=archive.stdout, capture_output=True)
    if archive.wait():
        sys.exit(f"tar of {folder} ended with {archive.returncode}")
    shutil.rmtree(folder)
    return BASE


def build(tag: str, of: str, *, is_cached: bool = True) -> str:
    """Build the image.

    Args:
        tag: its name.
        of: the base image.
        is_cached: whether layers of earlier builds may be taken.

    Returns:
        its id.
    """
    args = ["--build-arg", f"BASE={of}", "--build-arg", f"SOURCE_DATE_EPOCH={EPOCH}", "--timestamp", EPOCH]
    place = ["--isolation", "chroot", "--network", "host", "--file", "infrastructure/image/Dockerfile"]
    cached = [] if is_cached else ["--no-cache"]
    words = podman.command("build", *args, *place, *cached, *_pip(), "--tag", tag, ".")
    log = podman.cache() / "build.log"
    with log.open("wb") as out:
        ended = subprocess.run(words, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, check=False).returncode
    if ended:
        sys.exit(f"podman build ended with {ended}; the end of {log}:\n{log.read_text(errors='replace')[-3000:]}")
    return podman.call("image", "inspect", "--format", "{{.Id}}", tag)


def _pip() -> Iterator[str]:
    """Flags that hand this machine's settings of pip to the build: the file, and the folders that it names."""
    said = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    settings: dict[str, str] = {}
    for line in said.stdout.splitlines():
        key, _, value = line.partition("=")
        name = key.rpartition(".")[2]
        settings[name] = value.strip("'\"").replace("\\n", " ")
    if not settings:
        return
    file = podman.cache() / "pip.conf"
    file.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items()))
    yield from ("--volume", f"{file}:/etc/pip.conf:ro")
    paths = {Path(word) for value in settings.values() for word in re.findall(r"(?<![\w/.:])(?:file://)?(/\S+)", value)}
    for path in sorted(path for path in paths if path.exists()):
        yield from ("--volume", f"{path}:{path}:ro")
        # an index of files names its files beside itself
        if path.is_dir() and (path.parent / "files").is_dir():
            yield from ("--volume", f"{path.parent}:{path.parent}:ro")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tag", default="localhost/headgate")
    parser.add_argument("--base", default=os.environ.get("BASE"), help="by default one that debootstrap makes here")
    parser.add_argument("--no-cache", action="store_true")
    asked = parser.parse_args()
    podman.install()
    began = time.monotonic()
    image = build(asked.tag, asked.base or base(), is_cached=not asked.no_cache)
    size = int(podman.call("image", "inspect", "--format", "{{.Size}}", asked.tag))
    print(f"{asked.tag} {image[:19]} {size / 1e6:.0f} MB, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
