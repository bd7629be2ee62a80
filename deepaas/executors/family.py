"""A process and those that it has started, as /proc shows them; on Linux only."""

import contextlib
import glob
import os

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


def resident(pid: int) -> int:
    """Return the bytes that a process and its descendants hold in memory.

    What they share counts for each. 0 for a process that is gone.
    """
    pages = 0
    for one in (pid, *descendants(pid)):
        with contextlib.suppress(OSError), open(f"/proc/{one}/statm") as statm:
            pages += int(statm.read().split()[1])
    return pages * PAGE
