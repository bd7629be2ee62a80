"""Prints the memory (PSS) of a server and of each of its processes.

    python -m benchmarks.memory --model m=FILE.py

It starts `deepaas-run`, makes one prediction without arguments, and asks for a document
with --document.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import psutil


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="NAME=TARGET")
    parser.add_argument("--document", action="store_true")
    options = parser.parse_args()
    name = options.model.partition("=")[0]
    command = [str(Path(sys.executable).parent / "deepaas-run")]
    command += ["--listen-port=0", f"--model={options.model}"]
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        server = subprocess.Popen(
            [*command, f"--state-dir={folder}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            assert server.stdout is not None
            printed = (re.search(r"(http://\S+)/v2/$", line) for line in server.stdout)
            url = next(found[1] for found in printed if found)
            answer = httpx.post(f"{url}/v2/models/{name}/predict/", timeout=60)
            seconds = time.monotonic() - began
            print(f"{answer.status_code} after {seconds:.2f} s")
            if options.document:
                httpx.get(f"{url}/swagger.json", timeout=60).raise_for_status()
            _print_memory(server.pid)
        finally:
            server.terminate()
            server.wait(60)


def _print_memory(pid: int) -> None:
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    for number, process in enumerate(processes):
        pss = process.memory_full_info().pss / 2**20
        print(f"{'worker' if number else 'server':7} {pss:7.1f} MiB")


if __name__ == "__main__":
    main()
