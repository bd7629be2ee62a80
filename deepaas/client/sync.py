"""The client without coroutines."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
from httpx_sse import EventSource

from deepaas.client import common
from deepaas.client.arguments import Description
from deepaas.client.errors import JobFailed, Unreachable, error_of, unreachable
from deepaas.client.results import JobRecord, Prediction, read_job, read_prediction


class Client:
    """A connection to a server; may be used in a `with` statement, and by threads.

    `token` is sent with each request. `timeout` is the number of seconds without a byte
    from the server after which a call fails, None for no limit. `options` are those of
    `httpx.Client`, such as `verify`.
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
        self._http = httpx.Client(**settings)
        self._document: Mapping[str, Any] | None = None

    def __enter__(self) -> "Client":
        """Returns the client itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the connections."""
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def models(self) -> list[dict[str, Any]]:
        """Returns the metadata of all models. Raises ClientError."""
        models: list[dict[str, Any]] = self.request("GET", "v2/models/").json()[
            "models"
        ]
        return models

    def model(self, name: str | None = None) -> "Model":
        """Returns a model, by default the only one of the server.

        Raises ClientError if there is no such model, and ValueError if there are
        several and none is named.
        """
        if name is None:
            return Model(self, common.only(self.models()))
        self.request("GET", common.model_path(name))
        return Model(self, name)

    def is_ready(self) -> bool:
        """Tells whether every model has a warm worker."""
        try:
            with self._translated():
                return self._http.get("v2/health/ready").status_code == 200
        except Unreachable:
            return False

    def wait_until_ready(self, timeout: float = 60.0) -> None:
        """Waits until every model has a warm worker. Raises TimeoutError."""
        deadline = time.monotonic() + timeout
        while not self.is_ready():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.url} was not ready after {timeout:g} s")
            time.sleep(common.POLL_SECONDS)

    def request(self, method: str, path: str, **details: Any) -> httpx.Response:
        """Sends a request to a path of the server. Raises ClientError."""
        with self._translated():
            response = self._http.request(method, path, **details)
        if response.is_error:
            raise error_of(response)
        return response

    @contextmanager
    def stream(
        self, method: str, path: str, **details: Any
    ) -> Iterator[httpx.Response]:
        """Sends a request, and gives the answer before its body. Raises ClientError."""
        with (
            self._translated(),
            self._http.stream(method, path, **details) as response,
        ):
            if response.is_error:
                response.read()
                raise error_of(response)
            yield response

    def describe(self, model: str, method: str, *, anew: bool) -> Description | None:
        """Returns the arguments of a method, None if the model does not have it.

        The document is read once, unless `anew` asks for it again. Raises ClientError.
        """
        if self._document is None or anew:
            self._document = self.request("GET", "openapi.json").json()
        assert self._document is not None
        return common.find_description(self._document, model, method)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            raise unreachable(error, self.url) from error


class Model:
    """A model of a server.

    Arguments are given by their names; those with names that Python cannot have, in
    a dict that comes first: `model.predict({"size(px)": 3}, data="a.png")`. A file is
    a path, bytes, an open file or a `File`.
    """

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self.name = name

    def metadata(self) -> dict[str, Any]:
        """Returns what the model says about itself. Raises ClientError."""
        path = common.model_path(self.name)
        metadata: dict[str, Any] = self._client.request("GET", path).json()
        return metadata

    def predict(
        self, arguments: Mapping[str, Any] | None = None, /, **named: Any
    ) -> Prediction:
        """Makes a prediction, and waits for it.

        Raises ClientError, TypeError for an argument that the model does not have, and
        OSError for a file that cannot be read.
        """
        with self._built("predict", arguments, named) as (path, request):
            response = self._client.request("POST", path, **request)
        return read_prediction(response)

    def stream(
        self, arguments: Mapping[str, Any] | None = None, /, **named: Any
    ) -> Iterator[Any]:
        """Gives the items that the model yields, as they come.

        They are values for a stream of JSON or of events, else pieces of bytes. A model
        that does not yield gives its one value. Raises as `predict` does.
        """
        with (
            self._built("predict", arguments, named) as (path, request),
            self._client.stream("POST", path, **request) as response,
        ):
            kind = common.stream_kind(response)
            if kind == "lines":
                lines = common.Lines()
                for line in response.iter_lines():
                    yield from lines.items(line)
                lines.end()
            elif kind == "events":
                for event in EventSource(response).iter_sse():
                    yield common.item_of_event(event)
            elif kind == "whole":
                response.read()
                yield read_prediction(response).value
            else:
                yield from response.iter_bytes()

    def submit(
        self, arguments: Mapping[str, Any] | None = None, /, **named: Any
    ) -> "Job":
        """Begins a prediction in the background. Raises as `predict` does."""
        return self._begin("predict", arguments, named)

    def train(
        self, arguments: Mapping[str, Any] | None = None, /, **named: Any
    ) -> "Job":
        """Begins a training. Raises as `predict` does."""
        return self._begin("train", arguments, named)

    def trainings(
        self,
        *,
        status: str | None = None,
        limit: int | None = None,
        offset: int | None = None,
    ) -> list["Job"]:
        """Returns the trainings, the newest first. Raises ClientError."""
        query = {"status": status, "limit": limit, "offset": offset}
        params = {name: value for name, value in query.items() if value is not None}
        path = f"{common.model_path(self.name)}/train/"
        listed = self._client.request("GET", path, params=params).json()
        return [Job(self._client, "train", read_job(value)) for value in listed]

    def training(self, uuid: str) -> "Job":
        """Returns a training by its uuid. Raises ClientError."""
        return self._job("train", uuid)

    def prediction(self, uuid: str) -> "Job":
        """Returns a prediction in the background by its uuid. Raises ClientError."""
        return self._job("predict", uuid)

    def _job(self, method: str, uuid: str) -> "Job":
        path = f"{common.model_path(self.name)}/{method}/{uuid}"
        value = self._client.request("GET", path).json()
        return Job(self._client, method, read_job(value))

    def _begin(
        self, method: str, arguments: Mapping[str, Any] | None, named: Mapping[str, Any]
    ) -> "Job":
        with self._built(method, arguments, named) as (path, request):
            request["headers"]["Prefer"] = "respond-async"
            value = self._client.request("POST", path, **request).json()
        return Job(self._client, method, read_job(value))

    @contextmanager
    def _built(
        self, method: str, arguments: Mapping[str, Any] | None, named: Mapping[str, Any]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Gives the path and the request of a call, whose files are open meanwhile."""
        given = common.merged(arguments, named)
        found = self._client.describe(self.name, method, anew=False)
        if found is None or found.unknown(given):  # the model may have changed
            found = self._client.describe(self.name, method, anew=True)
        with ExitStack() as opened:
            path = f"{common.model_path(self.name)}/{method}/"
            yield path, common.build(found, given, opened)


class Job:
    """A training, or a prediction in the background."""

    def __init__(self, client: Client, method: str, record: JobRecord) -> None:
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

    def refresh(self) -> JobRecord:
        """Looks at the job again. Raises ClientError."""
        self.record = read_job(self._client.request("GET", self.path).json())
        return self.record

    def follow(self) -> Iterator[JobRecord]:
        """Gives the job at each change of its status or progress, until it has ended.

        A lost connection is made again. Raises ClientError if that fails for long.
        """
        losses = 0
        while True:
            try:
                for record in self._changes():
                    losses = 0
                    self.record = record
                    yield record
                    if record.ended:
                        return
            except Unreachable:
                if losses == common.MAX_LOSSES:
                    raise
            time.sleep(min(common.FIRST_PAUSE * 2**losses, common.MAX_PAUSE))
            losses += 1

    def _changes(self) -> Iterator[JobRecord]:
        record = self.record
        with self._client.stream("GET", f"{self.path}/events") as response:
            for event in EventSource(response).iter_sse():
                record = common.changed(record, event)
                yield record

    def wait(self) -> JobRecord:
        """Waits until the job has ended, well or not. Raises ClientError."""
        for _ in self.follow():
            pass
        return self.record

    def result(self) -> Any:
        """Waits, and returns the output of a training, or the `Prediction`.

        Raises JobFailed if the job did not end well, and what a call raises.
        """
        record = self.wait()
        if self._method == "predict" and record.status != "cancelled":
            return read_prediction(self._client.request("GET", f"{self.path}/result"))
        if record.status != "done":
            raise JobFailed(record)
        return record.output

    def log(self) -> str:
        """Returns what the job has printed and logged so far. Raises ClientError."""
        return self._client.request("GET", f"{self.path}/log").text

    def follow_log(self) -> Iterator[str]:
        """Gives the lines that the job prints, until it ends. Raises ClientError."""
        where = f"{self.path}/log"
        with self._client.stream("GET", where, params={"follow": "1"}) as response:
            yield from response.iter_lines()

    def metrics(self) -> dict[str, list[Any]]:
        """Returns the history of its progress, a list for each metric."""
        path = f"{self.path}/metrics"
        history: dict[str, list[Any]] = self._client.request("GET", path).json()
        return history

    def cancel(self) -> JobRecord:
        """Ends the job, unless it has ended. Raises ClientError."""
        if not self.refresh().ended:
            response = self._client.request("DELETE", self.path)
            if response.status_code != 204:  # else it has ended just now
                self.record = read_job(response.json())
        return self.record

    def delete(self) -> None:
        """Removes a job that has ended, its log and its result. Raises ClientError."""
        self._client.request("DELETE", self.path)
