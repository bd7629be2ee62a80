"""No request causes a 5xx, and none leaves files or descriptors."""

from __future__ import annotations

import contextlib
import socket

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode

from tests.conftest import Serve
from tests.fuzzing.hunt import OPTIONS, Hunt, errors, held, is_idle
from tests.fuzzing.kinds import KINDS
from tests.server import Server, wait_until

EXAMPLES = 120
"""Number of requests of each kind."""

CASES = {GenerationMode.POSITIVE: 8, GenerationMode.NEGATIVE: 4}
"""Number of requests that schemathesis makes for each operation. Those that do not fit
take it many times as long as those that do."""


@pytest.fixture(scope="module")
def fuzzed(serve_module: Serve) -> Server:
    return serve_module(*OPTIONS, errors_expected=True)


@pytest.fixture(scope="module")
def at_start(fuzzed: Server) -> dict[str, int]:
    """The counts before the first request: no child begins or ends then."""
    return held(fuzzed)


@pytest.fixture(autouse=True)
def leaves_nothing(fuzzed: Server, at_start: dict[str, int]):
    yield
    wait_until(lambda: is_idle(fuzzed))
    left: list[dict[str, tuple[int, int]]] = []

    def is_nothing() -> bool:
        left.append(more(fuzzed, at_start))
        return not left[-1]

    with contextlib.suppress(AssertionError):
        wait_until(is_nothing)
    assert left[-1] == {}  # not read again: a child may begin or end at any time
    assert errors(fuzzed) == []


def more(server: Server, before: dict[str, int]) -> dict[str, tuple[int, int]]:
    """Return what it holds more of than before."""
    now = held(server)
    return {name: (before[name], now[name]) for name in now if now[name] > before[name]}


def test_input_that_is_not_http(fuzzed: Server):
    with socket.create_connection(("127.0.0.1", fuzzed.port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost x\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.0 400")


@pytest.mark.parametrize("kind", KINDS)
def test_requests_of(fuzzed: Server, kind):
    Hunt(fuzzed.port).run(kind, EXAMPLES, seed=0)


@pytest.mark.timeout(300)  # schemathesis computes for long, beside other tests
@pytest.mark.parametrize("mode", GenerationMode, ids=str)
@pytest.mark.parametrize("name", ["swagger", "openapi"])
def test_the_document_is_a_promise(fuzzed: Server, name, mode):
    """schemathesis calls each operation as the document describes it."""
    document = schemathesis.openapi.from_url(f"{fuzzed.url}/{name}.json")
    operations = [operation.ok() for operation in document.get_all_operations()]
    assert operations
    for operation in operations:

        @settings(
            max_examples=CASES[mode],
            database=None,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(mode))
        def call(case):
            case.call_and_validate(checks=[not_a_server_error], timeout=10)

        # A call without arguments cannot be invalid.
        with contextlib.suppress(Unsatisfiable):
            call()
