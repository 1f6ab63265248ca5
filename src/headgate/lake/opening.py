"""A lake's path or URI to its storage."""

from __future__ import annotations

from headgate.errors import ConfigError
from headgate.lake.local import LocalStorage
from headgate.lake.s3_options import S3Options
from headgate.lake.storage import Storage


def open_storage(lake: str, options: S3Options | None = None) -> Storage:
    """The storage behind a lake's path or URI. Nothing is read or written yet.

    Args:
        lake: a folder, `file://...` or `s3://bucket/prefix`.
        options: of an S3 client; the SDK's own settings where there are none.

    Raises:
        ConfigError: a kind of storage that this version does not speak, the package for it is not installed, or the
            path is not UTF-8.
    """
    if lake.startswith("s3://"):
        try:
            from headgate.lake.s3 import S3Storage
        except ImportError as error:
            raise ConfigError(
                f"{lake}: S3 needs the package {error.name}; install it with `pip install 'headgate[aws]'`"
            ) from error
        return S3Storage(lake, options or S3Options())
    if "://" in lake and not lake.startswith("file://"):
        raise ConfigError(f"{lake}: LAKE is a local folder or s3://bucket/prefix")
    try:
        lake.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{lake!r}: the path of a lake must be UTF-8, as Delta's and RocksDB's paths are") from None
    return LocalStorage(lake.removeprefix("file://"))
