"""What the errors of the AWS SDK mean to a reader of a stream: the one table, and the errors that a reader handles.

throttled, broken, unreachable   retry with back-off
iterator or page token expired   make a new one
not allowed, key not usable      stop at first contact; retry once it has worked: rights and keys come back
not there                        look at the stream again
wrong arguments                  stop
"""

from __future__ import annotations

from enum import StrEnum

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
)

from headgate.errors import ConfigError, HeadgateError, PermanentError, TransientError

SERVER_ERROR = 500  # HTTP status from which the service is at fault


class ExpiredError(TransientError):
    """An iterator (after 5 minutes) or a page token is not valid any more: make a new one."""


class MissingError(PermanentError):
    """The stream, or the shard, or the record of a sequence number is not there."""


class RefusedError(PermanentError):
    """The service does not take the arguments: a sequence number or time that it cannot place."""


class Reaction(StrEnum):
    """What a reader does about an error."""

    RETRY = "retry"
    EXPIRED = "expired"
    ACCESS = "access"
    MISSING = "missing"
    REFUSED = "refused"


REACTIONS: dict[str, Reaction] = {
    "ProvisionedThroughputExceededException": Reaction.RETRY,
    "LimitExceededException": Reaction.RETRY,
    "KMSThrottlingException": Reaction.RETRY,
    "ThrottlingException": Reaction.RETRY,
    "Throttling": Reaction.RETRY,
    "RequestLimitExceeded": Reaction.RETRY,
    "TooManyRequestsException": Reaction.RETRY,
    "InternalFailureException": Reaction.RETRY,
    "InternalFailure": Reaction.RETRY,
    "InternalServerError": Reaction.RETRY,
    "ServiceUnavailable": Reaction.RETRY,
    "RequestTimeout": Reaction.RETRY,
    "RequestTimeoutException": Reaction.RETRY,
    "ResourceInUseException": Reaction.RETRY,
    "ExpiredIteratorException": Reaction.EXPIRED,
    "ExpiredNextTokenException": Reaction.EXPIRED,
    "AccessDeniedException": Reaction.ACCESS,
    "AccessDenied": Reaction.ACCESS,
    "UnrecognizedClientException": Reaction.ACCESS,
    "InvalidSignatureException": Reaction.ACCESS,
    "InvalidClientTokenId": Reaction.ACCESS,
    "IncompleteSignature": Reaction.ACCESS,
    "MissingAuthenticationToken": Reaction.ACCESS,
    "MissingAuthenticationTokenException": Reaction.ACCESS,
    "ExpiredToken": Reaction.ACCESS,
    "ExpiredTokenException": Reaction.ACCESS,
    "RequestExpired": Reaction.ACCESS,
    "OptInRequired": Reaction.ACCESS,
    "KMSAccessDeniedException": Reaction.ACCESS,
    "KMSDisabledException": Reaction.ACCESS,
    "KMSInvalidStateException": Reaction.ACCESS,
    "KMSNotFoundException": Reaction.ACCESS,
    "KMSOptInRequired": Reaction.ACCESS,
    "ResourceNotFoundException": Reaction.MISSING,
    "InvalidArgumentException": Reaction.REFUSED,
    "ValidationException": Reaction.REFUSED,
    "SerializationException": Reaction.REFUSED,
    "UnknownOperationException": Reaction.REFUSED,
    "DryRunOperationException": Reaction.REFUSED,
}

NO_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError)


def reaction_to(error: ClientError | BotoCoreError) -> Reaction:
    """What to do about an error of the SDK. Codes that are not in the table go by their HTTP status."""
    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        known = REACTIONS.get(code)
        if known is not None:
            return known
        return Reaction.RETRY if status >= SERVER_ERROR else Reaction.REFUSED
    if isinstance(error, NO_CREDENTIALS):
        return Reaction.ACCESS
    return Reaction.REFUSED if isinstance(error, ParamValidationError | NoRegionError) else Reaction.RETRY


def kinesis_error(error: ClientError | BotoCoreError, what: str, *, has_worked: bool) -> HeadgateError:
    """The SDK's error as one of Headgate's.

    Args:
        error: as boto3 raised it.
        what: which call on what, for people.
        has_worked: False where nothing was ever answered: then missing rights are a wrong configuration.
    """
    reaction, said = reaction_to(error), f"{what}: {_said(error)}"
    match reaction:
        case Reaction.RETRY:
            return TransientError(f"{said}; Headgate tries again")
        case Reaction.EXPIRED:
            return ExpiredError(f"{said}; a new one is made")
        case Reaction.ACCESS if has_worked:
            return TransientError(f"{said}; give the rights, the key or the credentials back: Headgate tries again")
        case Reaction.ACCESS:
            return ConfigError(f"{said}; check the credentials, their rights on the stream and its key")
        case Reaction.MISSING:
            return MissingError(f"{said}; check name, region and endpoint")
        case Reaction.REFUSED:
            return RefusedError(f"{said}; check name, region and endpoint")


def _said(error: ClientError | BotoCoreError) -> str:
    if isinstance(error, ClientError):
        about = error.response.get("Error", {})
        return f"{about.get('Code', 'error')} ({about.get('Message', 'no message')})"
    return str(error)
