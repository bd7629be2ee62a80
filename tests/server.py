"""The real server, in a process of its own, as tests use it and look after it."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import httpx
import psutil

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "tests" / "models"
DEEPAAS_RUN = Path(sys.executable).parent / "deepaas-run"
LISTEN = ("--listen-ip=127.0.0.1", "--listen-port=0")
"""Options of every server: no test may need a port that another program has."""

# Less than pytest's limit, so that a failure can still show the output; and long enough
# for a machine that runs several tests at once.
START_TIMEOUT = 60.0
STOP_TIMEOUT = 40.0
EVENT_TIMEOUT = 30.0
# Killed processes end at once, but not in no time at all.
END_TIMEOUT = 2.0

_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_URL = re.compile(r"(https?)://[^\s/]+:(\d+)/")


class Exit(NamedTuple):
    """The exit code and the output of a command that has ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


class _Output:
    """The output of a process by lines; a test can wait for a line."""

    def __init__(self) -> None:
        self._lines: list[tuple[str, str]] = []
        self._changed = threading.Condition()
        self._open = 0

    def follow(self, name: str, stream: IO[str]) -> threading.Thread:
        with self._changed:
            self._open += 1
        thread = threading.Thread(target=self._read, args=(name, stream), daemon=True)
        thread.start()
        return thread

    def _read(self, name: str, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                with self._changed:
                    self._lines.append((name, line))
                    self._changed.notify_all()
        with self._changed:
            self._open -= 1
            self._changed.notify_all()

    def text(self, name: str | None = None) -> str:
        with self._changed:
            return "".join(line for n, line in self._lines if name in (None, n))

    def wait_for(
        self, pattern: re.Pattern[str], name: str | None, timeout: float
    ) -> re.Match[str] | None:
        """The first line that matches; None when the output ends without one."""
        deadline = time.monotonic() + timeout
        seen = 0
        with self._changed:
            while True:
                for n, line in self._lines[seen:]:
                    if name in (None, n) and (match := pattern.search(line)):
                        return match
                seen = len(self._lines)
                if self._open == 0:
                    return None
                if not self._changed.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"no line matched {pattern.pattern!r}")


class Server:
    """A `deepaas-run` on a free port, with a TMPDIR and a HOME of its own.

    Once constructed it answers. Relative paths in `options` start at the top of the
    repository, unless `cwd` says otherwise.
    """

    #: the expected end; a test that expects another end changes these
    expected_exit = 0
    leftovers_expected = False

    def __init__(
        self,
        *options: str | os.PathLike[str],
        directory: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path = ROOT,
        errors_expected: bool = False,
        command: Path = DEEPAAS_RUN,
        start_timeout: float = START_TIMEOUT,
    ) -> None:
        self.errors_expected = errors_expected
        self.temporary = directory / "tmp"
        self._mark = uuid.uuid4().hex
        self._seen: set[psutil.Process] = set()
        self._output = _Output()
        self._client: httpx.Client | None = None
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [
                command,
                *LISTEN,
                *_only_named(options),
                *options,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="backslashreplace",
            env=_environment(
                directory, {"TEST_SERVER_MARK": self._mark, **(env or {})}
            ),
            cwd=cwd,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._readers = [
            self._output.follow("stdout", self._process.stdout),
            self._output.follow("stderr", self._process.stderr),
        ]
        try:
            self.url = self._wait_until_ready(start_timeout)
        except BaseException:
            self._destroy()
            raise

    def _wait_until_ready(self, timeout: float) -> str:
        try:
            found = self._output.wait_for(_URL, "stdout", timeout)
        except TimeoutError:
            self._abort()
            raise AssertionError(
                f"the server was not ready after {timeout} s\n{self.output}"
            ) from None
        if found is None:
            code = self._process.wait(END_TIMEOUT)
            raise AssertionError(f"the server ended with {code}\n{self.output}")
        return f"{found[1]}://127.0.0.1:{found[2]}"

    # Access to the running server

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def stdout(self) -> str:
        return self._output.text("stdout")

    @property
    def stderr(self) -> str:
        return self._output.text("stderr")

    @property
    def output(self) -> str:
        """Both streams, in the order in which their lines came."""
        return self._output.text()

    def wait_for_output(
        self, pattern: str, timeout: float = EVENT_TIMEOUT
    ) -> re.Match[str]:
        """The first line of either stream that matches, waited for if need be."""
        match = self._output.wait_for(re.compile(pattern), None, timeout)
        assert match is not None, f"the output ended without {pattern!r}"
        return match

    def workers(self) -> list[int]:
        """The pids of the worker processes, oldest first."""
        with _gone_is_fine():
            children = psutil.Process(self.pid).children()
            self._seen.update(children)
            return [p.pid for p in sorted(children, key=_age) if _is_worker(p)]
        return []

    def family(self) -> set[psutil.Process]:
        """Every process alive that the server started, directly or not.

        A process can leave its parent, its group and its session, but seldom its
        environment as well.
        """
        found = {p for p in psutil.process_iter() if self._is_ours(p)}
        self._seen |= found
        return found

    def _is_ours(self, process: psutil.Process) -> bool:
        with _gone_is_fine():
            if process.pid == self.pid or process.status() == psutil.STATUS_ZOMBIE:
                return False
            if process in self._seen or os.getsid(process.pid) == self.pid:
                return True
            return process.environ().get("TEST_SERVER_MARK") == self._mark
        return False

    @property
    def client(self) -> httpx.Client:
        """Keeps its connections, follows no redirect, may be used by many threads."""
        with self._lock:
            if self._client is None:
                # trust_env: a proxy of the machine's is not for 127.0.0.1
                self._client = httpx.Client(
                    base_url=self.url, timeout=60.0, trust_env=False
                )
            return self._client

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.client.get(path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.client.post(path, **options)

    def delete(self, path: str, **options: Any) -> httpx.Response:
        return self.client.delete(path, **options)

    def head(self, path: str, **options: Any) -> httpx.Response:
        return self.client.head(path, **options)

    # The end of the server

    def stop(
        self, with_signal: int = signal.SIGTERM, timeout: float = STOP_TIMEOUT
    ) -> int:
        """Ask the server to end, wait for it, and give its exit code."""
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._process.poll() is None:
            self.family()
            self._process.send_signal(with_signal)
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._abort()
            raise AssertionError(
                f"the server did not stop in {timeout} s\n{self.output}"
            ) from None

    def refuses(self) -> bool:
        """Tell whether it no longer accepts connections."""
        with socket.socket() as knocking:
            return knocking.connect_ex(("127.0.0.1", self.port)) != 0

    def wait(self, timeout: float = STOP_TIMEOUT) -> int:
        """Wait until the server ends after it has been asked to."""
        return self._process.wait(timeout)

    def kill(self) -> None:
        """Send SIGKILL to the server alone, which then leaves files behind."""
        self.expected_exit = -signal.SIGKILL
        self.leftovers_expected = True
        self.stop(signal.SIGKILL)

    def close(self) -> list[str]:
        """Stop the server, and list its errors, leftover processes and files."""
        problems: list[str] = []
        try:
            code = self.stop()
            if code != self.expected_exit:
                problems.append(f"exit code {code} instead of {self.expected_exit}")
            problems += [f"a process is left: {p}" for p in self._left_alive()]
            if not self.leftovers_expected:
                problems += [f"a file is left: {p}" for p in self._left_on_disk()]
        except AssertionError as error:
            problems.append(str(error))
        finally:
            self._destroy()
        if not self.errors_expected and "ERROR" in self.output:
            problems.append("the output has the word ERROR")
        return problems

    def _left_alive(self) -> list[psutil.Process]:
        self.family()
        _, alive = psutil.wait_procs(self._seen, timeout=END_TIMEOUT)
        return [p for p in alive if self._is_ours(p)]

    def _left_on_disk(self) -> list[Path]:
        return sorted(p.relative_to(self.temporary) for p in self.temporary.rglob("*"))

    def _abort(self) -> None:
        """End a server that hangs; faulthandler writes down where it hung."""
        self.family()
        self._process.send_signal(signal.SIGABRT)
        try:
            self._process.wait(END_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._destroy()

    def _destroy(self) -> None:
        if self._client is not None:
            self._client.close()
        for process in self.family() - {psutil.Process()}:
            with _gone_is_fine():
                process.kill()
        self._process.kill()
        self._process.wait()
        for reader in self._readers:
            reader.join(END_TIMEOUT)


def prediction(answer: httpx.Response) -> Any:
    """The value in a good answer of a model without schema, sent raw."""
    value = answer.json()
    assert value.keys() == {"status", "predictions"}, answer.text
    assert value["status"] == "OK"
    return value["predictions"]


def lives(pid: int) -> bool:
    """Tell whether a process runs; one that has ended may not have been collected."""
    with _gone_is_fine():
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def command_line(process: psutil.Process) -> str:
    """The words of the command that a process runs; none if it has ended."""
    with _gone_is_fine():
        return " ".join(process.cmdline())
    return ""


def wait_until(condition: Callable[[], bool], timeout: float = EVENT_TIMEOUT) -> None:
    """Wait for what nothing announces, such as a file's end; not for a time."""
    deadline = time.monotonic() + timeout
    pause = 0.01
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(pause)
        pause = min(0.1, 1.2 * pause)  # a condition may take a server's time


def free_port() -> int:
    """Return a port to listen on, for what cannot choose one itself.

    It is not one of those that the kernel gives to clients and to servers that ask for
    any: another test could get the same one at once.
    """
    lowest = int(_PORT_RANGE.read_text().split()[0])
    while True:
        port = random.randrange(lowest // 2, lowest)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def run_to_exit(
    *options: str | os.PathLike[str],
    directory: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
    timeout: float = START_TIMEOUT,
    command: Path = DEEPAAS_RUN,
) -> Exit:
    """Run `deepaas-run` with options that it should not start with."""
    try:
        done = subprocess.run(
            [command, *LISTEN, *_only_named(options), *options],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="backslashreplace",
            env=_environment(directory, env or {}),
            cwd=cwd,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        output = b"".join(s for s in (error.stdout, error.stderr) if s)
        raise AssertionError(
            f"still running after {timeout} s\n{output.decode(errors='replace')}"
        ) from None
    return Exit(done.returncode, done.stdout, done.stderr)


def _only_named(options: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Options that leave out what happens to be installed, such as the example."""
    words = [os.fspath(option).removeprefix("--model=") for option in options]
    if any(word.startswith("--model-name") for word in words):
        return []
    named = [word for word in words if "=" in word and not word.startswith("-")]
    return [f"--model-name={word.partition('=')[0]}" for word in named]


def _environment(directory: Path, more: Mapping[str, str]) -> dict[str, str]:
    """Ours without what could configure a server, plus directories of its own."""
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("DEEPAAS_", "OS_"))
    }
    for variable, name in ("HOME", "home"), ("TMPDIR", "tmp"):
        (directory / name).mkdir(parents=True, exist_ok=True)
        kept[variable] = str(directory / name)
    return {**kept, "PYTHONFAULTHANDLER": "1", **more}


def _is_worker(process: psutil.Process) -> bool:
    """multiprocessing's resource tracker is a child too."""
    with _gone_is_fine():
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return not any("resource_tracker" in word for word in process.cmdline())
    return False


def _age(process: psutil.Process) -> tuple[float, int]:
    return process.create_time(), process.pid


class _gone_is_fine:  # noqa: N801 - reads as a word
    """A process may end while the test reads its data."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> bool:
        gone = (psutil.NoSuchProcess, psutil.AccessDenied, ProcessLookupError)
        return kind is not None and issubclass(kind, gone)
