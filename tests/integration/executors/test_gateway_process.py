"""The server's side of a gateway, with a process in place of a driver of Ray."""

import subprocess
import sys

from deepaas.executors import gateway_process
from deepaas.executors.gateway_process import GatewayProcess, Resources

ENDS = """
import socket, sys
from deepaas.executors.frames import pack
from deepaas.executors.gateway_process import GATEWAY_CODES
from deepaas.executors.place_messages import PlaceLost
server = socket.socket(fileno=int(sys.argv[1]))
while server.recv(65536):
    pass
server.sendall(pack(PlaceLost(0, "it ended"), codes=GATEWAY_CODES))
"""


async def test_a_place_ends_while_the_gateway_is_told_to_end(monkeypatch):
    def start(address, end, lifeline, output):
        return subprocess.Popen(
            [sys.executable, "-c", ENDS, str(end)],
            pass_fds=(end, lifeline),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )

    monkeypatch.setattr(gateway_process, "_start", start)
    process = GatewayProcess("head:6379")
    link = process.open_link("m", Resources(1, 0, {}))
    await process.connect()
    await process.close()
    assert link.lost == "it ended"
