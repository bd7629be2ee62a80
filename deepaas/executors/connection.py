"""One end of a socket that carries frames, on the event loop."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from typing import Any, cast

from deepaas.executors.frames import Frame, FrameReader
from deepaas.executors.messages import KINDS


class FrameConnection(asyncio.BufferedProtocol):
    """Reads frames from a socket, and writes to it, on the event loop.

    `on_frames` is called with the frames of each read, which may be none; `on_end`
    after the last of them, at the end of file and when the connection is closed.
    """

    def __init__(
        self,
        end: socket.socket,
        on_frames: Callable[[list[Frame]], None],
        on_end: Callable[[], None],
        kinds: Sequence[type[Any]] = KINDS,
    ) -> None:
        self._socket = end
        self._on_frames = on_frames
        self._on_end = on_end
        self._reader = FrameReader(kinds)
        self._transport: asyncio.Transport | None = None

    async def open(self) -> None:
        """Read what comes from now on, on the event loop."""
        self._socket.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: self, sock=self._socket)

    def write(self, data: bytes) -> None:
        """Send bytes as soon as the socket takes them."""
        assert self._transport is not None
        self._transport.write(data)

    def end(self) -> None:
        """Send nothing more; the other side sees the end of file."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write_eof()

    def pause(self) -> None:
        """Read no more, so that the worker has to wait."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the transport."""
        self._transport = cast(  # uvloop's is not a subclass
            asyncio.Transport, transport
        )

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the memory for the next bytes."""
        return self._reader.buffer()

    def buffer_updated(self, nbytes: int) -> None:
        """Pass on the frames that are whole now."""
        self._on_frames(self._reader.received(nbytes))

    def eof_received(self) -> bool:
        """Report the end of file; the transport may close."""
        self._on_end()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Report the end of the connection, after the frames that are left."""
        if error is not None:  # what was sent before the end is still to be read
            with contextlib.suppress(OSError):
                while count := self._socket.recv_into(self.get_buffer(-1)):
                    self.buffer_updated(count)
        self._on_end()
