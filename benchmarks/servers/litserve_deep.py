"""LitServe with its batching: a batch is decoded in a thread pool, as its guide does.

https://lightning.ai/docs/litserve/features/batching
"""

import os
import sys
from typing import Any

import litserve
import torch
from deepaas_benchmark import deep

WORKLOAD = os.environ["BENCHMARK_WORKLOAD"]


class Model(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.model = deep.load(WORKLOAD)

    # no annotation: with one, LitServe would validate the body against it
    def decode_request(self, request):  # type: ignore[no-untyped-def]
        if WORKLOAD == "pictures":
            return request["data"].file.read()
        return request["text"]

    def batch(self, inputs: list[Any]) -> torch.Tensor:
        return self.model.decode(inputs)

    def predict(self, batch: torch.Tensor) -> list[list[float]]:
        return self.model.run(batch)

    def unbatch(self, output: list[list[float]]) -> list[list[float]]:
        return output

    def encode_response(self, output: list[float]) -> dict[str, Any]:
        return {"predictions": output}


# the worker is spawned, and imports this file
if __name__ == "__main__":
    api = Model(max_batch_size=deep.max_batch(), batch_timeout=0.01)
    server = litserve.LitServer(
        api,
        accelerator=deep.device().type,
        devices=1,
        workers_per_device=int(os.environ["BENCHMARK_WORKERS"]),
    )
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
