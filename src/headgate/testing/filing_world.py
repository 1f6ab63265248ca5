"""A stream, its Firehose transformation, what it delivers to a folder, and the lake that files it: in one process."""

from __future__ import annotations

import gzip
import itertools
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headgate.core.envelope import Envelope
from headgate.core.limits import Limits
from headgate.entrypoints.firehose import function_of, transform
from headgate.jobs.existing import ExistingLake
from headgate.jobs.filing import Filed, FilingSettings, file_delivered
from headgate.jobs.proof import Proof
from headgate.jobs.verify import VerifySettings, verify
from headgate.lake.layout import Format
from headgate.lake.local import LocalStorage
from headgate.lake.storage import Storage
from headgate.ports import Source
from headgate.testing.action_log import ActionLog
from headgate.testing.containers import Platform
from headgate.testing.event_source_mapping import Event
from headgate.testing.firehose_driver import Delivered, DeliveryStream
from headgate.testing.lake_rows import read_table

SOURCE = "kinesis://stream"
SHARD = "shardId-000000000000"
FIRST = 49590338271490256608559692538361571095921575989136588898  # a sequence number of Kinesis
WINDOW_US = 7 * 24 * 3600 * 1_000_000
_VERIFY = VerifySettings(envelope=Envelope(), limits=Limits(), window_us=WINDOW_US, is_forgetful=True)

Row = Mapping[str, Any]


def record(n: int, data: bytes, arrived_us: int, *, times: int = 0) -> Delivered:
    """A record of the stream, as Firehose holds it the nth time."""
    return Delivered(f"{FIRST + n}-{times}", data, arrived_us, SHARD, FIRST + n)


@dataclass(kw_only=True)
class FilingWorld:
    """What outlives processes.

    Attributes:
        folder: holds the lake and what was delivered.
        table_format: of the lake.
        settings: of filings.
        is_gzip: whether Firehose compresses.
        storages: of the lake and the delivery, where they do not lie in the folder.
    """

    folder: Path
    table_format: Format = "parquet"
    settings: FilingSettings = field(default_factory=lambda: FilingSettings(window_us=WINDOW_US))
    is_gzip: bool = False
    storages: tuple[Storage, Storage] | None = None
    _objects: int = 0

    def __post_init__(self) -> None:
        """Make the lake."""
        ids = itertools.count(random.SystemRandom().getrandbits(48)).__next__  # a copy of a lake goes on with others
        lake = self.storages[0] if self.storages else LocalStorage(self.folder / "lake")
        self.platform = Platform(storage=lake, table_format=self.table_format, _ids=ids)
        self.platform.lake().close()

    @property
    def delivery(self) -> Storage:
        """Where Firehose delivers."""
        return self.storages[1] if self.storages else LocalStorage(self.folder / "delivered")

    def deliver(self, records: Sequence[Delivered], *, buffer_bytes: int = 1 << 20) -> list[Event]:
        """Let a delivery stream take records; gives the requests to the transformation."""
        asked: list[Event] = []

        def invoke(event: Event) -> Mapping[str, Any]:
            asked.append(event)
            return transform(function_of(self.platform.container()), event, self.platform.deadline())

        stream = DeliveryStream(buffer_bytes=buffer_bytes)
        stream.drive(records, invoke)
        self.write(stream)
        return asked

    def write(self, stream: DeliveryStream) -> None:
        """Write what a stream delivered as objects of their own."""
        for prefix, content in stream.files.items():
            self._objects += 1
            path = f"{prefix}delivery-1-2026-09-21-14-13-20-{self._objects:06d}"
            self.delivery.put(path, gzip.compress(content) if self.is_gzip else content)

    def file(self, log: ActionLog | None = None, delivery: Storage | None = None) -> Filed:
        """File, as a process of its own."""
        lake = self.platform.lake(log)
        try:
            return file_delivered(
                lake,
                delivery or self.delivery,
                self.settings,
                clock=self.platform.clock,
                telemetry=self.platform.telemetry,
            )
        finally:
            lake.close()

    def rows(self, table: str) -> list[Row]:
        """The published rows of a table."""
        return list(read_table(self.platform.storage, table).to_pylist())

    def ids(self) -> list[str]:
        """Ids of `events`, sorted."""
        return sorted(str(row["event_uuid"]) for row in self.rows("events"))

    def verify(self, source: Source | None = None, source_name: str = SOURCE) -> Proof:
        """The proof of the lake."""
        lake = self.platform.lake()
        lake.close()
        found = ExistingLake(path=lake.storage.root, storage=lake.storage, about=lake.about)
        return verify(found, source, _VERIFY, source_name=source_name)


def event(n: int | str, **more: object) -> bytes:
    """An event of this id."""
    return json.dumps({"event_uuid": f"id-{n}", "event_name": "a:b", "created_at": 1_790_000_000, **more}).encode()
