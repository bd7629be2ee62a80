"""MLServer: one worker process. Numbers go by its V2 protocol, a file by a route."""

import os
from typing import Annotated

from deepaas_benchmark import work
from fastapi import File
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.handlers.custom import custom_handler
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput

WORKLOAD = os.environ["BENCHMARK_WORKLOAD"]


class Model(MLModel):
    async def load(self) -> bool:
        self.compute = work.LOADERS[WORKLOAD]()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        values = self.decode(payload.inputs[0], default_codec=NumpyCodec).tolist()
        value = values if WORKLOAD == "tabular" else values[0]
        output = ResponseOutput(
            name="predictions", shape=[1], datatype="INT64", data=[self.compute(value)]
        )
        return InferenceResponse(model_name=self.name, outputs=[output])

    @custom_handler(rest_path="/upload")
    async def upload(self, data: Annotated[bytes, File()]) -> str:
        return self.compute(data)
