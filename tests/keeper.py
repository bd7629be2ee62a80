"""Runs a command, and ends all that it has started when standard input ends.

    python tests/keeper.py ray start --head

So nothing is left of a Ray node, even if the tests are killed. It does not import the
rest of the suite.
"""

import contextlib
import ctypes
import glob
import os
import signal
import subprocess
import sys
import threading
import time

PR_SET_CHILD_SUBREAPER = 36


def descendants(pid):
    found = []
    for file in glob.glob(f"/proc/{pid}/task/*/children"):
        with contextlib.suppress(OSError), open(file) as children:
            for child in children.read().split():
                found += [int(child), *descendants(int(child))]
    return found


def collect():
    """Collect what has ended: orphans would stay as zombies otherwise."""
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            time.sleep(0.1)


def main():
    # It becomes the parent of orphans of its children.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    print("started", flush=True)
    threading.Thread(target=collect, daemon=True).start()
    sys.stdin.read()
    while left := descendants(os.getpid()):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    return 0


if __name__ == "__main__":
    sys.exit(main())
