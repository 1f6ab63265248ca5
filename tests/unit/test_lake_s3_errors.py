"""S3's errors by reaction: what is not known is waited for; addresses and settings are checked before any request."""

import pytest

from headgate.errors import ConfigError, PermanentError, TransientError
from headgate.lake.opening import open_storage
from headgate.lake.s3_errors import CREDENTIALS, STOP, WAIT, is_about_credentials, s3_error
from headgate.lake.s3_options import S3Options, parse_root


def answer(status, code=None):
    """An error in the words of obstore."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>m</Message></Error>" if code else ""
    return OSError(
        "Generic S3 error: Error performing PUT http://h/b/k in 1ms - Server returned non-2xx status code: "
        f"{status} Something: {body}\n\nDebug source: ..."
    )


@pytest.mark.parametrize("code", [*WAIT, *CREDENTIALS, "NeverHeardOf"])
def test_weather_and_credentials_are_waited_for(code):
    error = s3_error(answer(400, code), "s3://b/k", was_reached=False)
    assert isinstance(error, TransientError)
    assert str(error).startswith("s3://b/k: ")
    assert code in str(error)


@pytest.mark.parametrize("status", [400, 403, 409, 412, 418, 429, 500, 502, 503, 504])
def test_answers_without_a_code_are_waited_for(status):
    assert isinstance(s3_error(answer(status), "s3://b/k", was_reached=True), TransientError)


def test_no_answer_is_waited_for():
    error = s3_error(OSError("HTTP error: error sending request"), "s3://b/k", was_reached=False)
    assert isinstance(error, TransientError)
    assert "no answer" in str(error)


@pytest.mark.parametrize("code", STOP)
def test_a_wrong_name_is_the_configuration_s_at_first_and_a_human_s_later(code):
    assert isinstance(s3_error(answer(400, code), "s3://b/k", was_reached=False), ConfigError)
    assert isinstance(s3_error(answer(400, code), "s3://b/k", was_reached=True), PermanentError)


def test_no_code_is_in_two_tables():
    assert not STOP.keys() & WAIT.keys()
    assert not STOP.keys() & CREDENTIALS.keys()
    assert not WAIT.keys() & CREDENTIALS.keys()


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [(400, "ExpiredToken", True), (403, None, True), (403, "AccessDenied", False), (503, "SlowDown", False)],
)
def test_credentials_are_looked_for_anew_where_others_may_help(status, code, expected):
    assert is_about_credentials(answer(status, code)) is expected


@pytest.mark.parametrize(
    ("uri", "expected"),
    [("s3://b", ("b", "")), ("s3://b/", ("b", "")), ("s3://b/a/c d/", ("b", "a/c d")), ("s3://b/x=1", ("b", "x=1"))],
)
def test_a_uri_is_bucket_and_prefix(uri, expected):
    assert parse_root(uri) == expected


@pytest.mark.parametrize("uri", ["s3://", "s3:///a", "s3://b/a?x=1", "s3://key@b/a", "b/a"])
def test_other_uris_are_refused(uri):
    with pytest.raises(ConfigError, match="s3://bucket"):
        parse_root(uri)


@pytest.mark.parametrize("uri", ["s3://b/../a", "s3://b//a"])
def test_a_prefix_leaves_no_bucket(uri):
    with pytest.raises(PermanentError):
        parse_root(uri)


def test_an_endpoint_without_tls_must_be_allowed(aws_credentials):
    with pytest.raises(ConfigError, match="TLS"):
        open_storage("s3://b/a", S3Options(endpoint_url="http://127.0.0.1:1"))


def test_a_key_without_kms_is_refused():
    with pytest.raises(ConfigError, match=r"aws:kms"):
        S3Options(kms_key_id="k", sse="AES256")


def test_the_sdk_s_own_settings_count_where_there_are_no_others(aws_credentials, monkeypatch, tmp_path):
    (tmp_path / "config").write_text("[profile other]\nregion = eu-west-3\nendpoint_url = https://s3.example.com\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_PROFILE", "other")
    options = open_storage("s3://b/a").delta_options
    assert (options["AWS_REGION"], options["AWS_ENDPOINT_URL"]) == ("eu-west-3", "https://s3.example.com")
    options = open_storage("s3://b/a", S3Options(region="eu-north-1", endpoint_url="https://other")).delta_options
    assert (options["AWS_REGION"], options["AWS_ENDPOINT_URL"]) == ("eu-north-1", "https://other")


def test_a_profile_that_is_not_there_is_a_configuration_error(aws_credentials, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(ConfigError, match="nobody"):
        open_storage("s3://b/a")


def test_no_credentials_are_waited_for(aws_credentials, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    storage = open_storage("s3://b/a", S3Options(endpoint_url="http://127.0.0.1:1", is_http_allowed=True))
    with pytest.raises(TransientError, match="credentials"):
        _ = storage.delta_options
    with pytest.raises(TransientError):
        storage.get("x")
