"""The claim store as objects in a bucket: one object an id, written with put-if-absent and compare-and-swap.

Under the prefix lie `claims/<lake id>/<generation>/<2 digits>/<32 hexadecimal digits>`, each the 48 bytes of an OWNER
(no bytes: released), and `state/<lake id>/`: the marker of the generation and the shards' numbers. S3 splits a busy
prefix by itself, up to 3,500 writes a second for each of the 256 folders. Claims are never deleted here: give the
bucket a lifecycle rule that expires the prefix `claims/` after the window and the source's retention together, and
one day more. It must not reach `state/`. Objects that it has not deleted yet count by the window alone.

Cost, in us-east-1 (https://aws.amazon.com/s3/pricing/, requests to S3 Standard, as of 2025): USD 0.005 for 1,000 PUT
and USD 0.0004 for 1,000 GET. A new id is one PUT: USD 5 a million events. A duplicate is a PUT that is refused and a
GET: USD 5.40 a million. That is eight times DynamoDB's price: for small streams, and where nothing but S3 is allowed.

Needs s3:GetObject and s3:PutObject below the prefix and s3:ListBucket on the bucket (without it an absent object
reads as denied). Works with every S3-compatible store that honours If-None-Match and If-Match on PUT and reads what
was written; on opening both are tried, because some overwrite instead. Not for buckets replicated in both directions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import NamedTuple

from boto3.session import Session
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from headgate.claims.aws import MAX_ATTEMPTS, SdkError, aws_error, client_config, code_of, status_of, wall_clock_us
from headgate.claims.shared import Marker, new_generation
from headgate.claims.singly import SinglyClaimStore, arrived_of, position_of
from headgate.errors import ConfigError, TransientError
from headgate.records import Shard

WORKERS = 32  # requests at once; a request takes 10 to 100 ms
MAX_ROUNDS = 20  # of read and compare-and-swap for one object; each lost round is one that another client won
NO_ETAG = '"00000000000000000000000000000000"'  # of no object
RELEASED = b""


class Held(NamedTuple):
    """An object as it stands: its bytes, and the entity tag that a swap names."""

    body: bytes
    etag: str


Wish = Callable[[bytes | None], bytes | None]  # the bytes wanted in place of those held; None to leave them


class S3ClaimStore(SinglyClaimStore):
    """A ClaimStore under a prefix of a bucket, for any number of clients.

    Guarantee: see the port; a claim is durable when it is answered. A claim lasts until the lifecycle rule deletes it.
    """

    def __init__(
        self,
        uri: str,
        *,
        lake_id: str,
        ttl_us: int,
        region: str | None = None,
        endpoint_url: str | None = None,
        workers: int = WORKERS,
        max_attempts: int = MAX_ATTEMPTS,
        now_us: Callable[[], int] = wall_clock_us,
    ) -> None:
        """Open the lake's claims under a prefix, or begin a first generation.

        Args:
            uri: `s3://bucket/prefix`; the prefix may be empty.
            lake_id: the lake's identity.
            ttl_us: how long the lifecycle rule leaves a claim at least, in microseconds.
            region: AWS region; None for the SDK's own setting.
            endpoint_url: of another server than AWS's.
            workers: requests at once, one connection each.
            max_attempts: of one request, with jittered back-off between them.
            now_us: wall clock in microseconds since 1970 UTC; decides only what may be expired.

        Raises:
            ConfigError: the bucket does not exist, or the server does not honour conditions.
            TransientError: S3 did not answer or denies access.
        """
        super().__init__(lake_id=lake_id, ttl_us=ttl_us, workers=workers)
        scheme, _, rest = uri.partition("://")
        self._bucket, _, prefix = rest.partition("/")
        if scheme != "s3" or not self._bucket:
            raise ConfigError(f"{uri} names no bucket: write s3://bucket/prefix")
        self._prefix = f"{prefix.strip('/')}/".lstrip("/")
        self._where, self._now_us = f"s3://{self._bucket}/{self._prefix}", now_us
        try:
            self.client: BaseClient = Session().client(
                "s3",
                region_name=region,
                endpoint_url=endpoint_url,
                config=client_config(workers, max_attempts),
            )
        except SdkError as error:
            raise aws_error(error, self._where) from error
        self._refuse_overwriting()
        self._bind(self._begin(None))

    def _refuse_overwriting(self) -> None:
        """Some servers take a condition and overwrite all the same: with them nothing would be first."""
        probe = self._state("probe")
        is_new = self._put(probe, b"first", None)
        if self._put(probe, b"absent only", None) or self._put(probe, b"swapped", Held(b"", NO_ETAG)):
            raise ConfigError(
                f"{self._where}: the server overwrites objects in spite of If-None-Match or If-Match "
                f"({'a new' if is_new else 'an old'} probe was changed): use another claim store"
            )

    def mark_seen(self, number: int, positions: Mapping[Shard, str | None]) -> None:
        """See the port; for all clients, and never backwards. Raises CommitConflict."""

        def wish(body: bytes | None) -> bytes | None:
            marker = self._marker(body)
            if marker is None or marker.generation != self._generation:
                raise self._lost()
            return _json(marker, seen=number) if marker.seen < number else None

        self._settle(self._state("generation"), wish)

    def statistics(self) -> Mapping[str, float]:
        """Nothing: counting objects would be billed by the thousand."""
        return {}

    def close(self) -> None:
        """Let go of threads and connections. May be called twice."""
        super().close()
        self.client.close()

    def _look(self) -> Marker | None:
        """See SharedClaimStore."""
        held = self._get(self._state("generation"))
        return None if held is None else self._marker(held.body)

    def _marker(self, body: bytes | None) -> Marker | None:
        if body is None:
            return None
        said = json.loads(body)
        return Marker(
            generation=said["generation"], created_us=said["created_us"], seen=said["seen"], now_us=self._now_us()
        )

    def _begin(self, previous: str | None) -> Marker:
        """See SharedClaimStore."""
        now_us = self._now_us()
        begun = Marker(generation=new_generation("s3"), created_us=now_us, seen=0, now_us=now_us)

        def wish(body: bytes | None) -> bytes | None:
            marker = self._marker(body)
            if marker is not None and (marker.generation != previous or marker.seen == 0):
                return None
            return _json(begun, seen=0)

        marker = self._marker(self._settle(self._state("generation"), wish))
        assert marker is not None  # noqa: S101  # the wish leaves no marker absent
        return marker

    def _occupy(self, number: int, text: str) -> str:
        """See SinglyClaimStore."""
        return self._settle(self._shard(number), lambda held: text.encode() if held is None else None).decode()

    def _occupant(self, number: int) -> str | None:
        """See SinglyClaimStore."""
        held = self._get(self._shard(number))
        return None if held is None else held.body.decode()

    def _claim_one(self, key: bytes, owner: bytes, window_us: int) -> bytes:
        """See SinglyClaimStore."""

        def wish(held: bytes | None) -> bytes | None:
            return owner if not held or arrived_of(owner) > arrived_of(held) + window_us else None

        return self._settle(self._claim(key), wish, is_likely_absent=True)

    def _take_over_one(self, key: bytes, owner: bytes, expected: bytes) -> bytes:
        """See SinglyClaimStore."""

        def wish(held: bytes | None) -> bytes | None:
            return owner if not held or position_of(held) == position_of(expected) else None

        return self._settle(self._claim(key), wish)

    def _load_one(self, key: bytes, owner: bytes) -> None:
        """See SinglyClaimStore."""

        def wish(held: bytes | None) -> bytes | None:
            if held and (position_of(held) == position_of(owner) or arrived_of(held) > arrived_of(owner)):
                return None
            return owner

        self._settle(self._claim(key), wish, is_likely_absent=True)

    def _release_one(self, key: bytes, owner: bytes) -> bool:
        """See SinglyClaimStore. An empty object takes the claim's place: not every store deletes conditionally."""
        was_mine = False

        def wish(held: bytes | None) -> bytes | None:
            nonlocal was_mine
            was_mine = bool(held) and position_of(held or RELEASED) == position_of(owner)
            return RELEASED if was_mine else None

        self._settle(self._claim(key), wish)
        return was_mine

    def _state(self, name: str) -> str:
        return f"{self._prefix}state/{self._lake_id}/{name}"

    def _shard(self, number: int) -> str:
        return self._state(f"{self._generation}/shard/{number}")

    def _claim(self, key: bytes) -> str:
        name = key.hex()
        return f"{self._prefix}claims/{self._lake_id}/{self._generation}/{name[:2]}/{name}"

    def _settle(self, key: str, wish: Wish, *, is_likely_absent: bool = False) -> bytes:
        """Bring an object to what is wished for what it holds; the bytes that stand there afterwards.

        A write whose answer was lost comes back refused, and the wish then finds its own bytes.

        Args:
            key: the object.
            wish: asked again whenever another client was quicker; never None for an absent object.
            is_likely_absent: write before the first look.

        Raises:
            TransientError: no answer, or others are quicker all the time.
        """
        held = None if is_likely_absent else self._get(key)
        for _ in range(MAX_ROUNDS):
            wished = wish(None if held is None else held.body)
            if wished is None:
                return RELEASED if held is None else held.body
            if self._put(key, wished, held):
                return wished
            held = self._get(key)
        raise TransientError(f"{self._where}: other clients write {key} all the time: Headgate tries again")

    def _get(self, key: str) -> Held | None:
        """An object as it stands; None where there is none."""
        try:
            answer = self.client.get_object(Bucket=self._bucket, Key=key)
            return Held(answer["Body"].read(), answer["ETag"])
        except ClientError as error:
            if code_of(error) == "NoSuchKey":
                return None
            raise self._error(error) from error
        except SdkError as error:
            raise aws_error(error, self._where) from error

    def _put(self, key: str, body: bytes, held: Held | None) -> bool:
        """Write an object where none is, or in place of the one that is held; whether that was so."""
        condition = {"IfNoneMatch": "*"} if held is None else {"IfMatch": held.etag}
        try:
            self.client.put_object(Bucket=self._bucket, Key=key, Body=body, **condition)
        except ClientError as error:
            is_gone = held is not None and code_of(error) == "NoSuchKey"
            if status_of(error) in (409, 412) or is_gone:
                return False  # 409: another write of this object is under way; the next round sees how it ended
            raise self._error(error) from error
        except SdkError as error:
            raise aws_error(error, self._where) from error
        return True

    def _error(self, error: ClientError) -> Exception:
        if code_of(error) == "NoSuchBucket":
            return ConfigError(f"{self._where} does not exist: make it with `aws s3 mb s3://{self._bucket}`")
        return aws_error(error, self._where)


def _json(marker: Marker, *, seen: int) -> bytes:
    said = {"generation": marker.generation, "created_us": marker.created_us, "seen": seen}
    return json.dumps(said).encode()
