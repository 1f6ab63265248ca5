"""Functions' containers in one process: the same assembly as in Lambda, over a lake and a claim store of a test."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from headgate.claims.memory import MemoryClaimStore
from headgate.config import Config
from headgate.core.rules import Rules
from headgate.entrypoints.container import Container, assemble
from headgate.invocation import InvocationSettings
from headgate.lake.lake import TableLake, open_lake
from headgate.lake.layout import Format
from headgate.lake.options import LakeOptions
from headgate.lake.stage import JsonStyle
from headgate.lake.storage import Storage
from headgate.ports import ClaimStore
from headgate.testing.action_log import ActionLog, LoggedStorage
from headgate.testing.clock import VirtualClock
from headgate.testing.logged_ports import LoggedClaimStore
from headgate.testing.world import FactList


@cache
def no_rules() -> Rules:
    """Compiled once: making a DuckDB connection takes longer than an invocation."""
    return Rules([])


@dataclass(slots=True, kw_only=True)
class Deadline:
    """What Lambda says of an invocation, on a virtual clock.

    Attributes:
        clock: whose time passes.
        at: monotonic seconds at which the invocation ends.
    """

    clock: VirtualClock
    at: float

    def get_remaining_time_in_millis(self) -> int:
        """See Context."""
        return round((self.at - self.clock.monotonic()) * 1000)


@dataclass(slots=True, kw_only=True)
class Platform:
    """What outlives containers; each container is a process of its own.

    Attributes:
        storage: the lake's bytes.
        table_format: the lake's format.
        store: the claims of all.
        config: settings of all containers.
        settings: of invocations.
        clock: virtual.
        telemetry: all facts.
    """

    storage: Storage
    table_format: Format = "parquet"
    store: MemoryClaimStore = field(default_factory=lambda: MemoryClaimStore(is_embedded=False))
    config: Config = field(default_factory=Config)
    settings: InvocationSettings = field(default_factory=InvocationSettings)
    clock: VirtualClock = field(default_factory=VirtualClock)
    telemetry: FactList = field(default_factory=FactList)
    _ids: Callable[[], int] = field(default_factory=lambda: itertools.count().__next__)

    def lake(self, log: ActionLog | None = None) -> TableLake:
        """The lake, opened anew."""
        storage = self.storage if log is None else LoggedStorage(self.storage, log)
        options = LakeOptions(
            max_event_types=self.config.lake.max_event_types, json_style=JsonStyle(is_gzip=False), stage_threads=1
        )
        return open_lake(
            storage, self.table_format, options, now_us=self.clock.now_us, new_id=lambda: f"c{self._ids():05d}"
        )

    def container(self, log: ActionLog | None = None) -> Container:
        """A new container; effects on storage and claims are in the log, where faults may strike them."""

        def open_store() -> ClaimStore:
            return self.store if log is None else LoggedClaimStore(self.store, log)

        return assemble(
            self.config,
            self.lake(log),
            open_store,
            clock=self.clock,
            telemetry=self.telemetry,
            settings=self.settings,
            rules=no_rules() if not self.config.rules else None,
        )

    def deadline(self, seconds: float = 60.0) -> Deadline:
        """A context of an invocation that may take so long from now on."""
        return Deadline(clock=self.clock, at=self.clock.monotonic() + seconds)
