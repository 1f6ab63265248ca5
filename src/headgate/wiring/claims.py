"""Configuration to the lake's one claim store."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from headgate.claims.memory import MemoryClaimStore
from headgate.claims.rocksdb import RocksDbClaimStore
from headgate.config import Config, cache_folder
from headgate.errors import ConfigError
from headgate.lake.lake import TableLake
from headgate.lake.layout import ClaimsIdentity, claims_identity
from headgate.ports import ClaimStore, Telemetry
from headgate.telemetry.facts import Noticed

CLAIMS_FOLDER = "_headgate/claims"  # of the default claim store, inside the lake
DEFAULT_IDENTITY = "inside the lake"
EMBEDDED = ("rocksdb", "memory")  # kinds that serve one process


def claims_of_lake(config: Config) -> ClaimsIdentity:
    """Kind and identity of the claim store that the configuration names; without a password."""
    uri = config.dedup.store
    if uri is None:
        return ClaimsIdentity(kind="rocksdb", identity=DEFAULT_IDENTITY)
    kind, _, rest = uri.partition(":")
    if kind == "rocksdb":
        return ClaimsIdentity(kind=kind, identity=str(Path(rest).absolute()))
    if kind in ("redis", "rediss"):
        parts = urlsplit(uri)
        where = f"{parts.hostname}:{parts.port or 6379}/{parts.path.strip('/') or '0'}"
        return ClaimsIdentity(kind="redis", identity=where)
    return ClaimsIdentity(kind=kind, identity=rest.strip("/"))


def claims_of_existing(lake: TableLake) -> ClaimsIdentity | None:
    """Kind and identity of the claim store that a lake was made with."""
    return claims_identity(lake.storage)


def claims_folder(identity: ClaimsIdentity, lake: TableLake) -> Path | None:
    """Where an embedded store lies: inside a local lake, beside a remote one in this user's cache; None for others."""
    if identity.kind != "rocksdb":
        return None
    if identity.identity != DEFAULT_IDENTITY:
        return Path(identity.identity)
    if lake.storage.is_remote:
        return cache_folder() / "headgate" / lake.about.lake_id / "claims"
    return Path(lake.storage.root) / CLAIMS_FOLDER


def open_claims(identity: ClaimsIdentity, lake: TableLake, config: Config, telemetry: Telemetry) -> ClaimStore:
    """Open the lake's claim store; a damaged embedded one begins anew and is filled from the lake."""
    if identity.kind == "memory":
        return MemoryClaimStore()
    if identity.kind != "rocksdb":
        return _open_shared(identity, lake, config)
    path = claims_folder(identity, lake) or Path(identity.identity)
    store = RocksDbClaimStore(path)
    try:
        store.bind(lake.about.lake_id)
    except ConfigError:
        store.close()
        raise
    if store.moved_aside is not None:
        telemetry.emit(
            Noticed(what=f"the claim store {path} was damaged; it lies at {store.moved_aside}, a new one is filled")
        )
    return store


def _open_shared(identity: ClaimsIdentity, lake: TableLake, config: Config) -> ClaimStore:
    """A store on a server; its client is an extra of the package."""
    lake_id, ttl_us = lake.about.lake_id, config.dedup.window_us + config.source.retention_us
    try:
        if identity.kind == "redis":
            from headgate.claims.redis import RedisClaimStore

            # The configuration's own URI: the lake remembers no password.
            return RedisClaimStore(_own_uri(identity, config), lake_id=lake_id, ttl_us=ttl_us)
        if identity.kind == "dynamodb":
            from headgate.claims.dynamodb import DynamoDbClaimStore

            aws = config.aws
            return DynamoDbClaimStore(
                identity.identity, lake_id=lake_id, ttl_us=ttl_us, region=aws.region, endpoint_url=aws.endpoint_url
            )
        from headgate.claims.s3 import S3ClaimStore

        section = config.storage
        return S3ClaimStore(
            f"s3://{identity.identity}",
            lake_id=lake_id,
            ttl_us=ttl_us,
            region=section.region,
            endpoint_url=section.endpoint_url,
        )
    except ImportError as error:
        extra = "redis" if identity.kind == "redis" else "aws"
        raise ConfigError(
            f"claims in {identity.kind} need the package {error.name}; "
            f"install it with `pip install 'headgate[{extra}]'`"
        ) from error


def _own_uri(identity: ClaimsIdentity, config: Config) -> str:
    uri = config.dedup.store
    if uri is not None and claims_of_lake(config) == identity:
        return uri
    return f"redis://{identity.identity}"
