"""The client in coroutines: as that of `sync.py`, which has the same methods."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any

import httpx
from httpx_sse import EventSource

from deepaas.client import common
from deepaas.client.arguments import Description
from deepaas.client.errors import JobFailed, Unreachable, error_of, unreachable
from deepaas.client.results import JobRecord, Prediction, read_job, read_prediction


class AsyncClient:
    """A connection to a server; may be used in a `async with` statement.

    `token` is sent with each request. `timeout` is the number of seconds without a byte
    from the server after which a call fails, None for no limit. `options` are those of
    `httpx.AsyncClient`, such as `verify`.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:5000",
        *,
        token: str | None = None,
        timeout: float | None = common.TIMEOUT,
        **options: Any,
    ) -> None:
        self.url = url.rstrip("/")
        settings = common.settings_of(url, token, timeout, options)
        self._http = httpx.AsyncClient(**settings)
        self._document: Mapping[str, Any] | None = None

    async def __aenter__(self) -> "AsyncClient":
        """Returns the client itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes the connections."""
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def models(self) -> list[dict[str, Any]]:
        """Returns the metadata of all models. Raises ClientError."""
        listed = await self.request("GET", "v2/models/")
        models: list[dict[str, Any]] = listed.json()["models"]
        return models

    async def model(self, name: str | None = None) -> "AsyncModel":
        """Returns a model, by default the only one of the server.

        Raises ClientError if there is no such model, and ValueError if there are
        several and none is named.
        """
        if name is None:
            return AsyncModel(self, common.only(await self.models()))
        await self.request("GET", common.model_path(name))
        return AsyncModel(self, name)

    async def is_ready(self) -> bool:
        """Tells whether every model has a warm worker."""
        try:
            with self._translated():
                response = await self._http.get("v2/health/ready")
                return response.status_code == 200
        except Unreachable:
            return False

    async def wait_until_ready(self, timeout: float = 60.0) -> None:
        """Waits until every model has a warm worker. Raises TimeoutError."""
        deadline = time.monotonic() + timeout
        while not await self.is_ready():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.url} was not ready after {timeout:g} s")
            await asyncio.sleep(common.POLL_SECONDS)

    async def request(self, method: str, path: str, **details: Any) -> httpx.Response:
        """Sends a request to a path of the server. Raises ClientError."""
        with self._translated():
            response = await self._http.request(method, path, **details)
        if response.is_error:
            raise error_of(response)
        return response

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, **details: Any
    ) -> AsyncIterator[httpx.Response]:
        """Sends a request, and gives the answer before its body. Raises ClientError."""
        with self._translated():
            async with self._http.stream(method, path, **details) as response:
                if response.is_error:
                    await response.aread()
                    raise error_of(response)
                yield response

    async def describe(
        self, model: str, method: str, *, anew: bool
    ) -> Description | None:
        """Returns the arguments of a method, None if the model does not have it.

        The document is read once, unless `anew` asks for it again. Raises ClientError.
        """
        if self._document is None or anew:
            self._document = (await self.request("GET", "openapi.json")).json()
        assert self._document is not None
        return common.find_description(self._document, model, method)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            raise unreachable(error, self.url) from error


class AsyncModel:
    """A model of a server.

    Arguments are given by their names; those with names that Python cannot have, in
    a dict that comes first: `model.predict({"size(px)": 3}, data="a.png")`. A file is
    a path, bytes, an open file or a `File`.
    """

    def __init__(self, client: AsyncClient, name: str) -> None:
        self._client = client
        self.name = name

    async def metadata(self) -> dict[str, Any]:
        """Returns what the model says about itself. Raises ClientError."""
        path = common.model_path(self.name)
        metadata: dict[str, Any] = (await self._client.request("GET", path)).json()
        return metadata

    async def predict(
        self, arguments: Mapping[str, Any] | None = None, /, **named: Any
    ) -> Prediction:
        """Makes a prediction, and waits for it.

        Raises ClientError, TypeError for an argument that the model does not have, and
        OSError for a file that cannot be read.
        """
        async with self._built("predict", arguments, named) as (path, request):
            response = await self._client.request("POST", path, **request)
        return read_prediction(response)

    async def stream(
        self, arguments: Mapping[str, Any] | None = None, /, **named: Any
    ) -> AsyncIterator[Any]:
        """Gives the items that the model yields, as they come.

        They are values for a stream of JSON or of events, else pieces of bytes. A model
        that does not yield gives its one value. Raises as `predict` does.
        """
        async with (
            self._built("predict", arguments, named) as (path, request),
            self._client.stream("POST", path, **request) as response,
        ):
            kind = common.stream_kind(response)
            if kind == "lines":
                lines = common.Lines()
                async for line in response.aiter_lines():
                    for item in lines.items(line):
                        yield item
                lines.end()
            elif kind == "events":
                async for event in EventSource(response).aiter_sse():
                    yield common.item_of_event(event)
            elif kind == "whole":
                await response.aread()
                yield read_prediction(response).value
            else:
                async for piece in response.aiter_bytes():
                    yield piece

    async def submit(
        self, arguments: Mapping[str, Any] | None = None, /, **named: Any
    ) -> "AsyncJob":
        """Begins a prediction in the background. Raises as `predict` does."""
        return await self._begin("predict", arguments, named)

    async def train(
        self, arguments: Mapping[str, Any] | None = None, /, **named: Any
    ) -> "AsyncJob":
        """Begins a training. Raises as `predict` does."""
        return await self._begin("train", arguments, named)

    async def trainings(
        self,
        *,
        status: str | None = None,
        limit: int | None = None,
        offset: int | None = None,
    ) -> list["AsyncJob"]:
        """Returns the trainings, the newest first. Raises ClientError."""
        query = {"status": status, "limit": limit, "offset": offset}
        params = {name: value for name, value in query.items() if value is not None}
        path = f"{common.model_path(self.name)}/train/"
        listed = (await self._client.request("GET", path, params=params)).json()
        return [AsyncJob(self._client, "train", read_job(value)) for value in listed]

    async def training(self, uuid: str) -> "AsyncJob":
        """Returns a training by its uuid. Raises ClientError."""
        return await self._job("train", uuid)

    async def prediction(self, uuid: str) -> "AsyncJob":
        """Returns a prediction in the background by its uuid. Raises ClientError."""
        return await self._job("predict", uuid)

    async def _job(self, method: str, uuid: str) -> "AsyncJob":
        path = f"{common.model_path(self.name)}/{method}/{uuid}"
        value = (await self._client.request("GET", path)).json()
        return AsyncJob(self._client, method, read_job(value))

    async def _begin(
        self, method: str, arguments: Mapping[str, Any] | None, named: Mapping[str, Any]
    ) -> "AsyncJob":
        async with self._built(method, arguments, named) as (path, request):
            request["headers"]["Prefer"] = "respond-async"
            value = (await self._client.request("POST", path, **request)).json()
        return AsyncJob(self._client, method, read_job(value))

    @asynccontextmanager
    async def _built(
        self, method: str, arguments: Mapping[str, Any] | None, named: Mapping[str, Any]
    ) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Gives the path and the request of a call, whose files are open meanwhile."""
        given = common.merged(arguments, named)
        found = await self._client.describe(self.name, method, anew=False)
        if found is None or found.unknown(given):  # the model may have changed
            found = await self._client.describe(self.name, method, anew=True)
        with ExitStack() as opened:
            path = f"{common.model_path(self.name)}/{method}/"
            yield path, common.build(found, given, opened)


class AsyncJob:
    """A training, or a prediction in the background."""

    def __init__(self, client: AsyncClient, method: str, record: JobRecord) -> None:
        self._client = client
        self._method = method
        self.record = record
        """The job as it was when it was last looked at."""

    @property
    def uuid(self) -> str:
        """Returns the job's id."""
        return self.record.uuid

    @property
    def status(self) -> str:
        """Returns its status when it was last looked at."""
        return self.record.status

    @property
    def path(self) -> str:
        """Returns its path on the server."""
        return f"{common.model_path(self.record.model)}/{self._method}/{self.uuid}"

    async def refresh(self) -> JobRecord:
        """Looks at the job again. Raises ClientError."""
        self.record = read_job((await self._client.request("GET", self.path)).json())
        return self.record

    async def follow(self) -> AsyncIterator[JobRecord]:
        """Gives the job at each change of its status or progress, until it has ended.

        A lost connection is made again. Raises ClientError if that fails for long.
        """
        losses = 0
        while True:
            try:
                async for record in self._changes():
                    losses = 0
                    self.record = record
                    yield record
                    if record.ended:
                        return
            except Unreachable:
                if losses == common.MAX_LOSSES:
                    raise
            await asyncio.sleep(min(common.FIRST_PAUSE * 2**losses, common.MAX_PAUSE))
            losses += 1

    async def _changes(self) -> AsyncIterator[JobRecord]:
        record = self.record
        async with self._client.stream("GET", f"{self.path}/events") as response:
            async for event in EventSource(response).aiter_sse():
                record = common.changed(record, event)
                yield record

    async def wait(self) -> JobRecord:
        """Waits until the job has ended, well or not. Raises ClientError."""
        async for _ in self.follow():
            pass
        return self.record

    async def result(self) -> Any:
        """Waits, and returns the output of a training, or the `Prediction`.

        Raises JobFailed if the job did not end well, and what a call raises.
        """
        record = await self.wait()
        if self._method == "predict" and record.status != "cancelled":
            path = f"{self.path}/result"
            return read_prediction(await self._client.request("GET", path))
        if record.status != "done":
            raise JobFailed(record)
        return record.output

    async def log(self) -> str:
        """Returns what the job has printed and logged so far. Raises ClientError."""
        return (await self._client.request("GET", f"{self.path}/log")).text

    async def follow_log(self) -> AsyncIterator[str]:
        """Gives the lines that the job prints, until it ends. Raises ClientError."""
        where = f"{self.path}/log"
        async with self._client.stream(
            "GET", where, params={"follow": "1"}
        ) as response:
            async for line in response.aiter_lines():
                yield line

    async def metrics(self) -> dict[str, list[Any]]:
        """Returns the history of its progress, a list for each metric."""
        path = f"{self.path}/metrics"
        history: dict[str, list[Any]] = (await self._client.request("GET", path)).json()
        return history

    async def cancel(self) -> JobRecord:
        """Ends the job, unless it has ended. Raises ClientError."""
        if not (await self.refresh()).ended:
            response = await self._client.request("DELETE", self.path)
            if response.status_code != 204:  # else it has ended just now
                self.record = read_job(response.json())
        return self.record

    async def delete(self) -> None:
        """Removes a job that has ended, its log and its result. Raises ClientError."""
        await self._client.request("DELETE", self.path)
