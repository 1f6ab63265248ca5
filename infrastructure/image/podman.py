"""Podman with a storage of its own below a cache folder, so that nothing of this machine's is touched."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

PACKAGES = {"podman": "podman", "runc": "runc", "debootstrap": "debootstrap"}  # program: Debian's package
#: What runc needs where limits cannot be raised, as in a container.
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000")


def cache() -> Path:
    """Where base, layers and logs are kept, outside the tree."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("HEADGATE_IMAGE_CACHE") or Path(home) / "headgate-image")


def command(*arguments: str | Path) -> list[str]:
    """The words of a call."""
    folder = cache() / "podman"
    own = ["--root", folder / "root", "--runroot", folder / "run", "--cgroup-manager", "cgroupfs", "--runtime", "runc"]
    return [str(word) for word in ("podman", *own, "--storage-driver", "overlay", *arguments)]


def call(*arguments: str | Path) -> str:
    """Run it; its standard output.

    Raises:
        RuntimeError: it failed; the message carries the end of what it said.
    """
    done = subprocess.run(command(*arguments), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"podman {arguments[0]} ended with {done.returncode}: {done.stderr[-4000:]}")
    return done.stdout.strip()


def run_flags(name: str, *more: str) -> list[str]:
    """`podman run` as the image is meant to run: nobody's rights, nothing written but in /tmp.

    Args:
        name: of the container.
        more: further flags.
    """
    confined = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "all", "--security-opt", "no-new-privileges"]  # noqa: S108
    return ["run", "--rm", "--name", name, "--network", "host", *LIMITS, *confined, *more]


def install(names: Sequence[str] = tuple(PACKAGES)) -> None:
    """Install what is missing where that is possible, else say what is missing.

    Raises:
        SystemExit: something is missing and cannot be installed.
    """
    missing = [PACKAGES[name] for name in names if shutil.which(name) is None]
    if not missing:
        return
    if os.geteuid() or shutil.which("apt-get") is None:
        sys.exit(f"the image is built with Debian's packages {', '.join(missing)}: install them, and run make as root")
    subprocess.run(["apt-get", "update", "-qq"], check=True)
    words = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *missing]
    subprocess.run(words, check=True, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


class Contained:
    """A running container of an image; a context that kills it at the end. See headgate.testing.processes.Child."""

    def __init__(
        self, image: str, arguments: Sequence[str], logs: Path, env: Mapping[str, str], flags: Sequence[str] = ()
    ) -> None:
        """Start it.

        Args:
            image: its name.
            arguments: behind the image's entry point.
            logs: a folder for the output.
            env: of the container.
            flags: further ones of `podman run`.
        """
        logs.mkdir(parents=True, exist_ok=True)
        self.name = f"headgate-{uuid4().hex[:12]}"
        self.out, self.err = logs / f"{self.name}.out", logs / f"{self.name}.err"
        settings = [word for name, value in env.items() for word in ("--env", f"{name}={value}")]
        words = command(*run_flags(self.name, *settings, *flags), image, *arguments)
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=err)

    @property
    def is_running(self) -> bool:
        """True until it has ended."""
        return self._process.poll() is None

    def errors(self) -> str:
        """Its standard error so far."""
        return self.err.read_text(errors="replace")

    def stop(self) -> None:
        """What a platform does: the image's own signal, and SIGKILL a minute later."""
        call("stop", "--time", "60", self.name)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program in it; none where it has ended."""
        subprocess.run(command("kill", "--signal", number.name, self.name), capture_output=True, check=False)

    def kill(self) -> int:
        """SIGKILL, again where the container was only about to begin; returns the exit code."""
        while self.is_running:
            self.signal(signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(0.2)
        return self._process.wait()

    def wait(self, seconds: float = 120.0) -> int:
        """Wait for the end; the exit code."""
        return self._process.wait(seconds)

    def __enter__(self) -> Contained:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Kill it where it still runs."""
        if self.is_running:
            self.kill()
