"""Leaves a process behind that has lost its parent, and ends or waits."""

import os
import signal

from webargs import fields


def get_predict_args():
    return {"wait": fields.Bool(load_default=False)}


def predict(wait):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        orphan = os.fork()
        if orphan == 0:
            os.close(reading)
            os.setsid()
            if wait:
                signal.pause()
            os._exit(0)
        os.write(writing, str(orphan).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    pid = int(os.read(reading, 20))
    if not wait:
        os.read(reading, 1)  # until the orphan has ended
    os.close(reading)
    return {"pid": pid}
