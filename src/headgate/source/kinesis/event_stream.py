"""An event stream of AWS (`application/vnd.amazon.eventstream`), message by message, as its bytes come.

The SDK's own iterator hides how large the next message is, and takes 20 µs a record; this one takes the bytes itself
and lets the SDK check and open each message.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from struct import pack, unpack_from
from typing import Protocol
from zlib import crc32

from botocore.eventstream import EventStreamBuffer, ParserError
from urllib3.exceptions import HTTPError

from headgate.errors import TransientError

STREAM = "HeadgateStream"  # where the stream stands in what the SDK answers
CHUNK_BYTES = 1 << 16  # bytes; at most so much is read beyond a message
PRELUDE_BYTES = 12  # of a message: its length, the length of its headers, their checksum
TEXT = 7  # type of a header


class Body(Protocol):
    """What is used of urllib3's answer."""

    def stream(self, amt: int) -> Iterator[bytes]:
        """The bytes as they come, at most so many at once."""
        ...

    def shutdown(self) -> None:
        """Wake whoever reads."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class Message:
    """One message: headers by name, and its payload."""

    def __init__(self, headers: Mapping[str, object], payload: bytes) -> None:
        """As it came."""
        self.headers, self.payload = headers, payload


class EventStream:
    """The messages of one answer. One thread reads; another one may call `interrupt`."""

    def __init__(self, body: Body, what: str) -> None:
        """Nothing is read yet.

        Args:
            body: urllib3's answer.
            what: which call on what, for people.
        """
        self._body, self._what = body, what
        self._chunks = body.stream(CHUNK_BYTES)
        self._buffer = bytearray()

    def size(self) -> int | None:
        """Wait for the next message to begin: its length in bytes; None where the stream ended.

        Raises:
            TransientError: the connection broke off, or these are no messages.
        """
        with self._named():
            if not self._fill(PRELUDE_BYTES):
                return None
            opened = EventStreamBuffer()
            opened.add_data(bytes(self._buffer[:PRELUDE_BYTES]))
            next(opened, None)  # checks lengths and checksum
            return int(unpack_from("!I", self._buffer)[0])

    def message(self, size: int) -> Message:
        """The next message, which `size` told of.

        Raises:
            TransientError: as `size`.
        """
        with self._named():
            if not self._fill(size):
                raise ValueError("it ended")
            opened = EventStreamBuffer()
            opened.add_data(bytes(self._buffer[:size]))
            del self._buffer[:size]
            message = next(opened)
            return Message(message.headers, message.payload)

    def interrupt(self) -> None:
        """Wake the thread that reads: it gets an error or the end. An older urllib3 lets it wait for the next bytes."""
        with suppress(AttributeError, OSError, ValueError, RuntimeError):
            self._body.shutdown()

    def close(self) -> None:
        """Close the connection; not while another thread reads. May be called twice."""
        self._body.close()

    def _fill(self, size: int) -> bool:
        """Read until so many bytes are there; False where the stream ended before the first of them."""
        while len(self._buffer) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                if self._buffer:
                    raise ValueError("it ended in the middle of a message")
                return False
            self._buffer += chunk
        return True

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except (HTTPError, ParserError, OSError, ValueError) as error:
            raise TransientError(f"{self._what} broke off ({error}); Headgate tries again") from error


def encoded(headers: Mapping[str, str], payload: bytes) -> bytes:
    """A message whose headers are texts."""
    packed = b"".join(
        pack("!B", len(name)) + name.encode() + pack("!BH", TEXT, len(value.encode())) + value.encode()
        for name, value in headers.items()
    )
    lengths = pack("!II", PRELUDE_BYTES + len(packed) + len(payload) + 4, len(packed))
    message = lengths + pack("!I", crc32(lengths)) + packed + payload
    return message + pack("!I", crc32(message))


def keep_stream(response_dict: dict[str, object], customized_response_dict: dict[str, object], **_: object) -> None:
    """A `before-parse` hook of botocore: hand the stream of a good answer on, unread."""
    if response_dict["status_code"] == 200:
        customized_response_dict[STREAM] = response_dict["body"]
        response_dict["body"] = _Opening()


class _Opening:
    """What the SDK reads in place of the stream: the message that comes before all others."""

    def stream(self) -> Iterator[bytes]:
        yield encoded({":message-type": "event", ":event-type": "initial-response"}, b"{}")
