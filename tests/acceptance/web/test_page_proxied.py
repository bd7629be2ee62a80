"""First use and trainings through nginx: at a prefix that it cuts off, and at one that
the server knows.

The tests are those of test_page.py, with servers that are reached through a proxy.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.acceptance.web import test_page
from tests.acceptance.web.browsing import Watched, check_log
from tests.acceptance.web.test_page import SECOND, Steps, give_token, watched
from tests.conftest import Serve
from tests.proxy import Behind, Nginx
from tests.server import MODELS

__all__ = ["watched"]

PREFIX = "/a/b"

LOST = ["Failed to load resource", "ERR_"]
"""Messages of the browser about connections that are lost."""

LOCATIONS = {
    "cut": """
location /a/b/ {{
  proxy_set_header X-Forwarded-Prefix /a/b;
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  proxy_pass {url}/;
}}
""",
    "kept": "location /a/b/ {{ proxy_pass {url}; }}",
}
"""The directives with which nginx cuts or keeps the prefix of an address."""

OPTIONS = {"cut": "--trusted-proxy=127.0.0.1", "kept": f"--base-path={PREFIX}"}


@pytest.fixture(scope="module", params=LOCATIONS)
def prefix(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@contextmanager
def proxied(
    serve: Serve, program: str, kind: str, make_folder: Callable[[], Path]
) -> Iterator[Serve]:
    """Start servers behind an nginx each."""
    with ExitStack() as opened:

        def start(*options: Any, **more: Any) -> Any:
            server = serve(*options, OPTIONS[kind], **more)
            locations = LOCATIONS[kind].format(url=server.url)
            behind = Behind(server, Nginx(program, make_folder(), locations), PREFIX)
            opened.callback(behind.close)
            return behind

        yield start


@pytest.fixture
def serve(
    serve: Serve,
    nginx: str,
    prefix: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Serve]:
    make_folder = lambda: tmp_path_factory.mktemp("nginx")  # noqa: E731
    with proxied(serve, nginx, prefix, make_folder) as start:
        yield start


@pytest.fixture(scope="module")
def serve_module(
    serve_module: Serve,
    nginx: str,
    prefix: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Serve]:
    make_folder = lambda: tmp_path_factory.mktemp("nginx")  # noqa: E731
    with proxied(serve_module, nginx, prefix, make_folder) as start:
        yield start


digits = test_page.digits
several = test_page.several

test_first_use = test_page.test_first_use
test_a_file_by_drop_and_by_paste = test_page.test_a_file_by_drop_and_by_paste
test_a_training_as_it_happens = test_page.test_a_training_as_it_happens
test_cancel_and_delete = test_page.test_cancel_and_delete
test_a_worker_that_dies = test_page.test_a_worker_that_dies
test_a_restart_of_the_server = test_page.test_a_restart_of_the_server
test_a_million_reports = test_page.test_a_million_reports


def test_the_network_is_cut_for_ten_seconds(
    serve: Serve, watched: Watched, tmp_path: Path
) -> None:
    """Connections break and are refused, and no event tells when they work again."""
    watched.expected = LOST
    server: Any = serve(f"--model=steps={MODELS / 'steps.py'}")
    training = Steps(tmp_path / "go", server, 6)
    page = watched.open(server, training.place)
    expect(page.locator(".log")).to_contain_text("step 1 begins")
    cut = time.monotonic()
    server.nginx.stop()
    # after 1 + 2 + 4 seconds
    again = re.compile("Connection lost; trying again in 8 s")
    expect(page.locator(".link-state")).to_have_text(again)
    training.go(1, 2, 3)
    page.wait_for_timeout(max(0, 10 - (time.monotonic() - cut)) * SECOND)
    server.nginx.start()
    expect(page.locator(".log")).to_contain_text("step 4 begins")
    training.go(4, 5, 6)
    expect(page.locator(".head .badge")).to_have_text("Done")
    check_log(page, server.get(f"{training.path}/log").text)
    expect(page.locator("[data-points]")).to_have_attribute("data-points", "6")


def test_the_browser_is_offline_for_a_while(
    serve: Serve, watched: Watched, tmp_path: Path
) -> None:
    """The page connects as soon as the browser is online again."""
    watched.expected = LOST
    server: Any = serve(f"--model=steps={MODELS / 'steps.py'}")
    training = Steps(tmp_path / "go", server, 2)
    page = watched.open(server, training.place)
    expect(page.locator(".log")).to_contain_text("step 1 begins")
    page.context.set_offline(True)
    server.nginx.stop()  # what is connected already would stay so
    again = re.compile("trying again in 8 s")
    expect(page.locator(".link-state")).to_have_text(again)
    training.go(1, 2)
    server.nginx.start()
    training.wait()
    page.context.set_offline(False)
    # in less than 8 s
    expect(page.locator(".head .badge")).to_have_text("Done", timeout=5 * SECOND)
    check_log(page, server.get(f"{training.path}/log").text)


def test_a_new_token_while_a_training_is_watched(
    serve: Serve, watched: Watched, tmp_path: Path
) -> None:
    """The page asks for it when it has to connect again."""
    watched.expected = ["401", *LOST]
    file = tmp_path / "tokens"
    file.write_text("first-token\n")
    model = f"--model=steps={MODELS / 'steps.py'}"
    server: Any = serve(model, f"--auth-token-file={file}")
    first = {"Authorization": "Bearer first-token"}
    training = Steps(tmp_path / "go", server, 4, headers=first)
    page = watched.page
    page.goto(f"{server.url}/ui/#{training.place}")
    give_token(page, "first-token")
    training.go(1)
    expect(page.locator(".log")).to_contain_text("step 2 begins")
    file.write_text("second-token\n")
    os.kill(server.pid, signal.SIGHUP)
    server.wait_for_output("1 tokens were read")
    server.nginx.stop()
    expect(page.locator(".link-state")).to_contain_text("Connection lost")
    training.go(2)
    server.nginx.start()
    give_token(page, "second-token")
    training.go(3, 4)
    expect(page.locator(".head .badge")).to_have_text("Done")
    second = {"Authorization": "Bearer second-token"}
    check_log(page, server.get(f"{training.path}/log", headers=second).text)
    expect(page.locator("[data-points]")).to_have_attribute("data-points", "4")
