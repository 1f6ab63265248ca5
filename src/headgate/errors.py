"""The tree of errors, by what the caller does about them.

HeadgateError
├── ConfigError       wrong usage or configuration: exit 2, nothing was touched
│   └── SourceMissingError nothing is where the source is said to be
├── RecordError       the data cannot be read: becomes a row in `rejected`, never leaves `core/`
├── TransientError    the outside world did not answer: wait, try again, never skip
├── PermanentError    a human is needed: stop, do not acknowledge the source, exit 1
│   ├── LakeTooNewError    a newer Headgate wrote this lake
│   ├── SourceGapError     the source no longer holds what was not yet read
│   └── BreachError        a promise was found broken: exit 3
├── CommitConflict    another writer moved the position or the generation: re-read, judge again
└── CommitUnknown     the answer to a commit was lost: look for your own entry before any retry
"""

from __future__ import annotations


class HeadgateError(Exception):
    """Base of all errors that Headgate raises on purpose. The message says what, where and how to mend it."""

    exit_code = 1


class ConfigError(HeadgateError):
    """Wrong usage or configuration. Reaction: exit 2; nothing was touched."""

    exit_code = 2


class SourceMissingError(ConfigError):
    """Nothing is where the source is said to be. Reaction: exit 2; `verify` goes by the ledger where it knows it."""


class RecordError(HeadgateError):
    """One record cannot be read. Reaction: it becomes a reject row; never leaves `core/`."""

    def __init__(self, reason: str, detail: str) -> None:
        """Keep the contract's reject reason and one sentence of detail."""
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class TransientError(HeadgateError):
    """The outside world did not answer. Reaction: retry with jittered back-off; never skip."""


class PermanentError(HeadgateError):
    """A human is needed. Reaction: stop; the source is not acknowledged; exit 1."""


class LakeTooNewError(PermanentError):
    """The lake's layout version is newer than this Headgate. Reaction: stop; install a newer Headgate."""


class SourceGapError(PermanentError):
    """The source no longer holds what was not yet read. Reaction: stop; a human decides."""


class BreachError(PermanentError):
    """A promise was found broken. Reaction: exit 3."""

    exit_code = 3


class CommitConflict(HeadgateError):
    """Another writer moved a shard, the generation or the type limit. Reaction: throw the batch away, re-read."""


class CommitUnknown(HeadgateError):
    """The answer to a commit was lost. Reaction: look for the own entry before any retry; delete nothing."""
