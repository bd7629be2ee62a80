"""The output of a worker: a pipe that is read line by line, and its way to the log."""

import asyncio
import logging
import os
import re
import select
import socket
from collections.abc import Callable

from deepaas.executors.base import Printed

logger = logging.getLogger(__name__)

HOST = socket.gethostname()
"""The name of this machine."""

READ_BYTES = 65536
"""Bytes read at once: all that a pipe can hold."""

MAX_LINE_BYTES = 8192
"""Bytes after which a line that has not ended is cut in two."""

LINE_END = re.compile(rb"(\r\n|\n|\r)")
"""The end of a line; a progress bar's carriage return is one too."""

MIN_JOINED_LINES = 100
"""Lines at once from which they share one record of the log."""


class LineSplitter:
    """Cuts the bytes that come into lines of text.

    Invariants: only line ends, and empty lines that end in a carriage return, are
    dropped; what is held back is the line that has not ended, and no more of it than
    MAX_LINE_BYTES.
    """

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that have ended with this piece."""
        self._rest += data
        *ended, rest = LINE_END.split(self._rest)
        pairs = zip(ended[::2], ended[1::2], strict=True)
        lines = [line for line, end in pairs if line or end != b"\r"]
        while len(rest) > MAX_LINE_BYTES:
            lines.append(rest[:MAX_LINE_BYTES])
            rest = rest[MAX_LINE_BYTES:]
        self._rest = bytearray(rest)
        return [line.decode(errors="backslashreplace") for line in lines]

    def flush(self) -> list[str]:
        """Return the line that was begun, if there is one."""
        rest, self._rest = self._rest, bytearray()
        return [rest.decode(errors="backslashreplace")] if rest else []


class OutputReader:
    """Reads what one worker prints, and passes its lines on.

    `on_lines` is called whenever there was something to read, with the lines that have
    ended: with none if a line was only begun.
    """

    def __init__(self, descriptor: int, on_lines: Callable[[list[str]], None]) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._on_lines = on_lines
        self._splitter = LineSplitter()
        self._printed = select.poll()
        self._printed.register(descriptor, select.POLLIN)

    def watch(self) -> None:
        """Read what comes from now on, on the event loop."""
        asyncio.get_running_loop().add_reader(self._descriptor, self.read)

    def read(self) -> None:
        """Pass on the lines that have ended."""
        try:
            data = os.read(self._descriptor, READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            asyncio.get_running_loop().remove_reader(self._descriptor)
        else:
            self._on_lines(self._splitter.feed(data))

    def drain(self) -> None:
        """Pass on all that was printed so far, and the line that was begun."""
        if self._printed.poll(0):  # to read nothing takes three times as long
            self.read()
        if lines := self._splitter.flush():
            self._on_lines(lines)

    def close(self) -> None:
        """Pass on the rest, and read no more."""
        asyncio.get_running_loop().remove_reader(self._descriptor)
        self.drain()
        os.close(self._descriptor)


def log_output(printed: Printed) -> None:
    """Log what a worker printed; each line names the worker and its calls."""
    remote = printed.host not in ("", HOST)
    pid = f"{printed.pid}@{printed.host}" if remote else str(printed.pid)
    mark = f"[{printed.model} {pid} {printed.label}".rstrip() + "]"
    records = [f"{mark} {line}" for line in printed.lines]
    if len(records) >= MIN_JOINED_LINES:
        records = ["\n".join(records)]
    facts = {
        "model": printed.model,
        "worker": printed.pid,
        "host": printed.host,
        "request_id": printed.label,
    }
    for record in records:
        logger.info("%s", record, extra={"extra": facts})
