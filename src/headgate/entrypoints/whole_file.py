"""Files that appear under their name once they are whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from headgate.errors import ConfigError, PermanentError


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file to write; it takes its name when the context ends well. A device or pipe is written to as it is.

    Args:
        path: of the file; what lies there is replaced.

    Raises:
        ConfigError: nothing can be written there.
        PermanentError: the disk is full, or fails.
    """
    is_device = path.exists() and not path.is_file()
    path = path.resolve()  # of a link, the file that it leads to
    part = path if is_device else path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        file = part.open("wb")
        if path.is_file():
            os.fchmod(file.fileno(), path.stat().st_mode & 0o777)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}; choose another place") from error
    try:
        with file:
            yield file
        if not is_device:
            part.replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise PermanentError(f"{path}: cannot be written: {reason}; free space or choose another place") from error
    finally:
        if not is_device:
            part.unlink(missing_ok=True)
