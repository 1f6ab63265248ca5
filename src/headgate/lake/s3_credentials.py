"""Credentials and settings from the SDK's chain: environment, profile, container or instance role, web identity."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import botocore.session
from botocore.configprovider import ConfiguredEndpointProvider
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError

from headgate.errors import ConfigError, TransientError

if TYPE_CHECKING:
    from obstore.store import S3Credential

# The SDK renews what expires within 10 to 15 minutes, so that what it gives is good for longer than this; and obstore
# asks again for what expires within 5 minutes, so that it asks before every request and never keeps refused ones.
_GOOD_FOR = timedelta(minutes=4)
_RENEWED_BY_EVERY_SDK = {"env", "container-role", "iam-role", "assume-role-with-web-identity"}


@dataclass(frozen=True, slots=True)
class Key:
    """Credentials of this moment. Never part of a message."""

    access_key_id: str
    secret_access_key: str
    token: str | None


class CredentialChain:
    """Asks the chain whenever somebody needs credentials. May be called by many threads."""

    def __init__(self) -> None:
        """Begin with the environment and files of now.

        Raises:
            ConfigError: the environment names a profile that is not there.
        """
        self._lock = threading.Lock()
        self._session = botocore.session.Session()
        try:
            self.region: str | None = self._session.get_config_variable("region")
            self.endpoint_url = self._endpoint_url()
        except BotoCoreError as error:
            raise ConfigError(f"the AWS settings of this machine cannot be read: {error}") from error
        self._credentials: Credentials | None = None

    def key(self) -> Key:
        """Credentials that are good for some minutes at least.

        Raises:
            TransientError: there are none at the moment.
        """
        try:
            with self._lock:
                if self._credentials is None:
                    self._credentials = self._session.get_credentials()
                if self._credentials is None:
                    raise TransientError(
                        "no AWS credentials: set AWS_PROFILE or AWS_ACCESS_KEY_ID, or run where a role gives some"
                    )
                frozen = self._credentials.get_frozen_credentials()
        except BotoCoreError as error:
            raise TransientError(f"AWS credentials cannot be got ({error}): log in again or mend the role") from error
        return Key(frozen.access_key, frozen.secret_key, frozen.token)

    def renew(self) -> None:
        """Read environment and files anew at the next call; for credentials that were refused."""
        with self._lock:
            self._session = botocore.session.Session()
            self._credentials = None

    @property
    def is_found_by_every_sdk(self) -> bool:
        """True where another SDK in this process finds the same credentials and renews them itself."""
        self.key()
        return getattr(self._credentials, "method", None) in _RENEWED_BY_EVERY_SDK

    def __call__(self) -> S3Credential:
        """For obstore."""
        key = self.key()
        return {
            "access_key_id": key.access_key_id,
            "secret_access_key": key.secret_access_key,
            "token": key.token,
            "expires_at": datetime.now(UTC) + _GOOD_FOR,
        }

    def _endpoint_url(self) -> str | None:
        """What `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL` or the profile say."""
        if self._session.get_config_variable("ignore_configured_endpoint_urls"):
            return None
        provider = ConfiguredEndpointProvider(
            full_config=self._session.full_config,
            scoped_config=self._session.get_scoped_config(),
            client_name="s3",
        )
        found = provider.provide()
        return None if found is None else str(found)
