"""Forks a child that opens files and forks a child of its own, which looks at them."""

import os


def predict():
    child = os.fork()
    if child == 0:
        files = [os.open(__file__, os.O_RDONLY) for _ in range(20)]
        grandchild = os.fork()
        if grandchild == 0:
            os._exit(sum(map(closed, files)))
        os._exit(os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def closed(file):
    try:
        os.fstat(file)
    except OSError:
        return True
    return False
