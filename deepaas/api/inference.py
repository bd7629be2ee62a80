"""The routes of the Open Inference Protocol: versions of models, and inference.

Its other routes are those of the DEEPaaS API, with more keys in their answers.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from aiohttp import web

from deepaas.api.context import CONTEXT
from deepaas.api.model_tensors import ModelTensors
from deepaas.api.requests.tensors import Inference as Given
from deepaas.api.requests.tensors import TensorParsing
from deepaas.api.requests.uploads import Uploads
from deepaas.api.responses import (
    MIN_THREADED_COMPRESS_BYTES,
    json_response,
    send_parts,
)
from deepaas.api.routes import MODEL, Access, Route, both, error_text
from deepaas.config import Settings
from deepaas.errors import (
    BadBody,
    CallTimeout,
    DeepaasError,
    InvalidArguments,
    NotFound,
)
from deepaas.executors import Reply
from deepaas.media_types import BINARY, JSON
from deepaas.predictions import Predictions, Values
from deepaas.served import ServedModel
from deepaas.tensors.answer import PIECE_BYTES, Answer, empty_batch
from deepaas.tensors.datatypes import DATATYPES
from deepaas.tensors.outputs import Output, Outputs, stack, unpack
from deepaas.tensors.request import HEADER, InferRequest
from deepaas.tensors.specs import Signature

TURNED_OFF = "The Open Inference Protocol is turned off (--noinference-endpoint)."

ONLY = "predictions"
"""The output of a model that declares none, in a batch without rows."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Inference:
    """The handlers. `model_ready` answers whether the model of a request is ready."""

    def __init__(
        self,
        predictions: Predictions,
        settings: Settings,
        tensors: ModelTensors,
        model_ready: Handler,
    ) -> None:
        self._predictions = predictions
        self._settings = settings
        self._tensors = tensors
        self._model_ready = model_ready
        self._left: set[asyncio.Task[list[Reply]]] = set()
        """Calls that took longer than their callers wanted, until they have ended."""

    def call_routes(self) -> list[Route]:
        """Returns those that should be among the first: patterns are tried in order."""
        model = f"{self._settings.base_path}/v2/models/{MODEL}"
        with_slash, without = both(web.post, f"{model}/infer", self.infer)
        return [without, with_slash]  # the protocol has no slash

    def routes(self) -> list[Route]:
        """Returns the other routes of these handlers."""
        model = f"{self._settings.base_path}/v2/models/{MODEL}"
        version = f"{model}/versions/{{version}}"
        index = f"{self._settings.base_path}/v2/repository/index"
        public = Access.PUBLIC
        return [
            *both(web.post, index, self.index),
            *both(web.post, f"{version}/infer", self.infer),
            *both(web.get, version, self.version),
            *both(web.get, f"{version}/ready", self.version_ready, public),
        ]

    async def index(self, request: web.Request) -> web.Response:
        """Lists the models with their states."""
        self._check_offered()
        request[CONTEXT].uncoded = True
        listed = []
        for name, model in self._predictions.models.items():
            status, version = (
                model.executor.status(),
                await self._tensors.version(model),
            )
            state = "READY" if status.ready else "UNAVAILABLE"
            reason = "" if status.ready else status.cause or "starting"
            listed.append(
                {
                    "name": name,
                    **({} if version is None else {"version": version}),
                    "state": state,
                    "reason": reason,
                }
            )
        return json_response(listed)

    async def version(self, request: web.Request) -> web.Response:
        """Answers with the description of a version of a model."""
        request[CONTEXT].uncoded = True
        model = await self._find(request)
        described = await self._tensors.describe(model)
        return json_response({"name": model.name, **described})

    async def version_ready(self, request: web.Request) -> web.StreamResponse:
        """Tells whether a version of a model is ready."""
        await self._find(request)
        return await self._model_ready(request)

    async def infer(self, request: web.Request) -> web.StreamResponse:
        """Makes the predictions of a request."""
        model = await self._find(request, callable=True)
        with _as_bad_request():
            given, outputs = await self._infer(request, model)
            answer = Answer(
                await self._head(request, model, given.request), outputs, given.request
            )
        return await _send(request, answer)

    def _check_offered(self) -> None:
        if not self._settings.inference_endpoint:
            raise NotFound(TURNED_OFF)

    async def _find(
        self, request: web.Request, *, callable: bool = False
    ) -> ServedModel:
        """Returns the model of a request. Raises NotFound."""
        self._check_offered()
        name = request.match_info["model"]
        if callable:
            model = self._predictions.find_callable(name, "predict")
        else:
            model = self._predictions.find(name)
        wanted = request.match_info.get("version")
        if wanted is not None:
            version = await self._tensors.version(model)
            if version != wanted:
                has = "it has none" if version is None else f"it has {version!r}"
                raise NotFound(f"The model {name!r} has no version {wanted!r}: {has}.")
        return model

    async def _head(
        self, request: web.Request, model: ServedModel, given: InferRequest
    ) -> dict[str, Any]:
        version = await self._tensors.version(model)
        return {
            "model_name": model.name,
            **({} if version is None else {"model_version": version}),
            "id": request[CONTEXT].request_id if given.id is None else given.id,
        }

    async def _infer(
        self, request: web.Request, model: ServedModel
    ) -> tuple[Given, Outputs]:
        signature = self._tensors.signature(model)
        parsing = TensorParsing(request, signature, self._settings)
        async with parsing as given:
            seconds = _read_parameters(given.request, signature)
            calls = self._predictions.predict_tensors(
                model,
                [Values(row, large=given.large) for row in given.rows.values],
                form="json" if given.request.json_only else "bytes",
                label=request[CONTEXT].request_id,
                on_event=request[CONTEXT].note_end,
            )
            if seconds is None:
                replies = await calls
            else:
                replies = await self._limited(calls, seconds, parsing.hand_over())
        outputs = [unpack(reply.body or b"") for reply in replies]
        if not given.rows.batched:
            return given, outputs[0]
        if outputs:
            return given, stack(outputs)
        return given, self._without_rows(model, given.request)

    async def _limited(
        self,
        calls: Awaitable[list[Reply]],
        seconds: float,
        files: Uploads,
    ) -> list[Reply]:
        """Waits for calls no longer than that; the files are removed at their end.

        A call that waits is dropped then, and one that runs may finish: callers must
        not be able to end a worker. Raises CallTimeout.
        """

        async def run() -> list[Reply]:
            try:
                return await calls
            finally:
                await files.remove()

        task = asyncio.create_task(run())
        self._left.add(task)
        task.add_done_callback(self._left.discard)
        try:
            await asyncio.wait({task}, timeout=seconds)
            if task.done():
                return task.result()
        finally:
            task.cancel()
        raise CallTimeout(f"The request took longer than its timeout, {seconds:g} s.")

    def _without_rows(self, model: ServedModel, given: InferRequest) -> Outputs:
        declared = {
            name: Output(name, DATATYPES[spec.datatype], (0,) * spec.rank or (1,), b"")
            for name, spec in self._tensors.outputs(model).items()
        }
        names = [wanted.name for wanted in given.outputs] or list(declared) or [ONLY]
        return empty_batch(names, declared)


def _read_parameters(given: InferRequest, signature: Signature) -> float | None:
    """Returns the time, in seconds, that a request may take; None for any.

    Raises BadBody for a parameter that asks for what this server does not have.
    """

    def find(name: str) -> Any:
        return None if name in signature.specs else given.parameters.get(name)

    if find("sequence_id") not in (None, 0, ""):
        raise BadBody("Sequences are not supported: leave out sequence_id.")
    timeout = find("timeout")
    if timeout is None:
        return None
    if type(timeout) is not int or timeout < 0:
        raise BadBody("The parameter 'timeout' must be a number of microseconds.")
    return timeout / 1e6 or None


@contextlib.contextmanager
def _as_bad_request() -> Iterator[None]:
    """Turns an error on arguments into one with status 400."""
    try:
        yield
    except InvalidArguments as error:
        raise DeepaasError(error_text(error), status=400) from error


async def _send(request: web.Request, answer: Answer) -> web.StreamResponse:
    pieces: list[bytes | memoryview] = []
    size = 0
    for piece in answer.json():
        pieces.append(piece)
        size += len(piece)
        if size > PIECE_BYTES:
            await asyncio.sleep(0)  # let other requests run
    text = b"".join(pieces)
    if not answer.tails:
        return web.Response(
            body=text,
            content_type=JSON,
            zlib_executor_size=MIN_THREADED_COMPRESS_BYTES,
        )
    headers = {HEADER: str(len(text)), "Content-Type": BINARY}
    return await send_parts(request, [text, *answer.tails], headers)
