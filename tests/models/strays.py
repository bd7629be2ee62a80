"""Starts a process that leads a session of its own, and leaves it."""

import subprocess
import sys


def predict():
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    return str(subprocess.Popen(command, start_new_session=True).pid)
