"""Tickets: the permits to begin calls, which the server may take back.

A call is sent to a worker before the worker may begin it. The permit to begin is a few
bytes in a second socket, of whose reading end the server keeps a copy. Invariants:

1. A call's message is sent before its ticket, and both in the order of the calls.
2. The worker begins a call only after it has read the call's ticket, and it reads one
   ticket at a time.
3. The server takes tickets back by a single `recv` of all that is unread. A stream
   socket is locked for the whole of a `recv`, so the kernel lets no other reader in
   meanwhile: what is taken back is always the end of what was sent, never its middle.
   With one message per packet this does not hold.
4. A ticket says how many messages before it were taken back, for the worker to skip.
5. Few tickets are unread at any time, so `send` never blocks.
6. The end of the ticket socket means: no more calls.
"""

import contextlib
import socket
import struct

TICKET = struct.Struct("!II")
"""The number of messages to skip, and of calls to begin together. 0 calls means: stop
the stream that is being sent."""

MAX_RECLAIM_BYTES = 65536
"""Bytes that one `recv` takes: more than all tickets that may be unread."""

PEEK = socket.MSG_PEEK | socket.MSG_DONTWAIT


class Tickets:
    """The server's side of the tickets of one worker."""

    def __init__(self, ours: socket.socket, shared: socket.socket) -> None:
        self._ours = ours
        self._shared = shared
        """A copy of the end from which the worker reads."""
        self._skip = 0
        """Messages that were taken back since the last ticket was issued."""
        self._stopping = False
        """The worker was told to stop its stream, which has not ended."""

    def issue(self, calls: int, *, together: bool) -> None:
        """Permit the worker to begin the calls whose messages were just sent."""
        first = TICKET.pack(self._skip, calls if together else 1)
        others = 0 if together else calls - 1
        self._skip = 0
        self._ours.send(first + others * TICKET.pack(0, 1))

    def reclaim(self) -> int:
        """Take back all unread tickets.

        Returns how many of the calls sent last the worker will never begin.
        """
        if self._stopping:
            return 0  # no call was sent since, and the unread ticket is not a call's
        data = b""
        with contextlib.suppress(OSError):  # nothing is unread, or the worker is gone
            data = self._shared.recv(MAX_RECLAIM_BYTES, socket.MSG_DONTWAIT)
        tickets = list(TICKET.iter_unpack(data))
        self._skip += sum(skip + calls for skip, calls in tickets)
        return sum(calls for _, calls in tickets)

    def stop_stream(self) -> None:
        """Tell the worker to stop the stream that it sends."""
        self._stopping = True
        self._ours.send(TICKET.pack(0, 0))

    def stream_ended(self) -> None:
        """Note that the worker has answered, whether it was told to stop or not."""
        self._stopping = False

    def end(self) -> None:
        """Let the worker exit after the calls that it may begin."""
        self._ours.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close both sockets."""
        self._ours.close()
        self._shared.close()


class TicketReader:
    """The worker's side of its tickets."""

    def __init__(self, shared: socket.socket) -> None:
        self._shared = shared

    def take(self) -> tuple[int, int]:
        """Wait for a ticket: how many messages to skip, how many calls to begin.

        Raises EOFError when there are no more.
        """
        while True:
            skip, calls = self._unpack(self._shared.recv(TICKET.size))
            if calls:  # else the stream to be stopped had ended by itself
                return skip, calls

    def stopped(self) -> bool:
        """Tell whether the server wants no more of a stream, or is gone."""
        try:
            return self._unpack(self._shared.recv(TICKET.size, PEEK))[1] == 0
        except BlockingIOError:
            return False
        except EOFError:
            return True

    def _unpack(self, data: bytes) -> tuple[int, int]:
        if len(data) < TICKET.size:
            raise EOFError
        skip, calls = TICKET.unpack(data)
        return skip, calls
