"""Standard input, output and error of a command that was started without them."""

import os
import sys


def open_closed_descriptors() -> set[int]:
    """Open the null device as each of the descriptors 0, 1 and 2 that is closed.

    Else the next file or socket that is opened would take its number, and get what is
    printed. Returns the descriptors that were closed.
    """
    closed = set()
    for descriptor, name, mode in (
        (0, "stdin", "r"),
        (1, "stdout", "w"),
        (2, "stderr", "w"),
    ):
        try:
            os.fstat(descriptor)
        except OSError:
            closed.add(descriptor)
            # It is the lowest one that is free.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            stream = open(descriptor, mode, closefd=False)  # noqa: SIM115 - it stays
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
    return closed
