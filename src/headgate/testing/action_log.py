"""Every effect of the flow in one list, and faults on script: wrappers around the ports that a test puts in.

A fault strikes an effect before it happens or after it (the answer is lost). After `killed` nothing happens any
more: whatever the code under test still tries, its process is dead.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeVar

from pyarrow.fs import FileSystem

from headgate.errors import HeadgateError, TransientError
from headgate.lake.storage import Bytes, Storage
from headgate.testing.scripted_storage import Killed

Fault = Literal["error before", "error after", "killed before", "killed after"]

_Answer = TypeVar("_Answer")


class Effect(NamedTuple):
    """One call of a port: `lake.commit`, and what it was about."""

    name: str
    about: str = ""

    def __str__(self) -> str:
        """Both, for lists that people read."""
        return f"{self.name} {self.about}".rstrip()


@dataclass(slots=True, kw_only=True)
class ActionLog:
    """The list, and the script of one attempt.

    Attributes:
        effects: what was tried, in order, also what failed.
        faults: by the number of the effect, from 0, what befalls it.
        hooks: by the number of the effect, what happens elsewhere just before it.
    """

    effects: list[Effect] = field(default_factory=list)
    faults: dict[int, Fault] = field(default_factory=dict)
    hooks: dict[int, Callable[[], object]] = field(default_factory=dict)
    _named: dict[tuple[str, int], Fault] = field(default_factory=dict)
    _meanwhile: dict[tuple[str, int], Callable[[], object]] = field(default_factory=dict)
    _counts: Counter[str] = field(default_factory=Counter)
    _is_dead: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fail(self, name: str, fault: Fault, nth: int = 1) -> None:
        """Let the nth effect of this name fail, once."""
        self._named[name, nth] = fault

    def when(self, name: str, happens: Callable[[], object], nth: int = 1) -> None:
        """Let something happen elsewhere just before the nth effect of this name."""
        self._meanwhile[name, nth] = happens

    def texts(self) -> list[str]:
        """The effects as text."""
        return [str(effect) for effect in self.effects]

    def do(
        self,
        name: str,
        effect: Callable[[], _Answer],
        about: str = "",
        lost: type[HeadgateError] = TransientError,
    ) -> _Answer:
        """Do an effect, or let it fail as the script says.

        Args:
            name: port and method.
            effect: what happens.
            about: what it is about.
            lost: what is raised where the answer is lost.
        """
        with self._lock:
            if self._is_dead:
                raise Killed(name)
            number = len(self.effects)
            self.effects.append(Effect(name, about))
            self._counts[name] += 1
            call = name, self._counts[name]
        if number in self.hooks:
            self.hooks[number]()
        if call in self._meanwhile:
            self._meanwhile[call]()
        fault = self.faults.get(number) or self._named.get(call)
        if fault == "killed before":
            self._is_dead = True
            raise Killed(name)
        if fault == "error before":
            raise TransientError(f"{name}: no answer, on script")
        answer = effect()
        if fault == "killed after":
            self._is_dead = True
            raise Killed(name)
        if fault == "error after":
            raise lost(f"{name}: the answer was lost, on script")
        return answer


class LoggedStorage:
    """A Storage whose writes are effects too, so that a fault may strike inside a stage or a publication."""

    def __init__(self, inner: Storage, log: ActionLog) -> None:
        """Wrap a storage."""
        self._inner, self._log = inner, log

    @property
    def root(self) -> str:
        """See Storage."""
        return self._inner.root

    @property
    def is_remote(self) -> bool:
        """See Storage."""
        return self._inner.is_remote

    @property
    def delta_options(self) -> dict[str, str] | None:
        """See Storage."""
        return self._inner.delta_options

    def arrow_files(self) -> FileSystem:
        """See Storage."""
        return self._inner.arrow_files()

    def sizes(self, prefix: str) -> Iterator[tuple[str, int]]:
        """See Storage; no effect."""
        return self._inner.sizes(prefix)

    def modified(self, prefix: str) -> Iterator[tuple[str, int]]:
        """See Storage; no effect."""
        return self._inner.modified(prefix)

    def tail(self, path: str, num_bytes: int) -> bytes | None:
        """See Storage; no effect."""
        return self._inner.tail(path, num_bytes)

    def put(self, path: str, content: Bytes, *, is_folder_synced: bool = True) -> None:
        """See Storage."""
        put = self._inner.put
        self._log.do("storage.put", lambda: put(path, content, is_folder_synced=is_folder_synced), path)

    def put_if_absent(self, path: str, content: Bytes) -> bool:
        """See Storage."""
        return self._log.do("storage.put_if_absent", lambda: self._inner.put_if_absent(path, content), path)

    def get(self, path: str) -> bytes | None:
        """See Storage; no effect."""
        return self._inner.get(path)

    def list(self, prefix: str) -> Iterator[str]:
        """See Storage; no effect."""
        return self._inner.list(prefix)

    def exists(self, path: str) -> bool:
        """See Storage; no effect."""
        return self._inner.exists(path)

    def size(self, path: str) -> int | None:
        """See Storage; no effect."""
        return self._inner.size(path)

    def rename(self, path: str, target: str) -> bool:
        """See Storage."""
        return self._log.do("storage.rename", lambda: self._inner.rename(path, target), target)

    def delete(self, path: str) -> None:
        """See Storage."""
        self._log.do("storage.delete", lambda: self._inner.delete(path), path)

    def sweep(self) -> None:
        """See Storage; no effect."""
        self._inner.sweep()

    def sync_folders(self, paths: Sequence[str]) -> None:
        """See Storage; no effect."""
        self._inner.sync_folders(paths)
