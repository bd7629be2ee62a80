"""The service between routes and executors: it checks, prepares and makes calls.

It knows models, options and executors; it does not know HTTP or jobs. The routes of
every API and the jobs make their calls here.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from deepaas.arguments import Arguments
from deepaas.arguments.outcome import Values, load, unpack_outcome
from deepaas.config import Settings
from deepaas.errors import (
    DeepaasError,
    InvalidArguments,
    NotAcceptable,
    NotFound,
    RowFailed,
    name_row,
)
from deepaas.executors import Event, Reply, TensorForm
from deepaas.executors.uploads import paths_of
from deepaas.naming import did_you_mean
from deepaas.served import ServedModel

__all__ = ["OnEvent", "Predictions", "PreparedCall", "ServedModel", "Values"]

OnEvent: TypeAlias = Callable[[Event], None]

_TURNED_OFF = {
    "predict": "Predictions are turned off (--nopredict-endpoint).",
    "train": "Trainings are turned off (--notrain-endpoint).",
}


class PreparedCall(NamedTuple):
    """A call whose arguments are valid; it can be run once."""

    model: ServedModel
    method: str
    """`predict` or `train`."""
    kwargs: Mapping[str, Any] | bytes | Path
    """Bytes, or a file, if they were loaded where the author's code is."""
    media_type: str | None
    """The media type of the answer, None where nothing was negotiated."""
    timeout: float | None
    """Seconds for which it may run, None for any number."""
    arguments: Arguments | None = None
    """Those that loaded it here."""
    shown: str = "{}"
    """JSON of what a job's record shows of the arguments, where none loaded it here."""
    uploads: Sequence[str] = ()
    """Paths of the files in the arguments."""

    def show_arguments(self) -> dict[str, Any]:
        """Returns the arguments as JSON values, without secrets. Takes milliseconds."""
        if self.arguments is not None and isinstance(self.kwargs, Mapping):
            return self.arguments.show(self.kwargs)
        shown: dict[str, Any] = json.loads(self.shown)
        return shown

    def reserve(self) -> ExitStack:
        """Reserves a place in the queue until what is returned is closed.

        Raises Unavailable if the call could not even wait.
        """
        return self.model.executor.admit(self.method)

    def run(
        self,
        *,
        label: str,
        on_event: OnEvent,
        finish: bool = False,
        reports: bool = False,
        tensors: TensorForm | None = None,
    ) -> Coroutine[Any, Any, Reply]:
        """Runs the call; the parameters and errors are those of `Executor.call`."""
        return self.model.executor.call(
            self.method,
            self.kwargs,
            media_type=self.media_type,
            timeout=self.timeout,
            finish=finish,
            label=label,
            reports=reports,
            tensors=tensors,
            on_event=on_event,
            uploads=self.uploads,
        )


class Predictions:
    """Calls the models of a server, within what the settings allow."""

    def __init__(self, models: Mapping[str, ServedModel], settings: Settings) -> None:
        self.models = models
        """The models that are served, by name."""
        self._timeouts = {"predict": settings.predict_timeout or None, "train": None}
        offered = {
            "predict": settings.predict_endpoint,
            "train": settings.train_endpoint,
        }
        self._turned_off = [method for method, on in offered.items() if not on]

    def find(self, name: str, method: str | None = None) -> ServedModel:
        """Returns a model. Raises NotFound, also if the method is turned off."""
        if method in self._turned_off:
            raise NotFound(_TURNED_OFF[method])
        try:
            return self.models[name]
        except KeyError:
            known = ", ".join(self.models)
            near = did_you_mean(name, self.models) or ";"
            raise NotFound(
                f"There is no model {name!r}{near} these are served: {known}."
            ) from None

    def find_callable(self, name: str, method: str) -> ServedModel:
        """Returns a model that has this method. Raises NotFound, or an error with
        status 501."""
        model = self.find(name, method)
        if not model.has(method):
            raise DeepaasError(f"The model does not implement {method}.", status=501)
        return model

    async def prepare(
        self,
        model: ServedModel,
        method: str,
        given: Values,
        *,
        shows: bool = False,
    ) -> PreparedCall:
        """Validates the arguments of a call, and negotiates the type of its answer.

        `shows` says that `show_arguments` will be asked for.

        Raises InvalidArguments or NotAcceptable; for a model whose author's code loads
        its arguments, also ModelRaised, WorkerDied, CallTimeout or Unavailable.
        """
        try:
            return await self._prepare(model, method, given, shows=shows)
        except (InvalidArguments, NotAcceptable):
            # They may fit what a training that has just ended has made of the model.
            if not await model.executor.renewed():
                raise
        return await self._prepare(model, method, given, shows=shows)

    async def _prepare(
        self, model: ServedModel, method: str, given: Values, *, shows: bool
    ) -> PreparedCall:
        timeout = self._timeouts[method]
        arguments = model.arguments(method)
        if given.file is not None or not isinstance(arguments, Arguments):
            return await self._prepare_there(model, method, given, shows=shows)
        if given.large:
            kwargs = await asyncio.to_thread(load, arguments, given)
        else:
            kwargs = load(arguments, given)
        media_type = arguments.accepted(kwargs) if method == "predict" else None
        return PreparedCall(
            model,
            method,
            kwargs,
            media_type,
            timeout,
            arguments,
            uploads=paths_of(given.values),
        )

    async def _prepare_there(
        self, model: ServedModel, method: str, given: Values, *, shows: bool
    ) -> PreparedCall:
        """Lets another process load the arguments: one that has the author's code."""
        crossing = given._replace(note_ignored=None)
        asked = {"method": method, "given": crossing, "shows": shows}
        loaded = unpack_outcome(await model.executor.load(asked))
        if loaded.ignored and given.note_ignored is not None:
            given.note_ignored(loaded.ignored)
        loaded.raise_refusal()
        return PreparedCall(
            model,
            method,
            loaded.kwargs if given.file is None else Path(given.file.loaded),
            loaded.media_type if method == "predict" else None,
            self._timeouts[method],
            shown=loaded.shown,
            uploads=paths_of(given.values),
        )

    async def predict_tensors(
        self,
        model: ServedModel,
        rows: Sequence[Values],
        *,
        form: TensorForm,
        label: str,
        on_event: OnEvent,
    ) -> list[Reply]:
        """Makes predictions together; each reply holds packed outputs in that form.

        The first call that fails ends the others and is the error, with the number of
        its row if there are several. Otherwise it is as `predict`.
        """
        if not rows:
            return []
        if len(rows) == 1:
            call = await self.prepare(model, "predict", rows[0])
            run = partial(call.run, finish=True, tensors=form)
            return [await run(label=label, on_event=on_event)]
        calls = await self._prepare_rows(model, rows)
        try:
            return await model.executor.call_together(
                [(call.kwargs, call.media_type, call.uploads) for call in calls],
                timeout=self._timeouts["predict"],
                label=label,
                tensors=form,
                on_event=on_event,
            )
        except RowFailed as failed:
            with _of_row(failed.number, len(calls)):
                raise failed.error from None
        raise AssertionError  # for mypy: the error was raised

    async def _prepare_rows(
        self, model: ServedModel, rows: Sequence[Values]
    ) -> list[PreparedCall]:
        """Prepares predictions together. An error has the number of its row."""
        arguments = model.arguments("predict")
        if isinstance(arguments, Arguments):
            try:
                return await self._load_rows(model, arguments, rows)
            except DeepaasError:  # as in `prepare`
                if not await model.executor.renewed():
                    raise
        calls = []
        for number, given in enumerate(rows):
            with _of_row(number, len(rows)):
                calls.append(await self.prepare(model, "predict", given))
        return calls

    async def _load_rows(
        self, model: ServedModel, arguments: Arguments, rows: Sequence[Values]
    ) -> list[PreparedCall]:
        def load_all() -> list[dict[str, Any]]:
            loaded = []
            for number, given in enumerate(rows):
                with _of_row(number, len(rows)):
                    loaded.append(load(arguments, given))
            return loaded

        large = any(given.large for given in rows)
        loaded = await asyncio.to_thread(load_all) if large else load_all()
        timeout = self._timeouts["predict"]
        return [
            PreparedCall(
                model,
                "predict",
                kwargs,
                arguments.accepted(kwargs),
                timeout,
                arguments,
                uploads=paths_of(given.values),
            )
            for given, kwargs in zip(rows, loaded, strict=True)
        ]

    async def predict(
        self, model: ServedModel, given: Values, *, label: str, on_event: OnEvent
    ) -> Reply:
        """Makes a prediction. What the model prints is logged under `label`.

        If it is cancelled, the model finishes first. Raises what `prepare` and
        `Executor.call` raise.
        """
        call = await self.prepare(model, "predict", given)
        return await call.run(label=label, on_event=on_event, finish=True)


@contextlib.contextmanager
def _of_row(number: int, count: int) -> Iterator[None]:
    """Names the row in an error, where there are several."""
    try:
        yield
    except DeepaasError as error:
        if count == 1:
            raise
        raise name_row(error, number) from error
