"""Files as a source: one, a folder or a glob of JSON, read once or followed as they grow and come.

Guarantee: the Source port's. A file is read front to back; its bytes are its own memory of what was sent, so
    `ack`
forgets nothing. A shard is a file with its first bytes (see identity.py), a position an offset in its
inflated bytes. Files are read in the order of their names; while following, plain ones take turns, block by
block.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from contextlib import closing
from datetime import datetime
from itertools import islice
from typing import Literal

import pyarrow as pa

from headgate.core.limits import Limits
from headgate.errors import SourceMissingError, TransientError
from headgate.ports import Clock
from headgate.records import Receipt, RecordBatch, Shard, ShardRange, ShardState
from headgate.source.identity import HEAD_BYTES, parse
from headgate.source.inflate import is_compressed
from headgate.source.known import KnownShards
from headgate.source.listing import as_text
from headgate.source.place import Files, Listed, ReplacedError
from headgate.source.reader import BLOCK_BYTES
from headgate.source.track import Track, head_of

POLL_SECONDS = 0.5  # seconds between two listings while following
QUIET_SECONDS = 1.0  # seconds without growth after which a whole last line needs no newline
MAX_FILES_A_READ = 2048  # files whose records one read joins
MAX_OPEN = 16  # files held open between two reads

Start = Literal["earliest", "latest"] | datetime


class FileSource:
    """The Source port over files. `notices` collects sentences for the operator; the caller empties it."""

    def __init__(
        self,
        files: Files,
        *,
        clock: Clock,
        name: str | None = None,
        once: bool = True,
        start: Start = "earliest",
        limits: Limits | None = None,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        """Name the files.

        Args:
            files: where they lie.
            clock: for waiting and polling.
            name: the source's name in positions; the place's by default.
            once: True where the source is drained at the files' ends, False to follow them.
            start: `latest` begins at the ends that the files have now, where nothing of this source was ever
                committed; a time leaves out files that were last modified before it and have no position.
            limits: sizes of events and records.
            poll_seconds: how often to look for growth and new files.
        """
        self.notices: list[str] = []
        self._files = files
        self._name = as_text(name) if name else files.name
        self._clock = clock
        self._once = once
        self._may_grow = files.may_grow and not once
        self._start = start
        self._limits = limits or Limits()
        self._poll_seconds = poll_seconds
        self._known = KnownShards()
        self._tracks: dict[str, Track] = {}
        self._acknowledged: dict[str, int] = {}  # positions by shard
        self._ready: deque[str] = deque()
        self._error: TransientError | None = None
        self._next_look: float | None = None
        self._skipped: set[str] | None = None  # files whose present end is where to begin, once that is known
        self._positions: set[str] = set()

    @property
    def name(self) -> str:
        """See Source."""
        return self._name

    def resume(self, shards: Mapping[Shard, ShardState]) -> None:
        """See Source.

        Raises:
            SourceMissingError: there is no such file or folder.
            ConfigError: what is there can be no source.
        """
        self.close()
        self._known.resume(self._name, shards)
        own = [s.name for s, state in shards.items() if s.source == self._name and state.position]
        self._positions = {identity.path for name in own if (identity := parse(name))}
        self._acknowledged = {
            shard.name: int(state.position)
            for shard, state in shards.items()
            if shard.source == self._name and state.position
        }
        self._tracks, self._ready, self._error = {}, deque(), None
        files = self._files.listing()
        if self._skipped is None:
            self._skipped = {file.name for file in files if self._start == "latest" and not own}
        self._take(files)
        self._next_look = self._clock.monotonic() + self._poll_seconds

    def read(self, timeout_seconds: float) -> RecordBatch | None:
        """See Source. Raises TransientError where a file or folder cannot be read, naming it."""
        if self._next_look is None:
            self.resume({})
        deadline = self._clock.monotonic() + timeout_seconds
        while True:
            self._look()
            if batch := self._fill():
                return batch
            if self._error:
                error, self._error = self._error, None
                raise error
            if self._once and not self._ready:
                raise EOFError(f"{self._name} is drained")
            left = deadline - self._clock.monotonic()
            if left <= 0:
                return None
            if not self._ready:
                self._clock.sleep(min(self._poll_seconds, left))

    def ack(self, receipt: Receipt) -> None:
        """See Source. Files keep what they hold; what is through counts for the horizon no more."""
        for part in receipt.ranges:
            self._acknowledged[part.shard.name] = int(part.end)

    def horizon_us(self) -> int | None:
        """See Source: the first arrival of the files that have more to give, or may grow."""
        queued = set(self._ready)
        tracks = [t for t in list(self._tracks.values()) if t.listed.name in queued or not self._is_through(t)]
        return min((track.arrived_us for track in tracks), default=None)

    def _is_through(self, track: Track) -> bool:
        """True where all that was read of the file is acknowledged, and it cannot grow."""
        shard = track.shard
        if self._may_grow or shard is None or shard.position is None:
            return not self._may_grow
        return self._acknowledged.get(shard.identity.name, -1) >= shard.position

    def abandoned(self, shards: Mapping[Shard, ShardState]) -> Collection[Shard]:
        """See Source: those whose file is gone, begins otherwise or is shorter than what was read of it."""
        own = [shard for shard, state in shards.items() if shard.source == self._name and not state.closed]
        listed = {file.name: file for file in self._list_what_is()}
        now_known = KnownShards()
        now_known.resume(self._name, shards)
        current: dict[str, str | None] = {}
        gone = []
        for shard in own:
            identity = parse(shard.name)
            path = identity.path if identity else ""
            if path not in current:
                current[path] = self._current(now_known, listed.get(path))
            if current[path] != shard.name:
                gone.append(shard)
        return gone

    def lag(self) -> Mapping[str, float]:
        """See Source: bytes on disk not read yet."""
        return {"bytes": float(sum(self._tracks[name].unread_bytes for name in self._ready))}

    def close(self) -> None:
        """See Source."""
        for track in self._tracks.values():
            track.close()

    def _current(self, known: KnownShards, file: Listed | None) -> str | None:
        if file is None:
            return None
        try:
            if ended := known.ended(file.name, file.version):
                return ended.identity.name
            with closing(self._files.open(file, HEAD_BYTES)) as opened:
                head = head_of(opened)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(file.path, error) from error
        shard = known.find(file.name, head, None if is_compressed(file.name, head) else file.size)
        return shard.identity.name if shard else None

    def _list_what_is(self) -> list[Listed]:
        try:
            return self._files.listing()
        except SourceMissingError:
            return []

    def _look(self) -> None:
        now = self._clock.monotonic()
        if self._once or self._next_look is None or now < self._next_look:
            return
        self._take(self._list_what_is())
        spent = self._clock.monotonic() - now
        self._next_look = now + max(self._poll_seconds, 10 * spent)

    def _take(self, files: list[Listed]) -> None:
        """Compare a listing with what is known, and put in the queue what has something to read."""
        now = self._clock.monotonic()
        queued = set(self._ready)
        for file in files:
            track = self._tracks.get(file.name)
            is_ready = track is None or track.listed != file
            if track is None:
                track = self._tracks[file.name] = Track(self._files, file, now, is_followed=self._may_grow)
                is_ready = self._is_wanted(track)
            elif is_ready:
                track.change(file, now)
            is_ready = is_ready and not self._known.ended(file.name, file.version)
            track.may_finish = now - track.changed >= QUIET_SECONDS
            is_quiet = track.is_held and track.may_finish
            if (is_ready or is_quiet) and file.name not in queued:
                self._ready.append(file.name)
        for name in self._tracks.keys() - {file.name for file in files}:
            self._vanish(name)

    def _is_wanted(self, track: Track) -> bool:
        if isinstance(self._start, datetime) and track.listed.name not in self._positions:
            return track.listed.modified_us >= int(self._start.timestamp() * 1_000_000)
        track.is_skipped = track.listed.name in (self._skipped or ())
        return True

    def _vanish(self, name: str) -> None:
        track = self._tracks.pop(name)
        track.close()
        if name in self._ready:
            self._ready.remove(name)
            when = "in the middle" if track.is_begun else "before it was read"
            self.notices.append(f"{track.listed.path} vanished {when}; if it comes back it is read on")

    def _fill(self) -> RecordBatch | None:
        """Read a block, from as many files as it takes."""
        tables: list[pa.Table] = []
        ranges: list[ShardRange] = []
        room = BLOCK_BYTES
        for _ in range(min(len(self._ready), MAX_FILES_A_READ)):
            following = (self._tracks[name] for name in islice(self._ready, MAX_OPEN))
            self._files.expect([track.listed for track in following if not track.is_open])
            track = self._tracks[self._ready[0]]
            try:
                cut = track.read(self._known, self._name, len(ranges), room, self._limits, self.notices)
            except FileNotFoundError:
                self._vanish(track.listed.name)
                continue
            except ReplacedError:
                track.close()
                self.notices.append(f"{track.listed.path} was replaced while it was read")
                continue
            except (OSError, TransientError) as error:
                track.close()
                self._error = _unreadable(track.listed.path, error)
                self._ready.rotate(-1)
                break
            if cut:
                tables.append(cut.table)
                ranges.append(cut.range)
                room -= int(cut.range.end) - int(cut.range.start or 0)
            if self._finish(track, has_moved=cut is not None) or room <= 0:
                break
        if not ranges:
            return None
        table = pa.concat_tables(tables)
        return RecordBatch(table=table if len(tables) == 1 else table.combine_chunks(), ranges=tuple(ranges))

    def _finish(self, track: Track, *, has_moved: bool) -> bool:
        """Put the file just read where it belongs. True where it has more: then the block is full."""
        if not track.at_end:
            # Inside a record larger than a block it keeps its turn: closed, it would begin that record again.
            if self._may_grow and track.can_rotate and has_moved:
                self._ready.rotate(-1)
                self._close_others()
            return True
        self._ready.popleft()
        if not self._may_grow or track.can_rotate:
            track.close()
        else:
            self._close_others()
        return False

    def _close_others(self) -> None:
        opened = [track for track in self._tracks.values() if track.is_open]
        for track in opened[: max(0, len(opened) - MAX_OPEN)]:
            track.close()


def _unreadable(path: str, error: OSError | TransientError) -> TransientError:
    if isinstance(error, TransientError):
        return error
    return TransientError(f"cannot read {path}: {error.strerror}; may this user read it?")
