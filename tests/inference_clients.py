"""Calls our server with clients whose dependencies do not fit beside ours.

    python -m tests.inference_clients

They are the SDK of KServe and the command `mlserver infer`, each in an environment of
its own, which is made at first. Ends with 1 if a check fails.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import environments
from benchmarks.compare import CACHE
from tests.server import MODELS, Server

KSERVE = """
import asyncio
import sys

import httpx
import numpy
from kserve import InferInput, InferOutput, InferRequest
from kserve.inference_client import InferenceRESTClient, RESTConfig

base = sys.argv[1]
values = numpy.arange(128, dtype=numpy.float32).reshape(2, 64)


def tensor(binary):
    one = InferInput("x", [2, 64], "FP32")
    one.set_data_from_numpy(values, binary_data=binary)
    return one


async def main():
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    assert await client.is_server_live(base) is True
    assert await client.is_server_ready(base) is True
    assert await client.is_model_ready(base, "digits") is True
    assert await client.is_model_ready(base, "nope") is False
    for binary in (True, False):
        for parameters in ({}, {"binary_data_output": True}):
            request = InferRequest(
                infer_inputs=[tensor(binary)],
                model_name="digits",
                request_id="r1",
                parameters=parameters,
            )
            answer = await client.infer(base, request, model_name="digits")
            found = answer.outputs[0].as_numpy()
            assert answer.id == "r1", answer.id
            assert found.tolist() == [[1], [1]], found
    plain = {"name": "x", "shape": [1, 64], "datatype": "FP32", "data": [0] * 64}
    answer = await client.infer(base, {"inputs": [plain]}, model_name="digits")
    outputs = answer["outputs"] if isinstance(answer, dict) else answer.outputs
    first = outputs[0]
    data = first["data"] if isinstance(first, dict) else first.data
    assert data == [9], answer
    try:
        await client.infer(base, {"inputs": [plain]}, model_name="nope")
    except httpx.HTTPStatusError as error:
        assert "no model 'nope'" in str(error) + error.response.text, error
    else:
        raise AssertionError("an unknown model must be an error")


asyncio.run(main())
print("kserve: all checks passed")
"""


def check_kserve(binaries: Path, server: Server, folder: Path) -> None:
    script = folder / "kserve_client.py"
    script.write_text(KSERVE)
    command = [str(binaries / "python"), str(script), server.url]
    subprocess.run(command, check=True, cwd=folder, timeout=120)


def check_mlserver(binaries: Path, server: Server, folder: Path) -> None:
    rows, answers = folder / "in.jsonl", folder / "out.jsonl"
    one = {"name": "x", "shape": [1, 64], "datatype": "FP32"}
    requests = [{"inputs": [{**one, "data": [float(n)] * 64}]} for n in (0, 1, 0)]
    rows.write_text("".join(json.dumps(request) + "\n" for request in requests))
    command = [
        *(str(binaries / "mlserver"), "infer", "-u", f"127.0.0.1:{server.port}"),
        *("-m", "digits", "-i", str(rows), "-o", str(answers)),
    ]
    subprocess.run(command, check=True, cwd=folder, timeout=120)
    lines = answers.read_text().splitlines()
    found = sorted(json.loads(line)["outputs"][0]["data"] for line in lines)
    assert found == [[1], [9], [9]], lines
    print("mlserver infer: all checks passed")


def main() -> int:
    checks = {"kserve": check_kserve, "mlserver": check_mlserver}
    binaries = {name: environments.make(name, CACHE) for name in checks}
    with tempfile.TemporaryDirectory() as folder:
        model = f"digits={MODELS / 'oip_digits.py'}"
        server = Server("--model", model, directory=Path(folder))
        try:
            for name, check in checks.items():
                check(binaries[name], server, Path(folder))
        finally:
            problems = server.close()
    print(*problems, sep="\n", file=sys.stderr)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
