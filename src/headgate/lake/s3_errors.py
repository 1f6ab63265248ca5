"""What S3's errors mean to a lake: wait and try again, or stop. Law: what is not known is waited for."""

from __future__ import annotations

import re

from obstore.exceptions import InvalidPathError

from headgate.errors import ConfigError, HeadgateError, PermanentError, TransientError

_STATUS = re.compile(r"status code: (\d{3})")
_REDIRECT = "redirect without LOCATION"  # obstore's words for 301 of another region
_PATH = re.compile(r'[Pp]ath "(.*?)"', re.DOTALL)
_CODE = re.compile(r"<Code>([\w.]+)</Code>")

#: Codes of S3 after which waiting cannot help: somebody named the wrong thing.
STOP = {
    "NoSuchBucket": "there is no such bucket: make it, or mend the lake's name",
    "InvalidBucketName": "this cannot be the name of a bucket: mend the lake's name",
    "PermanentRedirect": "the bucket lies in another region: set [storage] region or AWS_REGION to it",
    "AuthorizationHeaderMalformed": "the bucket lies in another region: set [storage] region or AWS_REGION to it",
    "IllegalLocationConstraintException": "the bucket lies in another region: set [storage] region or AWS_REGION to it",
    "NotImplemented": "this storage lacks a feature that exactly-once needs (conditional writes): use another one",
    "EntityTooLarge": "the file is larger than this storage takes at once: lower [batch] max_bytes",
    "MethodNotAllowed": "something forbids this kind of request there: look at the bucket's policy",
}
#: Codes that mean the credentials: they are looked for anew before the next try.
CREDENTIALS = {
    "ExpiredToken": "the credentials have expired",
    "ExpiredTokenException": "the credentials have expired",
    "TokenRefreshRequired": "the credentials have expired",
    "InvalidToken": "the credentials are not valid",
    "InvalidAccessKeyId": "the access key is not known",
    "SignatureDoesNotMatch": "the secret key does not fit the access key",
}
#: Codes of the world's weather, and what to do where they last.
WAIT = {
    "AccessDenied": "access denied: allow this identity s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket",
    "InvalidObjectState": "the object is archived: restore it",
    "AllAccessDisabled": "access denied: the account's S3 is switched off",
    "RequestTimeTooSkewed": "this machine's clock is wrong: set it",
    "SlowDown": "S3 asks for fewer requests",
    "ServiceUnavailable": "S3 cannot answer now",
    "InternalError": "S3 had an error of its own",
    "RequestTimeout": "the request came too slowly",
    "ConditionalRequestConflict": "another write to the same name was under way",
    "OperationAborted": "another change to the bucket was under way",
    "NoSuchUpload": "the upload was ended, by us in an earlier try or by a rule of the bucket",
    "KMS.DisabledException": "the KMS key is disabled: enable it",
    "KMS.ThrottlingException": "KMS asks for fewer requests: set the bucket's S3 Bucket Key",
}
_BY_STATUS = {
    301: STOP["PermanentRedirect"],
    400: "the request was refused, perhaps for expired credentials",
    403: WAIT["AccessDenied"],
    404: "not found",
    409: WAIT["ConditionalRequestConflict"],
    429: WAIT["SlowDown"],
    500: WAIT["InternalError"],
    501: STOP["NotImplemented"],
    503: WAIT["ServiceUnavailable"],
}
_STOP_STATUS = {301, 501}


def status_of(error: Exception) -> int | None:
    """The HTTP status in an error of obstore; None where no answer came."""
    if _REDIRECT in str(error):
        return 301
    found = _STATUS.findall(str(error))
    return int(found[-1]) if found else None


def code_of(error: Exception) -> str | None:
    """S3's error code in an error of obstore; None where the answer had none, as none to HEAD has."""
    found = _CODE.search(str(error))
    return found[1] if found else None


def is_about_credentials(error: Exception) -> bool:
    """True where other credentials may help; answers without a code may be of that kind."""
    code = code_of(error)
    return code in CREDENTIALS or (code is None and status_of(error) in (400, 401, 403))


def s3_error(error: Exception, where: str, *, was_reached: bool) -> HeadgateError:
    """The one place where obstore's errors become Headgate's.

    Args:
        error: of obstore.
        where: the URI of the file.
        was_reached: whether this bucket has answered before; else a wrong name is the configuration's.
    """
    if isinstance(error, InvalidPathError):
        found = _PATH.search(str(error))
        return PermanentError(
            f"{where}: the key {(found[1] if found else str(error))!r} has an empty part, a dot as a part or a control "
            "character, which cannot be read: name it otherwise, or a prefix that does not contain it"
        )
    code, status = code_of(error), status_of(error)
    if code in STOP or (code is None and status in _STOP_STATUS):
        sentence = f"{where}: {STOP.get(code or '', _BY_STATUS.get(status or 0, ''))}"
        return PermanentError(sentence) if was_reached else ConfigError(sentence)
    reason = {**WAIT, **CREDENTIALS}.get(code or "") or _BY_STATUS.get(status or 0)
    if reason is None and status is None:
        reason = "no answer: look at the network and the endpoint"
    known = " ".join(filter(None, (str(status) if status else "", code)))
    return TransientError(
        f"{where}: {reason or 'an answer that Headgate does not know'}" + (f" ({known})" * bool(known))
    )
