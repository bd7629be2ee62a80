"""Fixtures of the whole suite: servers with checks of their end, Debian's programs."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests import cluster
from tests.postgresql import PostgreSQL, find_programs
from tests.server import Exit, Server, run_to_exit

CHROMIUM_OPTIONS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update"),
    "--disable-sync",
)

Serve = Callable[..., Server]

_TURNSTILE = Path(__file__)
_MACHINE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that run while no other one does at the end, one after another.

    Elsewhere, each would first wait for those that run.
    """
    items.sort(key=_is_alone)


def _is_alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Let a test that is marked `alone` run while no other one does.

    First of all hooks: the time that a test waits for its turn is not its own.
    """
    if not hasattr(item.config, "workerinput"):  # nothing runs beside it
        return (yield)
    with _turn(alone=_is_alone(item)):
        return (yield)


@contextmanager
def _turn(*, alone: bool) -> Iterator[None]:
    """Hold a lock that tests share, or that one has for itself.

    A test that waits to be alone holds up those that come after it: otherwise there
    might always be one that runs.
    """
    with _TURNSTILE.open() as turnstile:
        fcntl.flock(turnstile, fcntl.LOCK_EX)
        machine = os.open(_MACHINE, os.O_RDONLY)
        fcntl.flock(machine, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
    try:
        yield
    finally:
        os.close(machine)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run the tests that are coroutines on asyncio only, as the server does."""
    return "asyncio"


@contextmanager
def _looked_after(make_directory: Callable[[], Path]) -> Iterator[Serve]:
    """Start servers; stop them at the end, and fail if one left anything behind."""
    servers: list[Server] = []

    def start(*options: str | os.PathLike[str], **more: Any) -> Server:
        server = Server(*options, directory=make_directory(), **more)
        servers.append(server)
        return server

    yield start
    problems = []
    for server in reversed(servers):
        problems += server.close()
        # pytest shows this where the test failed
        print(f"--- output of {server.url} ---\n{server.output}")
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


@pytest.fixture
def make_directory(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    # Short names: what a model puts under TMPDIR may be a socket, and the path of
    # one has at most 107 characters.
    return lambda: tmp_path_factory.mktemp("s")


@pytest.fixture
def serve(make_directory: Callable[[], Path]) -> Iterator[Serve]:
    """serve("--model", "echo=tests/models/echo.py") gives a server that answers."""
    with _looked_after(make_directory) as start:
        yield start


@pytest.fixture(scope="module")
def serve_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """As `serve`, for servers that the tests of one module share."""
    with _looked_after(lambda: tmp_path_factory.mktemp("s")) as start:
        yield start


@pytest.fixture
def fail_to_start(make_directory: Callable[[], Path]) -> Callable[..., Exit]:
    """fail_to_start(*options) gives exit code, stdout and stderr."""

    def run(*options: str | os.PathLike[str], **more: Any) -> Exit:
        return run_to_exit(*options, directory=make_directory(), **more)

    return run


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[cluster.Cluster]:
    """A Ray cluster of a head and two nodes, for the tests of one module.

    They run in the only network that the cluster is in, which has nothing but loopback.
    """
    if (reason := cluster.absent()) is not None:
        missing = importlib.util.find_spec("ray") is None  # CI can install it
        if missing and os.environ.get("DEEPAAS_TEST_NO_SKIP") == "1":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    # A short name, since Ray puts sockets there.
    with TemporaryDirectory(prefix="r") as folder, cluster.network():
        started = cluster.Cluster(Path(folder))
        try:
            started.add_nodes(2)
            yield started
        finally:
            started.close()


@pytest.fixture(scope="session")
def chromium() -> str:
    return _program_of_debian("/usr/bin/chromium", package="chromium")


@pytest.fixture(scope="session")
def firefox_program() -> str:
    return _program_of_debian("/usr/bin/firefox-esr", package="firefox-esr")


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """A browser without calls to other hosts.

    For one module only: as long, an event loop of Playwright's runs, beside which no
    test can run another.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=[*CHROMIUM_OPTIONS]
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a real browser, with a new profile."""
    with browser.new_context() as context:
        yield context.new_page()


@pytest.fixture(scope="session")
def nginx() -> str:
    return _program_of_debian("/usr/sbin/nginx", package="nginx-light")


@pytest.fixture(scope="session")
def systemd_analyze() -> str:
    return _program_of_debian("/usr/bin/systemd-analyze", package="systemd")


@pytest.fixture(scope="session")
def promtool() -> str:
    return _program_of_debian("/usr/bin/promtool", package="prometheus")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL for all tests of one process; they share nothing in it."""
    programs = find_programs()
    if programs is None:
        _miss("initdb", package="postgresql")
    made = PostgreSQL(programs)
    yield made
    made.close()


@pytest.fixture
def database_url(postgresql: PostgreSQL) -> Iterator[str]:
    """The address of an empty database in PostgreSQL."""
    with postgresql.database() as name:
        yield postgresql.url(name)


def _program_of_debian(path: str, *, package: str) -> str:
    """A program that pip cannot install: skipped where missing, but not in CI."""
    if shutil.which(path):
        return path
    _miss(path, package=package)


def _miss(program: str, *, package: str) -> NoReturn:
    missing = f"{program} is missing: apt-get install {package}"
    if os.environ.get("DEEPAAS_TEST_NO_SKIP") == "1":
        pytest.fail(missing, pytrace=False)
    pytest.skip(missing)
