"""One running server: its processes, their memory and their processor time."""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks import load
from benchmarks.servers import HOST, Server, Start, free_port
from benchmarks.workloads import Request, Workload

START_TIMEOUT = 60.0
STOP_TIMEOUT = 5.0
POLL_INTERVAL = 0.01

# These variables of the caller's environment would change the results.
REMOVED_PREFIXES = (
    "BENTOML_",
    "DEEPAAS_",
    "LIT_",
    "MLSERVER_",
    "OS_DEFAULT__",
    "PYTHON",
)


class FailedError(Exception):
    """A server did not start, or answered wrongly; the text gives the reason."""


@dataclass(frozen=True)
class Memory:
    """The memory of all processes of a server, in MiB."""

    pss: float
    """Pages that several processes share are counted once."""
    rss: float


class Running:
    """A started server, its load and its measurements."""

    def __init__(self, server: Server, workload: Workload, start: Start) -> None:
        self._server = server
        self._workload = workload
        self.folder = start.folder
        self.port = start.port
        self._log = start.folder / "server.log"
        self.request: Request = server.request(workload)
        self.url = f"http://{HOST}:{start.port}{self.request.path}"
        self.body = start.folder / "request"
        self.body.write_bytes(self.request.body)
        self.start_seconds = 0.0
        environ = {
            k: v for k, v in os.environ.items() if not k.startswith(REMOVED_PREFIXES)
        }
        folders = dict.fromkeys(("TMPDIR", "XDG_STATE_HOME"), str(start.folder))
        environ |= {**folders, **server.variables(start)}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                server.command(start),
                cwd=start.folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._family = {psutil.Process(self._process.pid)}

    @property
    def pid(self) -> int:
        """The id of the started process; it may have child processes."""
        return self._process.pid

    def put_load(self, clients: int, seconds: int) -> load.Load:
        """Keep `clients` connections busy, and return their measurements."""
        return load.put(
            self.url, self.body, self.request.content_type, clients, seconds
        )

    def wait(self) -> None:
        """Wait for a right answer, at the start and until earlier calls have ended."""
        until = time.monotonic() + START_TIMEOUT
        last = "nothing"
        while time.monotonic() < until:
            if self._process.poll() is not None:
                code = self._process.returncode
                raise FailedError(f"it ended with exit code {code}\n{self._tail()}")
            try:
                status, body = self._ask()
                if status == 200:
                    self._check(body)
                    return
                last = f"{status} {body[:200]!r}"
            except (OSError, http.client.HTTPException) as error:
                last = repr(error)
            time.sleep(POLL_INTERVAL)
        raise FailedError(f"no answer in time, lastly {last}\n{self._tail()}")

    def _ask(self) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=START_TIMEOUT)
        with contextlib.closing(connection):
            headers = {"Content-Type": self.request.content_type}
            connection.request("POST", self.request.path, self.request.body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def _check(self, body: bytes) -> None:
        try:
            answer = self._server.answer(self._workload.name, body)
        except (ValueError, LookupError, TypeError):
            answer = repr(body[:200])
        if answer != self._workload.answer:
            raise FailedError(f"it answered {answer}, not {self._workload.answer}")

    def _tail(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-10:])

    def family(self) -> set[psutil.Process]:
        """Return its processes, those included whose parent has ended."""
        session = self._process.pid
        for process in psutil.process_iter():
            with contextlib.suppress(OSError):
                if os.getsid(process.pid) == session:
                    self._family.add(process)
        for process in list(self._family):
            with contextlib.suppress(psutil.Error):
                self._family.update(process.children(recursive=True))
        return {process for process in self._family if process.is_running()}

    def memory(self) -> Memory:
        pss = rss = 0
        for process in self.family():
            with contextlib.suppress(psutil.Error):
                memory = process.memory_full_info()
                pss += memory.pss
                rss += memory.rss
        return Memory(pss / 2**20, rss / 2**20)

    def cpu_seconds(self) -> float:
        """Return the time that its processes, ended ones too, have used so far."""
        total = 0.0
        for process in self.family():
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system
                total += times.children_user + times.children_system
        return total

    def stop(self) -> None:
        """End it and all its children, by their ids."""
        family = self.family()
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _, left = psutil.wait_procs(family | self.family(), timeout=1)
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, timeout=STOP_TIMEOUT)


@contextlib.contextmanager
def running(server: Server, workload: Workload, binaries: Path) -> Iterator[Running]:
    """Serve one workload on a free port of the loopback interface."""
    with tempfile.TemporaryDirectory(
        prefix="benchmark-", ignore_cleanup_errors=True
    ) as folder:
        start = Start(binaries, workload.name, free_port(), Path(folder))
        began = time.monotonic()
        here = Running(server, workload, start)
        try:
            here.wait()
            here.start_seconds = time.monotonic() - began
            yield here
        finally:
            here.stop()
