"""What the AWS SDK's errors mean to a claim store; the table is held against the SDK's own lists."""

import inspect

import pytest
from botocore import exceptions as sdk
from botocore.session import Session

from headgate.claims.aws import WAITED_OUT, aws_error, client_config
from headgate.errors import ConfigError, HeadgateError, PermanentError, TransientError

WHERE = "dynamodb://table"
SDK_ERRORS = sorted(
    (each for _, each in inspect.getmembers(sdk, inspect.isclass) if issubclass(each, sdk.BotoCoreError)),
    key=lambda each: each.__name__,
)
#: What retrying cannot mend, of the errors that DynamoDB and S3 declare for the calls that are made.
DECLARED_AND_PERMANENT = {
    "ConditionalCheckFailedException",  # an answer, never an error here
    "NoSuchKey",  # the same
    "ResourceNotFoundException",  # the table was deleted under way
    "ItemCollectionSizeLimitExceededException",  # only with local indexes
    "InvalidObjectState",  # archived objects
    "EncryptionTypeMismatch",
    "InvalidRequest",
    "InvalidWriteOffset",
    "TooManyParts",
}


def answered(code: str, status: int = 400, message: str = "") -> sdk.ClientError:
    return sdk.ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutItem"
    )


@pytest.mark.parametrize("code", WAITED_OUT)
def test_what_passes_is_waited_for_and_says_why(code):
    error = aws_error(answered(code), WHERE)
    assert isinstance(error, TransientError)
    assert str(error) == f"{WHERE}: {code}; {WAITED_OUT[code]}"


@pytest.mark.parametrize(("code", "status"), [("Odd", 500), ("503", 503), ("Odd", 429), ("403", 403), ("401", 401)])
def test_unknown_errors_go_by_their_status(code, status):
    assert isinstance(aws_error(answered(code, status), WHERE), TransientError)


@pytest.mark.parametrize(("code", "status"), [("ValidationException", 400), ("NotImplemented", 501), ("301", 301)])
def test_what_no_retry_mends_stops_the_run(code, status):
    error = aws_error(answered(code, status, "first line\nsecond"), WHERE)
    assert isinstance(error, PermanentError)
    assert str(error) == f"{WHERE} refuses the request: {code}: first line"


@pytest.mark.parametrize(
    ("service", "operations"),
    [
        ("dynamodb", ["DescribeTable", "GetItem", "PutItem", "UpdateItem", "DeleteItem"]),
        ("s3", ["GetObject", "PutObject"]),
    ],
)
def test_every_error_that_a_service_declares_has_a_meaning(service, operations):
    model = Session().get_service_model(service)
    declared = {shape.name for name in operations for shape in model.operation_model(name).error_shapes}
    assert declared
    assert declared - WAITED_OUT.keys() <= DECLARED_AND_PERMANENT


def made(kind: type[sdk.BotoCoreError]) -> sdk.BotoCoreError:
    error = kind.__new__(kind)
    Exception.__init__(error, "what the SDK says")
    return error


@pytest.mark.parametrize("kind", SDK_ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_of_the_sdk_has_a_meaning(kind):
    error = aws_error(made(kind), WHERE)
    assert isinstance(error, TransientError | ConfigError)
    assert WHERE in str(error)


@pytest.mark.parametrize(
    ("kind", "reaction"),
    [
        (sdk.EndpointConnectionError, TransientError),
        (sdk.ConnectTimeoutError, TransientError),
        (sdk.ReadTimeoutError, TransientError),
        (sdk.ConnectionClosedError, TransientError),
        (sdk.ResponseStreamingError, TransientError),
        (sdk.SSLError, TransientError),
        (sdk.NoCredentialsError, TransientError),
        (sdk.CredentialRetrievalError, TransientError),
        (sdk.UnauthorizedSSOTokenError, TransientError),
        (sdk.NoRegionError, ConfigError),
        (sdk.ProfileNotFound, ConfigError),
        (sdk.InvalidRegionError, ConfigError),
        (sdk.PartialCredentialsError, ConfigError),
    ],
)
def test_the_sdks_own_errors_pass_or_are_a_setting(kind: type[sdk.BotoCoreError], reaction: type[HeadgateError]):
    assert type(aws_error(made(kind), WHERE)) is reaction


def test_a_client_has_a_connection_for_each_thread_and_bounded_attempts():
    config = client_config(7, 3)
    assert config.max_pool_connections == 7
    assert config.retries == {"mode": "standard", "total_max_attempts": 3}
