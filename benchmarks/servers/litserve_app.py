"""LitServe: one worker process, started as its documentation does."""

import os
import sys
from typing import Any

import litserve
from deepaas_benchmark import work

WORKLOAD = os.environ["BENCHMARK_WORKLOAD"]


class Model(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.compute = work.LOADERS[WORKLOAD]()

    # no annotation: with one, LitServe would validate the body against it
    def decode_request(self, request):  # type: ignore[no-untyped-def]
        if WORKLOAD == "upload":
            return request["data"].file.read()
        return request["row" if WORKLOAD == "tabular" else "n"]

    def predict(self, value: Any) -> Any:
        return self.compute(value)

    def encode_response(self, output: Any) -> dict[str, Any]:
        return {"predictions": output}


# the worker is spawned, and imports this file
if __name__ == "__main__":
    # fast_queue: its documentation names it for more than 100 requests a second
    server = litserve.LitServer(
        Model(), accelerator="cpu", workers_per_device=1, fast_queue=True
    )
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
