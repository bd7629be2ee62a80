"""A PostgreSQL of its own, on loopback, as tests and benchmarks start it."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.server import free_port, wait_until

FOLDERS = Path("/usr/lib/postgresql")
"""Debian has a folder for each version."""

ROOTS_USERS = ("postgres", "nobody")
"""The users that root starts it as, since it refuses root: the first that exists."""

STOP_TIMEOUT = 30.0

_WITH_PARENT = ("setpriv", "--pdeathsig=INT") if shutil.which("setpriv") else ()
"""Ends it with the thread that started it, also when that is killed."""

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "log_min_messages": "fatal",
}


def find_programs() -> Path | None:
    """Returns the folder of initdb and postgres, of the newest version."""
    folders = [path for path in FOLDERS.glob("*/bin") if (path / "initdb").exists()]
    if folders:
        return max(folders, key=lambda path: float(path.parent.name))
    found = shutil.which("initdb")
    return None if found is None else Path(found).resolve().parent


class PostgreSQL:
    """A PostgreSQL that listens on a free port of 127.0.0.1.

    With `safe` off it does not wait for the disk, which is faster.
    """

    def __init__(self, programs: Path, *, safe: bool = False) -> None:
        self._programs = programs
        self._user = _user()
        # Not below pytest's folders, which only their owner may enter.
        self._folder = Path(tempfile.mkdtemp(prefix="deepaas-postgresql-", dir="/tmp"))
        self._process: subprocess.Popen[bytes] | None = None
        self._settings = {**SETTINGS, **({} if safe else {"fsync": "off"})}
        self.port = free_port()
        try:
            if self._user is not None:
                shutil.chown(self._folder, self._user)
            self._run(
                *(programs / "initdb", "--auth=trust", "--username=deepaas"),
                *("--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"),
                *("--pgdata", self._folder / "data"),
            )
            self.start()
        except BaseException:
            self.close()
            raise

    def _run(self, *command: str | Path) -> None:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self._folder,
            user=self._user,
            check=False,
        )
        assert done.returncode == 0, done.stdout.decode(errors="replace")

    def url(self, database: str) -> str:
        """Returns the address of a database."""
        return f"postgresql+psycopg://deepaas@127.0.0.1:{self.port}/{database}"

    def execute(
        self, statement: str, database: str = "postgres"
    ) -> list[tuple[Any, ...]]:
        """Returns the rows that a statement gives."""
        import psycopg

        with psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user="deepaas",
            dbname=database,
            autocommit=True,
        ) as connection:
            cursor = connection.execute(statement)
            return [] if cursor.description is None else cursor.fetchall()

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """Makes a database, gives its name, and removes it at the end."""
        name = f"test_{uuid.uuid4().hex}"
        self.execute(f"CREATE DATABASE {name}")
        yield name
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def start(self) -> None:
        """Starts it, and waits until it accepts connections."""
        settings = [f"--{name}={value}" for name, value in self._settings.items()]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *_WITH_PARENT,
                    self._programs / "postgres",
                    *("-D", self._folder / "data", f"--port={self.port}"),
                    *settings,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                user=self._user,
                start_new_session=True,
            )
        wait_until(self._answers)

    def _answers(self) -> bool:
        import psycopg

        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log").read_text()
        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """Ends it at once; its clients lose their connections."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # "fast"
            self._process.wait(STOP_TIMEOUT)
            self._process = None

    def restart(self) -> None:
        """Stops and starts it."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Ends it, and removes its files."""
        try:
            self.stop()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)


def _user() -> str | None:
    """Returns the user to start it as; None for the present one."""
    if os.getuid() != 0:
        return None
    for name in ROOTS_USERS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise AssertionError(f"none of {ROOTS_USERS} exists")


def server_version(programs: Path) -> str:
    """Returns the version of PostgreSQL, for tables of results."""
    text = subprocess.run(
        [programs / "postgres", "--version"], capture_output=True, text=True, check=True
    ).stdout
    found = re.search(r"\d+\.\d+", text)
    return found[0] if found else text.strip()
