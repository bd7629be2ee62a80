"""Clients in several processes, each with its own requests, that check every answer."""

from __future__ import annotations

import asyncio
import multiprocessing
import re
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from benchmarks.load import ANSWER_TIMEOUT
from benchmarks.servers import HOST
from benchmarks.workloads import Request

LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


@dataclass
class Seen:
    """The measurements of clients."""

    began: float = 0.0
    ended: float = 0.0
    latencies: list[float] = field(default_factory=list)
    """Of the right answers, in seconds."""
    bad: int = 0
    """Wrong answers, and calls without one."""

    @property
    def rate(self) -> float:
        """Right answers per second, until the last has come."""
        return len(self.latencies) / (self.ended - self.began)

    def percentile(self, share: float) -> float:
        """Return a latency in milliseconds."""
        ordered = sorted(self.latencies) or [float("nan")]
        return 1000 * ordered[min(int(share * len(ordered)), len(ordered) - 1)]

    def mean(self) -> float:
        """Return the mean latency in milliseconds."""
        return 1000 * statistics.fmean(self.latencies or [float("nan")])


@dataclass(frozen=True)
class Clients:
    """Clients that keep one connection each, and send one request after the other."""

    port: int
    requests: Sequence[Request]
    is_right: Callable[[int, bytes], bool]
    """Takes the number of a request and the body of its answer."""

    def put_load(self, clients: int, processes: int, seconds: float) -> Seen:
        """Call for so many seconds, then wait for the answers that are on their way."""
        processes = min(clients, processes)
        fork = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(processes, mp_context=fork) as pool:
            every = list(
                pool.map(
                    self._run,
                    [list(range(n, clients, processes)) for n in range(processes)],
                    [seconds] * processes,
                )
            )
        return Seen(
            min(seen.began for seen in every),
            max(seen.ended for seen in every),
            [latency for seen in every for latency in seen.latencies],
            sum(seen.bad for seen in every),
        )

    def _run(self, clients: Sequence[int], seconds: float) -> Seen:
        return asyncio.run(self._run_all(clients, seconds))

    async def _run_all(self, clients: Sequence[int], seconds: float) -> Seen:
        seen = Seen(began=time.monotonic())
        until = seen.began + seconds
        await asyncio.gather(*(self._client(n, until, seen) for n in clients))
        seen.ended = time.monotonic()
        return seen

    async def _client(self, number: int, until: float, seen: Seen) -> None:
        while time.monotonic() < until:
            try:
                reader, writer = await asyncio.open_connection(HOST, self.port)
                try:
                    while (began := time.monotonic()) < until:
                        number = (number + 1) % len(self.requests)
                        answer = self._ask(number, reader, writer)
                        if await asyncio.wait_for(answer, ANSWER_TIMEOUT):
                            seen.latencies.append(time.monotonic() - began)
                        else:
                            seen.bad += 1
                finally:
                    writer.close()
            except (OSError, EOFError, asyncio.TimeoutError):
                seen.bad += 1
                await asyncio.sleep(0.1)  # not a loop of refused connections

    async def _ask(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        request = self.requests[number]
        head = (
            f"POST {request.path} HTTP/1.1\r\nHost: {HOST}\r\n"
            f"Content-Type: {request.content_type}\r\n"
            f"Content-Length: {len(request.body)}\r\n\r\n"
        )
        writer.writelines([head.encode(), request.body])
        answered = await reader.readuntil(b"\r\n\r\n")
        length = LENGTH.search(answered)
        if length is None:
            raise EOFError("an answer without a length")
        body = await reader.readexactly(int(length[1]))
        return answered[9:12] == b"200" and self.is_right(number, body)
