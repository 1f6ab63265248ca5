"""A record too large to keep: its first bytes are, the rest is read past without being held."""

from __future__ import annotations

from headgate.core.documents import Outcome, Scanner


class Oversized:
    """A line or a document of which the end is still to come.

    A line ends after its newline, a document where its last bracket closes; a document that breaks ends
    before the next newline.
    """

    def __init__(self, *, start: int, head: bytes, is_line: bool) -> None:
        """Begin.

        Args:
            start: the record's position.
            head: the bytes that are kept.
            is_line: True for a line, False for a document.
        """
        self.start = start
        self.head = head
        self.size = 0
        self._is_line = is_line
        self._scanner = None if is_line else Scanner()
        self._pending = b""

    @property
    def what(self) -> str:
        """For the reject's sentence."""
        return "a line" if self._is_line else "a document"

    def feed(self, block: bytes, *, is_last: bool) -> int | None:
        """Read past the next bytes.

        Args:
            block: bytes that follow those fed before.
            is_last: True where none follow.

        Returns:
            How many bytes of `block` belong to the record, once its end is found; else None: all of them do.
        """
        seen, buffer = len(self._pending), self._pending + block
        end = self._find_end(buffer, is_last)
        if end is None:
            self.size += len(block)
            return None
        self.size += end - seen
        return end - seen

    def _find_end(self, buffer: bytes, is_last: bool) -> int | None:
        at, self._pending = 0, b""
        if self._scanner:
            step = self._scanner.feed(buffer, 0, is_last=is_last)
            if step.outcome is Outcome.DONE:
                return step.at
            if step.outcome is Outcome.MORE:
                self._pending = buffer[step.at :]
                return None
            self._scanner, at = None, step.at
        newline = buffer.find(b"\n", at)
        if newline >= 0:
            return newline + self._is_line
        return len(buffer) if is_last else None
