"""A page in Debian's Firefox, driven by WebDriver BiDi, its own protocol."""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

START_TIMEOUT = 40
"""Seconds that Firefox may take until it listens."""

ANSWER_TIMEOUT = 60
"""Seconds that it may take to answer; one answer waits for a training."""

PREFERENCES = """\
user_pref("app.update.enabled", false);
user_pref("browser.startup.page", 0);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("network.proxy.type", 0);
"""


class Firefox:
    """A tab of a running Firefox."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._tab = ""
        self.errors: list[str] = []
        """The errors and warnings of the console."""

    async def begin(self) -> None:
        await self._call("session.new", {"capabilities": {}})
        await self._call("session.subscribe", {"events": ["log.entryAdded"]})
        tree = await self._call("browsingContext.getTree", {})
        self._tab = tree["contexts"][0]["context"]

    async def open(self, url: str) -> None:
        """Open an address, and wait until it is loaded."""
        await self._call(
            "browsingContext.navigate",
            {"context": self._tab, "url": url, "wait": "complete"},
        )

    async def evaluate(self, expression: str) -> Any:
        """Return what a JavaScript expression gives; a promise is awaited."""
        found = await self._call(
            "script.evaluate",
            {
                "expression": expression,
                "target": {"context": self._tab},
                "awaitPromise": True,
                "userActivation": True,
            },
        )
        assert found["type"] == "success", found
        return found["result"].get("value")

    async def wait_for(self, condition: str) -> Any:
        """Return what an expression gives, as soon as that is true."""
        return await self.evaluate(
            f"""new Promise((resolve) => {{
              const look = () => {{
                const found = {condition};
                if (found) resolve(found);
                else setTimeout(look, 50);
              }};
              look();
            }})"""
        )

    async def screenshot(self) -> bytes:
        """Return what is seen, as PNG."""
        found = await self._call(
            "browsingContext.captureScreenshot", {"context": self._tab}
        )
        return base64.b64decode(found["data"])

    async def _call(self, method: str, params: dict[str, Any]) -> Any:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while True:
            message = await self._socket.receive_json(timeout=ANSWER_TIMEOUT)
            if message.get("method") == "log.entryAdded":
                entry = message["params"]
                if entry["level"] in ("error", "warn"):
                    self.errors.append(str(entry["text"]))
            elif message.get("id") == number:
                assert message["type"] == "success", message
                return message["result"]


def make_profile(folder: Path) -> Path:
    """Make a profile of Firefox that makes no connections of its own."""
    folder.mkdir()
    (folder / "user.js").write_text(PREFERENCES)
    return folder


@asynccontextmanager
async def firefox(program: str, profile: Path) -> AsyncIterator[Firefox]:
    """Start Firefox with a profile; end it and its processes afterwards."""
    process = await asyncio.create_subprocess_exec(
        *(program, "--headless", "--no-remote", "--profile", profile),
        *("--remote-debugging-port", "0", "about:blank"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "HOME": str(profile)},
    )
    assert process.stderr is not None
    try:
        address = await asyncio.wait_for(_address(process.stderr), START_TIMEOUT)
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{address}/session", max_msg_size=0) as socket,
        ):
            found = Firefox(socket)
            await found.begin()
            yield found
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _address(output: asyncio.StreamReader) -> str:
    """Return where Firefox listens, as it says itself."""
    said = b""
    while line := await output.readline():
        said += line
        if found := re.search(rb"WebDriver BiDi listening on (ws://\S+)", line):
            return found[1].decode()
    raise AssertionError(f"Firefox has ended: {said.decode(errors='replace')}")
