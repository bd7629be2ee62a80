"""Sends requests of all kinds, and judges the answers.

`Hunt` sends them to a server with the models of `OPTIONS`, and raises `Fault` for what
no client may cause.
"""

import contextlib
import http.client
import json
import re
import socket
import time
from collections import Counter
from pathlib import Path

import hypothesis
import psutil

from tests.fuzzing.kinds import KINDS, make_head
from tests.fuzzing.requests import Must, Request
from tests.server import MODELS

DESCRIPTORS_OF_A_CHILD = 6
"""The server's ends of the sockets and pipes to a child process, and its pidfd."""

OPTIONS = (
    *(f"--model={name}={MODELS / name}.py" for name in ("fuzzed", "accept_any")),
    "--client-max-size=500000",
    "--keep-jobs=100",
)
"""The options of a server that is fuzzed."""

ANSWER_TIMEOUT = 10.0
"""Seconds within which an answer must arrive."""

PAUSE_SECONDS = 0.001
"""Seconds between two pieces of a request, for the server to see them as two."""


REFUSED = re.compile(
    r" aiohttp\.server \[-\] Error handling request .*: aiohttp\.http_exceptions\."
    r"| aiohttp\.server (?!\[-\])"
)
"""Lines that aiohttp logs for input that is not HTTP."""


class Fault(AssertionError):
    """The server did what no client may make it do."""

    def __init__(self, what: str, request: Request) -> None:
        super().__init__(f"{what}\n{request!r}")
        self.what = what
        self.request = request


class Hang(BaseException):
    """No answer in time. No Exception: Hypothesis would take hours to shrink it."""


class Hunt:
    """Sends requests to a port of 127.0.0.1; counts them, and what came back."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.sent = 0
        self.statuses: Counter[int] = Counter()
        self.closed = 0
        self.refused = 0

    def run(self, kind: str, examples: int, seed: int) -> None:
        """Raise Fault with the shortest request that causes one."""

        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=examples,
            database=None,
            deadline=None,
            phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
            suppress_health_check=list(hypothesis.HealthCheck),
            report_multiple_bugs=False,
            print_blob=False,
        )
        @hypothesis.given(KINDS[kind])
        def send(request):
            self.send(request)

        send()

    def send(self, request: Request) -> None:
        """Send one request, and another one if the connection stays."""
        self.sent += 1
        address = ("127.0.0.1", self.port)
        try:
            with socket.create_connection(
                address, timeout=ANSWER_TIMEOUT
            ) as connection:
                self._exchange(connection, request)
        except TimeoutError:
            raise Hang(f"no answer in {ANSWER_TIMEOUT} s\n{request!r}") from None

    def _exchange(self, connection, request):
        try:
            _write(connection, request)
            answer, body = _read(connection, request.data)
        except (http.client.HTTPException, ConnectionError) as error:
            self.closed += 1
            if request.must is Must.ANSWER:
                raise Fault(f"no whole answer: {error!r}", request) from error
            return
        self.statuses[answer.status] += 1
        if answer.status >= 500:
            number = answer.headers.get("X-Request-ID", "")
            raise Fault(f"{answer.status} {body[:500]!r} ({number})", request)
        if request.must is Must.END:
            return
        if "X-Request-ID" not in answer.headers:
            # aiohttp has refused it in its own words, before we saw it: a coding that
            # it does not know or that is broken, two Host, data after the end.
            self.refused += 1
        elif answer.status >= 400 and not _explains(answer, body):
            raise Fault(f"{answer.status} without a reason: {body[:500]!r}", request)
        if not answer.will_close and request.must is Must.ANSWER:
            self._once_more(connection, request)

    def _once_more(self, connection, request):
        """Check that the next request on the connection has its own answer."""
        try:
            connection.sendall(
                make_head("GET", "/v2/health/live", ["Connection: close"])
            )
            answer, _ = _read(connection, b"GET")
        except (http.client.RemoteDisconnected, ConnectionError):
            return
        except http.client.HTTPException as error:
            raise Fault(f"the next answer is {error!r}", request) from error
        if answer.status != 200:
            raise Fault(f"the next request got {answer.status}", request)


def held(server):
    """Return the numbers of files and descriptors that requests may have left.

    Threads of a pool, the database that they open, and what belongs to a child process
    do not count: a describer comes and goes.
    """
    server.get("/v2/health/live")  # opens the connection of the test, which counts
    children = len(psutil.Process(server.pid).children())
    return {
        "temporary files": len(list(server.temporary.rglob("*"))),
        "descriptors": sum(
            not target.startswith("jobs.sqlite") for target in _descriptors(server.pid)
        )
        - children * DESCRIPTORS_OF_A_CHILD,
    }


def _descriptors(pid):
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            yield link.readlink().name


def errors(server):
    """Return the logged errors of a server, except for input that is not HTTP."""
    lines = server.stderr.splitlines()
    return [line for line in lines if " ERROR " in line and not REFUSED.search(line)]


def is_idle(server):
    """Tell whether all jobs have ended."""
    workers = server.get("/v2/health/ready").json()["models"]["fuzzed"]["workers"]
    return all(worker["state"] == "idle" for worker in workers)


def _write(connection, request):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if request.cut:
        connection.sendall(request.data[: request.cut])
        time.sleep(PAUSE_SECONDS)
    connection.sendall(request.data[request.cut :])
    if request.must is not Must.ANSWER:
        with contextlib.suppress(OSError):  # the server may have hung up
            connection.shutdown(socket.SHUT_WR)


def _read(connection, data):
    method = data.partition(b" ")[0].decode("latin-1")
    with http.client.HTTPResponse(connection, method=method) as answer:
        answer.begin()
        return answer, answer.read()


def _explains(answer, body):
    """Tell whether a body is an error by argument or has a message."""
    if answer._method == "HEAD":
        return not body
    try:
        value = json.loads(body)
    except ValueError:
        return False
    if answer.headers.get_content_type() != "application/json" or not value:
        return False
    if value.keys() <= {"message", "error"}:
        return all(isinstance(text, str) for text in value.values())
    by_argument = answer.status == 422 or (answer.status, *value) == (400, "json")
    return by_argument and all(isinstance(v, list | dict) for v in value.values())
