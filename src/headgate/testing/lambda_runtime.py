"""Functions as Lambda runs them: a stub of the Runtime API, and AWS's own runtime client as a child process.

The API (docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html): the child asks `GET …/invocation/next`, which blocks,
and answers by `POST …/invocation/ID/response` or `…/error`; `…/init/error` where it could not begin. A child that
ends, or does not answer before its deadline, is killed and another one is started for the next invocation. The child
is a process of this Python, or whatever a test starts in its place, such as a container of the image.
"""

from __future__ import annotations

import json
import queue
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol

from headgate.testing.event_source_mapping import Event, FunctionError
from headgate.testing.processes import Child
from headgate.testing.servers import HOST

VERSION = "/2018-06-01/runtime"
MAX_ANSWER_BYTES = 6 * 1024 * 1024 + 100 * 1024  # of a synchronous invocation; the service says 6 MB
_RUN = "import sys; from awslambdaric.__main__ import main; main(sys.argv)"
_LOOK_SECONDS = 0.02  # between two looks at whether the child still lives


class Runtime(Protocol):
    """What runs the handler, once it is started; see processes.Child."""

    @property
    def is_running(self) -> bool:
        """True until it has ended."""
        ...

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        ...

    def kill(self) -> int:
        """SIGKILL, and wait for the end."""
        ...

    def errors(self) -> str:
        """Its standard error so far."""
        ...


#: Starts a runtime for a handler, with a folder for its output and what is added to its environment.
Start = Callable[[str, Path, Mapping[str, str]], Runtime]


def child(handler: str, logs: Path, env: Mapping[str, str]) -> Runtime:
    """AWS's runtime client on this Python."""
    return Child(["-c", _RUN, handler], logs, env=env)


class Answered(NamedTuple):
    """What the child said of an invocation: `response`, `error` or `init`."""

    kind: str
    body: bytes


class LambdaFunction:
    """One execution environment. As a context its child is killed at the end.

    Attributes:
        starts: children that were started.
        init_seconds: from the start of each child until it asked for its first invocation.
    """

    def __init__(
        self, handler: str, logs: Path, env: Mapping[str, str], *, seconds: float = 60.0, start: Start = child
    ) -> None:
        """Listen; the first child is started by the first invocation.

        Args:
            handler: `module.function`.
            logs: a folder of its own for the children's output.
            env: added to the environment.
            seconds: the function's time-out.
            start: starts what runs the handler.
        """
        self.starts = 0
        self.init_seconds: list[float] = []
        self._handler, self._logs, self._seconds, self._starter = handler, logs, seconds, start
        self._server = _Api((HOST, 0))
        self._env = {
            **env,
            "AWS_LAMBDA_RUNTIME_API": f"{HOST}:{self._server.server_port}",
            "AWS_LAMBDA_FUNCTION_NAME": "headgate",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
            "AWS_LAMBDA_LOG_FORMAT": "TEXT",
            "_HANDLER": handler,
        }
        self._child: Runtime | None = None
        threading.Thread(target=self._server.serve_forever, daemon=True, name="runtime-api").start()

    def __call__(self, event: Event) -> Mapping[str, Any]:
        """Invoke the function and wait.

        Raises:
            FunctionError: it raised, ended, was killed or ran out of time.
        """
        self._start()
        began = time.monotonic()
        self._server.begin(event, self._seconds)
        while time.monotonic() - began < self._seconds:
            with suppress(queue.Empty):
                return self._answer(self._server.answers.get(timeout=_LOOK_SECONDS))
            if self._child is None or not self._child.is_running:
                with suppress(queue.Empty):  # it answered and ended
                    return self._answer(self._server.answers.get_nowait())
                raise FunctionError(f"the runtime ended: {self.errors()[-2000:]}")
        self.kill()
        raise FunctionError(f"timed out after {self._seconds} s: {self.errors()[-2000:]}")

    def start(self) -> None:
        """Start a child and wait until it asks for its first invocation, as provisioned concurrency does."""
        self._start()
        while not self._server.is_ready.wait(_LOOK_SECONDS):
            if self._child is not None and not self._child.is_running:
                raise FunctionError(f"the runtime ended: {self.errors()[-2000:]}")

    def kill(self) -> None:
        """SIGKILL for the child, whatever it does."""
        if self._child is not None:
            self._child.kill()
        self._server.forget()
        self._child = None

    def strike(self) -> bool:
        """SIGKILL for the child from another thread, while it is invoked; False where none runs."""
        child = self._child
        if child is None or not child.is_running:
            return False
        child.signal(signal.SIGKILL)
        return True

    def errors(self) -> str:
        """Standard error of the present child."""
        return "" if self._child is None else self._child.errors()

    def close(self) -> None:
        """Kill the child and stop listening."""
        self.kill()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> LambdaFunction:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """See `close`."""
        self.close()

    def _start(self) -> None:
        if self._child is not None and self._child.is_running:
            return
        self.kill()
        began = time.monotonic()
        self._server.on_ready = lambda: self.init_seconds.append(time.monotonic() - began)
        self._child = self._starter(self._handler, self._logs, self._env)
        self.starts += 1

    def _answer(self, answered: Answered) -> Mapping[str, Any]:
        if answered.kind != "response":
            raise FunctionError(answered.body.decode(errors="replace"))
        if len(answered.body) > MAX_ANSWER_BYTES:
            raise FunctionError(f"the answer has {len(answered.body):,} bytes: more than Lambda takes")
        decoded: Mapping[str, Any] = json.loads(answered.body)
        return decoded


class _Api(ThreadingHTTPServer):
    """The Runtime API of one execution environment."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, _Handler)
        self.answers: queue.Queue[Answered] = queue.Queue()
        self.is_ready = threading.Event()
        self.on_ready: Callable[[], None] = lambda: None
        self._next: queue.Queue[tuple[str, Event, float]] = queue.Queue()
        self._current = ""

    def handle_error(self, request: object, client_address: object) -> None:
        """A child that is killed in the middle of a request is what this is for."""

    def begin(self, event: Event, seconds: float) -> None:
        """Hand an invocation to whoever asks next."""
        self._current = uuid.uuid4().hex
        self._next.put((self._current, event, time.time() + seconds))

    def next(self) -> tuple[str, Event, float]:
        """Wait for the next invocation."""
        if not self.is_ready.is_set():
            self.is_ready.set()
            self.on_ready()
        return self._next.get()

    def answered(self, request: str, answered: Answered) -> None:
        """Take an answer; one to an invocation that was given up counts for nothing."""
        if answered.kind == "init" or request == self._current:
            self.answers.put(answered)

    def forget(self) -> None:
        """The child is gone: nobody waits for an answer any more."""
        waiting, self._next, self.answers = self._next, queue.Queue(), queue.Queue()
        self.is_ready.clear()
        self._current = ""
        waiting.put(("", {}, 0.0))  # ends the thread that waited for the child that is gone


class _Handler(BaseHTTPRequestHandler):
    """One connection of the child."""

    protocol_version = "HTTP/1.1"
    server: _Api
    wbufsize = -1  # one packet an answer

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_GET(self) -> None:
        """`…/invocation/next`."""
        request, event, deadline = self.server.next()
        with suppress(OSError):
            self._send(
                200,
                json.dumps(event).encode(),
                {
                    "Lambda-Runtime-Aws-Request-Id": request,
                    "Lambda-Runtime-Deadline-Ms": str(round(deadline * 1000)),
                    "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-central-1:123456789012:function:headgate",
                    "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700",
                },
            )

    def do_POST(self) -> None:
        """`…/response`, `…/error`, `…/init/error`."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        *_, request, kind = self.path.removeprefix(VERSION).split("/")
        self.server.answered(request, Answered("init" if request == "init" else kind, body))
        self._send(202, b"{}", {})

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class names it so
        """Say nothing."""

    def _send(self, code: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(code)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
