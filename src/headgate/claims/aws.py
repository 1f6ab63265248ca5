"""boto3 clients for claim stores, and what the SDK's errors mean to a claim store.

Credentials come only from the SDK's chain. The SDK's standard retries (jittered back-off, bounded) are the store's
own; what is left after them is a TransientError, which the flow waits out.
"""

from __future__ import annotations

import time

from botocore import exceptions as sdk
from botocore.config import Config

from headgate.errors import ConfigError, HeadgateError, PermanentError, TransientError

MAX_ATTEMPTS = 5  # of one request, by the SDK; back-off up to 1, 2, 4, 8 s
CONNECT_SECONDS = 5.0  # before another attempt
READ_SECONDS = 15.0  # before another attempt

_SLOW = "it is throttled: Headgate tries again; raise the limit if this lasts"
_DENIED = "access is denied: give this role (back) its rights on the claim store and its key; Headgate tries again"
_EXPIRED = "the credentials are not valid (any more): Headgate tries again; renew them if this lasts"
_CLOCK = "the machine's clock is wrong: set it"
_BUSY = "the service has trouble: Headgate tries again"

#: Error codes of DynamoDB and S3 that are waited out, and advice. Sources: "Error handling with DynamoDB" (developer
#: guide), "Error responses" (S3 API reference), "Common errors" (STS, KMS).
WAITED_OUT = {
    "ProvisionedThroughputExceededException": _SLOW,
    "ThrottlingException": _SLOW,
    "ThrottledException": _SLOW,
    "Throttling": _SLOW,
    "RequestLimitExceeded": _SLOW,
    "LimitExceededException": _SLOW,
    "BandwidthLimitExceeded": _SLOW,
    "TooManyRequestsException": _SLOW,
    "SlowDown": _SLOW,
    "KMS.ThrottlingException": _SLOW,
    "TransactionInProgressException": _BUSY,
    "TransactionConflictException": _BUSY,
    "ReplicatedWriteConflictException": _BUSY,
    "InternalServerError": _BUSY,
    "InternalError": _BUSY,
    "InternalFailure": _BUSY,
    "ServiceUnavailable": _BUSY,
    "ServiceUnavailableException": _BUSY,
    "OperationAborted": _BUSY,
    "ConditionalRequestConflict": _BUSY,
    "RequestTimeout": _BUSY,
    "RequestTimeoutException": _BUSY,
    "AccessDeniedException": _DENIED,
    "AccessDenied": _DENIED,
    "AllAccessDisabled": _DENIED,
    "AccountProblem": _DENIED,
    "KMS.DisabledException": _DENIED,
    "KMS.KMSInvalidStateException": _DENIED,
    "KMS.NotFoundException": _DENIED,
    "UnauthorizedAccess": _DENIED,
    "NotAuthorized": _DENIED,
    "OptInRequired": _DENIED,
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "RequestExpired": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "InvalidToken": _EXPIRED,
    "InvalidClientTokenId": _EXPIRED,
    "InvalidAccessKeyId": _EXPIRED,
    "UnrecognizedClientException": _EXPIRED,
    "IncompleteSignatureException": _EXPIRED,
    "InvalidSignatureException": _EXPIRED,
    "MissingAuthenticationToken": _EXPIRED,
    "MissingAuthenticationTokenException": _EXPIRED,
    "SignatureDoesNotMatch": _EXPIRED,
    "RequestTimeTooSkewed": _CLOCK,
}

#: Errors that the SDK raises by itself and that pass. All others of it are a setting: region, profile, endpoint.
_NO_CREDENTIALS = (
    sdk.NoCredentialsError,
    sdk.CredentialRetrievalError,
    sdk.MetadataRetrievalError,
    sdk.TokenRetrievalError,
    sdk.SSOError,
    sdk.LoginError,
)
_NO_ANSWER = (
    sdk.ConnectionError,
    sdk.HTTPClientError,
    sdk.IncompleteReadError,
    sdk.ChecksumError,
    sdk.FlexibleChecksumError,
)

SdkError = (sdk.BotoCoreError, sdk.ClientError)


def wall_clock_us() -> int:
    """Microseconds since 1970 UTC. Decides what is expired, nothing else."""
    return time.time_ns() // 1000


def client_config(connections: int, max_attempts: int) -> Config:
    """How a claim store's client behaves.

    Args:
        connections: open connections at most, one a thread.
        max_attempts: of one request, the first one included.
    """
    return Config(
        retries={"mode": "standard", "total_max_attempts": max_attempts},
        max_pool_connections=connections,
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        tcp_keepalive=True,
        user_agent="headgate",  # the SDK's own is put together anew for each request, a fifth of its time
        request_checksum_calculation="when_required",  # objects of 48 bytes; and not all S3-compatible stores take it
        response_checksum_validation="when_required",
    )


def code_of(error: sdk.ClientError) -> str:
    """The service's name for an error; the HTTP status as text where the answer had no body."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: sdk.ClientError) -> int:
    """The HTTP status of an error; 0 where there was none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def aws_error(error: sdk.BotoCoreError | sdk.ClientError, where: str) -> HeadgateError:
    """The one place where the SDK's errors become a claim store's: wait, or stop for a human.

    Args:
        error: what boto3 raised after its own retries.
        where: the store, as people name it.
    """
    if isinstance(error, sdk.ClientError):
        code = code_of(error)
        if code in WAITED_OUT:
            return TransientError(f"{where}: {code}; {WAITED_OUT[code]}")
        if (status_of(error) >= 500 and code != "NotImplemented") or status_of(error) in (408, 429):
            return TransientError(f"{where}: {code}; {_BUSY}")
        if status_of(error) in (401, 403):
            return TransientError(f"{where}: {code}; {_DENIED}")
        text = str(error.response.get("Error", {}).get("Message", "")).splitlines()
        return PermanentError(f"{where} refuses the request: {code}{': ' + text[0] if text else ''}")
    if isinstance(error, _NO_CREDENTIALS):
        return TransientError(f"{where}: {error}; {_EXPIRED}")
    if isinstance(error, _NO_ANSWER):
        return TransientError(f"{where} does not answer ({type(error).__name__}): Headgate tries again")
    return ConfigError(f"{where}: {error}; set region, profile or endpoint for the AWS SDK")
