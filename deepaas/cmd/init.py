"""Process 1 of a container, which collects the processes that have lost their parent.

The kernel gives process 1 each process whose parent has ended. When such a process ends
as well, it remains as a zombie until process 1 collects it.
"""

import contextlib
import os
import signal
from collections.abc import Collection

FAULTS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP}


def run_below_init() -> None:
    """Continue in a child process if this is process 1; else do nothing.

    Process 1 then collects every process that has ended, passes signals on, and exits
    with its child's exit code, as tini does. A program that starts processes and waits
    for each of them cannot collect those of others beside that. It must be called
    before there are threads or child processes.
    """
    if os.getpid() != 1:
        return
    signals = signal.valid_signals() - FAULTS
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # if ignored, exit codes are lost
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return
    os._exit(_supervise(child, signals))


def _supervise(child: int, signals: Collection[int]) -> int:
    """Return the exit code of the child when it has ended."""
    # A signal to the process group would reach the child twice.
    os.setpgid(child, child)
    with contextlib.suppress(OSError):  # without a terminal
        os.tcsetpgrp(0, child)
    while True:
        received = signal.sigwaitinfo(signals)
        if received.si_signo == signal.SIGCHLD:
            code = _collect(child)
            if code is not None:
                return code
        else:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, received.si_signo)


def _collect(child: int) -> int | None:
    """Collect all that has ended; return the exit code of the child, if it has."""
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        if pid == 0:
            return None
