"""Takes its time, computing without letting go of the interpreter if told to."""

import ctypes
import os
import subprocess
import sys
import time

from webargs import fields


def get_predict_args():
    return {
        "seconds": fields.Float(load_default=0.0),
        "holding": fields.Bool(load_default=False),
        "child": fields.Bool(load_default=False),
        "n": fields.Int(load_default=0),
    }


def predict(seconds, holding, child, n):
    if child:
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    print("running", n)
    if holding:
        ctypes.PyDLL(None).usleep(int(seconds * 1e6))
    else:
        time.sleep(seconds)
    return {"n": n, "pid": os.getpid()}
