"""Leaves a thread behind when its warming fails."""

import threading
import time


def warm():
    threading.Thread(target=time.sleep, args=(60,)).start()
    raise ValueError("after all")


def predict():
    pass
