"""A process and those that it has started, as /proc shows them; on Linux only."""

import contextlib
import glob
import os
import signal
from collections.abc import Iterator

PAGE = os.sysconf("SC_PAGE_SIZE")
"""Bytes."""


def descendants(pid: int) -> list[int]:
    """Return the processes that a process has started, and these."""
    found = []
    for file in glob.glob(f"/proc/{pid}/task/*/children"):
        with contextlib.suppress(OSError), open(file) as children:
            for child in children.read().split():
                found += [int(child), *descendants(int(child))]
    return found


@contextlib.contextmanager
def ended_with(pid: int) -> Iterator[None]:
    """End what a process has started, when that process has ended by itself meanwhile.

    Those that lead groups of their own are not found any longer then, and their numbers
    may be those of others, so they are held by descriptors.
    """
    with contextlib.ExitStack() as stack:
        for child in descendants(pid):
            with contextlib.suppress(OSError):
                held = os.pidfd_open(child)
                stack.callback(os.close, held)
                stack.callback(_end, held)
        yield


def _end(held: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(held, signal.SIGKILL)


def resident(pid: int) -> int:
    """Return the bytes that a process and its descendants hold in memory.

    What they share counts for each. 0 for a process that is gone.
    """
    pages = 0
    for one in (pid, *descendants(pid)):
        with contextlib.suppress(OSError), open(f"/proc/{one}/statm") as statm:
            pages += int(statm.read().split()[1])
    return pages * PAGE
