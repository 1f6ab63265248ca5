"""A lake on S3, or on a storage that speaks like it and knows conditional writes, through `obstore`.

Law: a conditional write is sent once a call. A second try inside the client could meet the first one's effect and take
it for somebody else's; so every doubt becomes a TransientError, and the caller looks before it tries again. What may
be repeated without harm (reading, whole files, copies, deletions) the client repeats by itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import S3Store
from pyarrow.fs import FileSystem, S3FileSystem, SubTreeFileSystem

from headgate.errors import ConfigError
from headgate.lake.s3_credentials import CredentialChain
from headgate.lake.s3_errors import code_of, is_about_credentials, s3_error, status_of
from headgate.lake.s3_object import S3Object, described, part_of
from headgate.lake.s3_options import S3Options, parse_root
from headgate.lake.storage import Bytes, checked

if TYPE_CHECKING:
    from obstore import SuffixRange
    from obstore.store import ClientConfig, S3Config

_Answer = TypeVar("_Answer")

DEFAULT_REGION = "us-east-1"  # the SDKs' own
PART_BYTES = 16 << 20  # bytes; larger files go up in parts of this size, side by side
_PARTS_AT_ONCE = 4
_LIST_PAGE = 1_000  # keys; the most that ListObjectsV2 gives
_TRIES_AGAIN = 4  # of what may be repeated
_TRY_FOR = timedelta(seconds=20)  # then the caller waits, who knows when to stop
_ANSWER_WITHIN = timedelta(seconds=60)  # one request with its body
_CONNECT_WITHIN = timedelta(seconds=5)


class S3Storage:
    """A prefix of a bucket; see Storage. May be used by many threads.

    An upload in parts that a kill cut off leaves parts behind that cost and show nowhere: give the bucket a rule that
    aborts incomplete uploads after a few days.
    """

    def __init__(self, root_uri: str, options: S3Options) -> None:
        """Keep where it lies; no request is made yet.

        Args:
            root_uri: `s3://bucket/prefix`.
            options: of the client.

        Raises:
            ConfigError: no such URI, or an endpoint without TLS that is not allowed.
        """
        self._bucket, self._prefix = parse_root(root_uri)
        self._root = "/".join(filter(None, (f"s3://{self._bucket}", self._prefix)))
        self._options = options
        self._chain = CredentialChain()
        self._region = options.region or self._chain.region or DEFAULT_REGION
        self._endpoint = options.endpoint_url or self._chain.endpoint_url
        if self._endpoint and not self._endpoint.startswith("https://") and not options.is_http_allowed:
            raise ConfigError(f"the endpoint {self._endpoint} has no TLS: use https://, or allow http in [storage]")
        self._repeating = self._store(_TRIES_AGAIN)
        self._once = self._store(0)
        self._was_reached = False

    @property
    def root(self) -> str:
        """The URI."""
        return self._root

    @property
    def is_remote(self) -> bool:
        """It is."""
        return True

    @property
    def delta_options(self) -> dict[str, str]:
        """Region, endpoint, encryption, and credentials that are good for some minutes."""
        key = self._chain.key()
        found = {
            "AWS_ACCESS_KEY_ID": key.access_key_id,
            "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
            "AWS_SESSION_TOKEN": key.token,
            "AWS_REGION": self._region,
            "AWS_ENDPOINT_URL": self._endpoint,
            "AWS_ALLOW_HTTP": "true" if self._options.is_http_allowed else None,
            "AWS_SERVER_SIDE_ENCRYPTION": self._options.sse,
            "AWS_SSE_KMS_KEY_ID": self._options.kms_key_id,
            "aws_conditional_put": "etag",
            "max_retries": str(_TRIES_AGAIN),
            "retry_timeout": f"{_TRY_FOR.seconds}s",
            "timeout": f"{_ANSWER_WITHIN.seconds}s",
        }
        return {name: value for name, value in found.items() if value is not None}

    def arrow_files(self) -> FileSystem:
        """By pyarrow's own client. Credentials of a profile that expire last for one reading, not for hours."""
        key = None if self._chain.is_found_by_every_sdk else self._chain.key()
        files = S3FileSystem(
            access_key=key and key.access_key_id,
            secret_key=key and key.secret_access_key,
            session_token=key and key.token,
            region=self._region,
            endpoint_override=self._endpoint,
            request_timeout=_ANSWER_WITHIN.seconds,
            connect_timeout=_CONNECT_WITHIN.seconds,
        )
        return SubTreeFileSystem("/".join(filter(None, (self._bucket, self._prefix))), files)

    def put(self, path: str, content: Bytes, *, is_folder_synced: bool = True) -> None:
        """One request, or one for each part and one that makes the file appear."""
        with self._mapped(path):
            obstore.put(
                self._repeating,
                checked(path, self._root),
                _flat(content),
                use_multipart=len(content) > PART_BYTES,
                chunk_size=PART_BYTES,
                max_concurrency=_PARTS_AT_ONCE,
            )

    def put_if_absent(self, path: str, content: Bytes) -> bool:
        """One request with `If-None-Match: *`, whatever the size (S3 takes 5 GiB)."""
        with self._mapped(path):
            try:
                obstore.put(self._once, checked(path, self._root), _flat(content), mode="create", use_multipart=False)
            except AlreadyExistsError as error:
                if status_of(error) != 412:  # 409: two writes at once, of which this one did not happen
                    raise
                return False
        return True

    def get(self, path: str) -> bytes | None:
        """One request."""
        return self._ask(path, lambda full: bytes(obstore.get(self._repeating, full).bytes()))

    def get_version(self, path: str) -> tuple[bytes, str] | None:
        """The file's content and the name of this version of it; None where there is no such file."""

        def read(full: str) -> tuple[bytes, str]:
            found = obstore.get(self._repeating, full)
            return bytes(found.bytes()), str(found.meta["e_tag"])

        return self._ask(path, read)

    def put_version(self, path: str, content: Bytes, replaced: str) -> str | None:
        """Write a file in place of this very version; None where it is another one by now.

        Returns:
            The name of the new version.

        Raises:
            TransientError: the file may or may not have been written; look before trying again.
        """
        with self._mapped(path):
            try:
                done = obstore.put(
                    self._once, checked(path, self._root), _flat(content), mode={"e_tag": replaced}, use_multipart=False
                )
            except PreconditionError as error:
                if status_of(error) not in (404, 412):
                    raise
                return None
        return str(done["e_tag"])

    def list(self, prefix: str) -> Iterator[str]:
        """Pages of 1,000, beginning at the prefix."""
        return (found.path for found in self.objects(prefix))

    def sizes(self, prefix: str) -> Iterator[tuple[str, int]]:
        """As `list`: the pages tell the sizes."""
        return ((found.path, found.size) for found in self.objects(prefix))

    def modified(self, prefix: str) -> Iterator[tuple[str, int]]:
        """As `list`: the pages tell the times."""
        return ((found.path, found.modified_us) for found in self.objects(prefix))

    def objects(self, prefix: str) -> Iterator[S3Object]:
        """As `list`, with all that the pages tell."""
        folder, _, _ = prefix.rpartition("/")
        # obstore lists whole folders; the offset leads past what cannot begin with the prefix.
        offset = prefix[:-1] if not prefix.endswith("/") and prefix else None
        with self._mapped(prefix):
            for page in obstore.list(self._repeating, folder or None, offset=offset, chunk_size=_LIST_PAGE):
                yield from (described(meta) for meta in page if meta["path"].startswith(prefix))

    def look(self, path: str) -> S3Object | None:
        """One request; None where there is no such object."""
        return self._ask(path, lambda full: described(obstore.head(self._repeating, full)))

    def fetch(self, path: str, start: int, stop: int, version: str | None) -> tuple[bytes, S3Object] | None:
        """Bytes from `start` up to `stop`, fewer at the object's end, and what they are a part of. One request.

        None where there is no such object, or not in this version; with None whatever version is there.
        """
        return self._ask(path, lambda full: part_of(self._repeating, full, start, stop, version))

    def tail(self, path: str, num_bytes: int) -> bytes | None:
        """One request for a range from the end."""
        end: SuffixRange = {"suffix": num_bytes}
        return self._ask(path, lambda full: bytes(obstore.get(self._repeating, full, options={"range": end}).bytes()))

    def exists(self, path: str) -> bool:
        """One request."""
        return self.size(path) is not None

    def size(self, path: str) -> int | None:
        """One request."""
        found = self.look(path)
        return None if found is None else found.size

    def rename(self, path: str, target: str) -> bool:
        """Copied by the server, then deleted here; killed in between, both are there and it may be called again."""
        with self._mapped(target):
            try:
                obstore.copy(self._repeating, checked(path, self._root), checked(target, self._root))
            except FileNotFoundError as error:
                if code_of(error) == "NoSuchBucket":
                    raise
                return False
        self.delete(path)
        return True

    def delete(self, path: str) -> None:
        """One request."""
        self._ask(path, lambda full: obstore.delete(self._repeating, full))

    def sweep(self) -> None:
        """Nothing: no unfinished file has a name."""

    def sync_folders(self, paths: Sequence[str]) -> None:
        """Nothing: there are no folders, and what was answered is durable."""

    def _ask(self, path: str, question: Callable[[str], _Answer]) -> _Answer | None:
        """The answer; None where there is no such file. A bucket that is not there is an error."""
        with self._mapped(path):
            try:
                return question(checked(path, self._root))
            except FileNotFoundError as error:
                code, was_reached = code_of(error), self._was_reached
                if code == "NoSuchBucket":
                    raise
        self._was_reached = was_reached or code is not None  # to HEAD a bucket that is missing answers no more
        return None

    @contextlib.contextmanager
    def _mapped(self, path: str) -> Iterator[None]:
        """Errors of obstore become Headgate's."""
        try:
            yield
        except (BaseError, OSError) as error:
            if is_about_credentials(error):
                self._chain.renew()
            raise s3_error(error, f"{self._root}/{path}", was_reached=self._was_reached) from error
        self._was_reached = True

    def _store(self, max_retries: int) -> S3Store:
        config: S3Config = {
            "region": self._region,
            "conditional_put": "etag",
            "disable_bulk_delete": True,
        }
        if self._endpoint:
            config["endpoint"] = self._endpoint
        if self._options.sse:
            config["server_side_encryption"] = self._options.sse
        if self._options.kms_key_id:
            config["sse_kms_key_id"] = self._options.kms_key_id
        client: ClientConfig = {
            "allow_http": self._options.is_http_allowed,
            "timeout": _ANSWER_WITHIN,
            "connect_timeout": _CONNECT_WITHIN,
        }
        return S3Store(
            self._bucket,
            prefix=self._prefix or None,
            config=config,
            client_options=client,
            retry_config={"max_retries": max_retries, "retry_timeout": _TRY_FOR},
            credential_provider=self._chain,
        )


def _flat(content: Bytes) -> memoryview:
    """The bytes as obstore takes them: those of an Arrow buffer are signed otherwise."""
    return memoryview(content).cast("B")
