"""Faults of AWS that no emulator makes, injected below a boto3 client: refused requests and lost answers.

The real services throttle (DynamoDB: HTTP 400 with a code, S3: 503 SlowDown), answer 409 to conditional writes that
race, refuse expired credentials (400 or 403), and may apply a write whose answer never arrives.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.client import BaseClient
from botocore.exceptions import ReadTimeoutError
from botocore.httpsession import URLLib3Session


@dataclass(slots=True, kw_only=True)
class SdkFault:
    """What befalls requests of one kind.

    Attributes:
        operation: API name (`PutItem`, `PutObject`).
        effect: `answer` in place of the service; `lose` the answer of a request that had its effect.
        status: HTTP status of our answers.
        code: error code in them.
        times: how many requests; None for as long as it is there.
        when: which requests, by their number from 0 among those of this operation.
    """

    operation: str
    effect: Literal["answer", "lose"] = "answer"
    status: int = 400
    code: str = "ThrottlingException"
    times: int | None = None
    when: Callable[[int], bool] = field(default=lambda _: True)


class SdkFaults:
    """The faults of one client; what it did is counted by operation.

    Attributes:
        script: faults in force; the first that fits befalls a request.
        before: called before each request with the operation's name; for what another client does in between.
        sent: number of requests by operation, attempts of the SDK included.
    """

    def __init__(self, client: BaseClient) -> None:
        """Step between the client and the network."""
        self.script: list[SdkFault] = []
        self.before: Callable[[str], None] | None = None
        self.sent: dict[str, int] = {}
        self._lock = threading.Lock()
        self._is_s3 = client.meta.service_model.service_name == "s3"
        client.meta.events.register("before-send", self._send)

    def _send(self, request: AWSPreparedRequest, event_name: str, **_: object) -> AWSResponse | None:
        """Botocore's hook: an answer here is the answer; None sends the request on."""
        operation = event_name.rsplit(".", 1)[-1]
        with self._lock:
            number = self.sent.get(operation, 0)
            self.sent[operation] = number + 1
            fault = self._fault(operation, number)
        if self.before is not None:
            self.before(operation)
        if fault is None:
            return None
        if fault.effect == "lose":
            URLLib3Session().send(request)
            raise ReadTimeoutError(endpoint_url=request.url)
        body = _xml(fault.code) if self._is_s3 else _json(fault.code)
        return AWSResponse(request.url, fault.status, {"content-type": "application/xml"}, Body(body))

    def _fault(self, operation: str, number: int) -> SdkFault | None:
        for fault in self.script:
            if fault.operation == operation and fault.times != 0 and fault.when(number):
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None


class Body:
    """Bytes as urllib3 would stream them."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        """All of it at once."""
        yield self._body


def _json(code: str) -> bytes:
    return json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "injected"}).encode()


def _xml(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
