"""A real nginx in front of servers, which a test can stop and start again."""

from __future__ import annotations

import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import httpx

from tests.server import Server, free_port, wait_until

CONFIG = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_max_body_size 0;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  {upstreams}
  server {{
    listen 127.0.0.1:{port};
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_request_buffering off;
    proxy_http_version 1.1;
    {locations}
  }}
}}
"""


class Nginx:
    """An nginx with these locations and upstreams, which runs until it is stopped."""

    def __init__(
        self, program: str, folder: Path, locations: str, upstreams: str = ""
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        config = folder / "nginx.conf"
        config.write_text(
            CONFIG.format(
                folder=folder, port=self.port, locations=locations, upstreams=upstreams
            )
        )
        self._command = [program, "-c", config, "-p", folder]
        self.start()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self._process = subprocess.Popen(self._command)
        with socket.socket() as probe:
            wait_until(lambda: probe.connect_ex(("127.0.0.1", self.port)) == 0)

    def stop(self) -> None:
        """End it at once, and with it all connections through it."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(10)


class Behind:
    """A server as those see it who reach it through an nginx, at `url`."""

    def __init__(self, server: Server, nginx: Nginx, base: str) -> None:
        self._server = server
        self.nginx = nginx
        self.url = f"{nginx.url}{base}"
        self._client = httpx.Client(base_url=self.url, timeout=60, trust_env=False)
        self.get = self._client.get
        self.post = self._client.post

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server, name)

    def close(self) -> None:
        """End the nginx; the server ends by itself."""
        self._client.close()
        self.nginx.stop()
