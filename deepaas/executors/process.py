"""A worker's process: its start, its exit, and the end of all that it started.

Invariants: it leads a process group of its own; it holds one end of a pipe (the
lifeline) whose other end only the server has, and ends with it; its number is not given
to another process before it is collected, so that signals reach the right group.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from deepaas.executors.calls import ExitReason
from deepaas.executors.frames import pack
from deepaas.executors.messages import Envelope, Start
from deepaas.executors.process_tree import descendants, resident
from deepaas.executors.replies import remove_unfinished
from deepaas.executors.tickets import Tickets
from deepaas.model.loading import ModelRef

MAX_KILL_SECONDS = 0.5
"""Seconds to wait for a killed process to be gone."""


@dataclass(frozen=True)
class Launch:
    """Everything that each worker of a model is started with.

    Made once, so that no change which model code makes to a process reaches a worker
    that is started later.
    """

    start: Start
    path: list[str]
    """Python's import path: a worker imports what the server would."""
    environment: Mapping[str, str]
    folder: str | None
    """The working folder; None to inherit one that has no path."""

    @classmethod
    def from_this_process(
        cls, ref: ModelRef, *, warm: bool, envelope: Envelope, describe: bool = True
    ) -> "Launch":
        """Return what a worker needs to be like this process."""
        try:
            folder = os.getcwd()
        except OSError:  # it was removed
            folder = None
        start = Start(ref, list(sys.argv), warm, envelope, describe)
        return cls(start, list(sys.path), dict(os.environ), folder)

    def with_start(self, **changes: Any) -> "Launch":
        """Return the same with another message at the start."""
        return replace(self, start=self.start._replace(**changes))

    def command(self, descriptors: tuple[int, ...]) -> list[str]:
        """Return the command line of a worker that inherits these descriptors."""
        code = (
            f"import sys; sys.path[:] = {self.path!r}; "
            "from deepaas.executors.worker import main; main()"
        )
        return [sys.executable, "-c", code, *map(str, descriptors)]

    def existing_folder(self) -> str | None:
        """Return the working folder, None if it is gone."""
        return self.folder if self.folder and os.path.isdir(self.folder) else None


def _pipe(
    reader: contextlib.ExitStack, writer: contextlib.ExitStack
) -> tuple[int, int]:
    """Make a pipe, each end of which is closed with a stack."""
    ends = os.pipe()
    for stack, end in zip((reader, writer), ends, strict=True):
        stack.callback(os.close, end)
    return ends


def _sockets(
    one: contextlib.ExitStack, other: contextlib.ExitStack
) -> tuple[socket.socket, socket.socket]:
    """Make a pair of sockets, each of which is closed with a stack."""
    ends = socket.socketpair()
    for stack, end in zip((one, other), ends, strict=True):
        stack.enter_context(end)
    return ends


class WorkerProcess:
    """One process, and the server's ends of what connects the two."""

    def __init__(self, launch: Launch, gpu: str | None = None) -> None:
        """Start the process.

        Raises OSError where the machine has no more processes, memory or descriptors.
        """
        self.gpu = gpu
        """The value of CUDA_VISIBLE_DEVICES that it was given, if any."""
        self.failure: str | None = None
        """The reason why it did not start, or was killed."""
        self.step = f"{launch.start.ref.target} does not load"
        """The step that fails if it exits now; empty when it is warm."""
        self.memory = 0
        """Bytes in use, with its children, when it was last measured."""
        self.gone = asyncio.Event()
        """Set when it is collected and all that it left is cleared up."""
        self._killed: ExitReason | None = None
        self._start(launch)

    def _start(self, launch: Launch) -> None:
        environment = dict(launch.environment)
        if self.gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpu
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            self.socket, connection = _sockets(ours, theirs)
            tickets, shared = _sockets(ours, ours)
            lifeline, self._lifeline = _pipe(theirs, ours)
            self.output, output = _pipe(ours, theirs)
            inherited = (connection.fileno(), shared.fileno(), lifeline)
            self._popen = subprocess.Popen(
                launch.command(inherited),
                pass_fds=inherited,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                cwd=launch.existing_folder(),
                start_new_session=True,
            )
            ours.callback(self._popen.wait)
            ours.callback(self._popen.kill)
            self._death: int | None = os.pidfd_open(self._popen.pid)
            self.socket.sendall(pack(launch.start))  # our copy of its end is open
            ours.pop_all()
        self.tickets = Tickets(tickets, shared)

    @property
    def pid(self) -> int:
        """Return the number of the process."""
        return self._popen.pid

    @property
    def alive(self) -> bool:
        """Tell whether its death is not known yet."""
        return self._death is not None

    def watch(self, on_death: Callable[[], None]) -> None:
        """Call this, on the event loop, when the process is dead."""

        def note() -> None:
            self._forget_death()
            on_death()

        if self._death is not None:
            asyncio.get_running_loop().add_reader(self._death, note)

    def _forget_death(self) -> None:
        if self._death is not None:
            asyncio.get_running_loop().remove_reader(self._death)
            os.close(self._death)
            self._death = None

    def kill(self, reason: ExitReason, words: str = "") -> None:
        """End the process and all that it started; the end of file follows."""
        if self._popen.returncode is not None:
            return
        self.failure = self.failure or words or reason.value
        self._killed = self._killed or reason
        children = descendants(self.pid)  # some may lead groups of their own
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def interrupt(self) -> None:
        """Let the model be interrupted in the item of a stream that it makes."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGUSR1)

    async def wait_until_killed(self) -> None:
        """Wait until it is gone: a moment, if the kernel lets go of it."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.gone.wait(), MAX_KILL_SECONDS)

    async def collect(self) -> None:
        """Collect the dead process, and end what is left of its group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        await asyncio.to_thread(self._clear_up)
        os.close(self._lifeline)
        self._forget_death()
        self.tickets.close()

    def _clear_up(self) -> None:
        self._popen.wait()
        with contextlib.suppress(OSError):
            remove_unfinished(self.pid)

    def measure(self) -> int:
        """Measure the memory. Takes milliseconds where there are many threads."""
        self.memory = resident(self.pid)
        return self.memory

    def cause(self) -> str:
        """Return why a model has lost this worker; it has been collected."""
        died = f"a worker died: {self.death()}"
        return self.failure or (f"{self.step}: {died}" if self.step else died)

    def exit_reason(self, *, warmed: bool) -> str:
        """Return in one word why it ended, for metrics."""
        if self._killed is not None:
            return self._killed.name.lower()
        return "died" if warmed else "start"

    def death(self) -> str:
        """Return what the process died of; it has been collected."""
        code = self._popen.returncode
        if code is None or code >= 0:
            return f"exit code {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:  # a real-time signal has no name
            name = f"signal {-code}"
        return f"{name} (out of memory?)" if name == "SIGKILL" else name
