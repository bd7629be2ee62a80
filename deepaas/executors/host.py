"""ModelHost: one loaded model; calls it and turns what comes back into a message."""

from __future__ import annotations

import array
import contextlib
import http
import inspect
import sys
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any

from deepaas.encoding import describe_json
from deepaas.errors import DeepaasError, authors_errors, text_of
from deepaas.executors.messages import QUESTIONS, Call, Envelope, Raised, Reply
from deepaas.executors.replies import Validate, is_file, make_reply
from deepaas.executors.tensors import Returned, make_tensors
from deepaas.executors.yields import InTurn, encoder, is_iterator, stream_type
from deepaas.media_types import JSON
from deepaas.model.loading import batching, response_fields
from deepaas.model.signatures import is_annotated

if TYPE_CHECKING:
    import asyncio

    from deepaas.arguments.annotations import AnnotatedFunction
    from deepaas.executors.describer import Describer

MAX_ERROR_CHARS = 65536
"""Characters of an exception's text and of its traceback that are kept."""

STREAMS = "This model streams; tensors are not streamed: use its predict route."

PHRASES = {status.value: status.phrase for status in http.HTTPStatus}
"""The standard phrase of each status."""


@dataclass(frozen=True)
class Yields:
    """Iterates over the values that a model yields."""

    media_type: str
    items: Iterator[Any]
    encode: Callable[[Any], bytes]

    def interrupt(self) -> None:
        """End the item that is being made: in the middle of `next`, in its thread."""
        if isinstance(self.items, InTurn):
            self.items.cancel()
        else:
            raise GeneratorExit

    def close(self) -> None:
        """Stop the model between two items: its `finally` runs."""
        close = getattr(self.items, "close", None)
        if close is not None:
            close()


class ModelHost:
    """A model in the process that computes. Used by every kind of worker."""

    def __init__(
        self,
        model: Any,
        *,
        envelope: Envelope,
        describer: Callable[[], Describer] | None = None,
    ) -> None:
        """Make it of a loaded model; `describer` makes what answers questions on it."""
        self._make_describer = describer
        self._describer: Describer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._model = model
        self._validate = _validator(model)
        self._declared = _declared_datatypes(model)
        self.batching = batching(model)
        """The number of calls that it takes together; None means one."""
        self._envelope = envelope
        self._annotated = _annotated(model)

    def warm(self) -> None:
        """Warm the model, if it can be warmed."""
        warm = getattr(self._model, "warm", None)
        if warm is not None:
            with contextlib.suppress(NotImplementedError):
                self._run(warm)

    def call(self, call: Call) -> Reply | Raised | Yields:
        """Call a method of the model; what it raises is data, not an exception.

        SystemExit passes: it is meant to end the process.
        """
        if call.method == "predict" and self.batching is not None:
            return self.call_together([call])[0]
        started = time.time()
        try:
            if call.method in QUESTIONS:
                return self._answer_question(call)
            method = getattr(self._model, call.method)
            if (annotated := self._annotated.get(call.method)) is None:
                value = self._run(method, **call.kwargs)
            else:
                args, kwargs = annotated.bind(call.kwargs)
                value = self._run(method, *args, **kwargs)
            if call.method != "predict":
                return Reply(JSON, describe_json(value))
            if is_iterator(value) and not is_file(value):
                if call.tensors:
                    raise DeepaasError(STREAMS, status=501)
                return self._yields(value, call.media_type)
            return self._reply(value, call, started)
        except authors_errors() as error:
            return describe(error)

    def _answer_question(self, call: Call) -> Reply:
        if self._describer is None:
            assert self._make_describer is not None
            self._describer = self._make_describer()
        return self._describer.answer(call.method, call.kwargs)

    def call_together(self, calls: Sequence[Call]) -> list[Reply | Raised]:
        """Call `predict_batch`; return the answer of each call, in their order."""
        started = time.time()
        arguments = [self._arguments(call) for call in calls]
        valid = [each for each in arguments if not isinstance(each, Raised)]
        try:
            results = self._run(self._model.predict_batch, valid) if valid else []
            values = iter(batch_results(results, len(valid)))
        except authors_errors() as error:
            raised = describe(error)
            return [each if isinstance(each, Raised) else raised for each in arguments]
        return [
            each
            if isinstance(each, Raised)
            else self._answer_one(next(values), call, started)
            for each, call in zip(arguments, calls, strict=True)
        ]

    def _arguments(self, call: Call) -> dict[str, Any] | Raised:
        """Return the arguments of one call in a batch, or the error in them."""
        annotated = self._annotated.get("predict")
        if annotated is None:
            return dict(call.kwargs)
        try:
            return annotated.convert(call.kwargs)
        except authors_errors() as error:
            return describe(error)

    def _answer_one(self, value: Any, call: Call, started: float) -> Reply | Raised:
        if isinstance(value, BaseException):
            return describe(value)
        try:
            return self._reply(value, call, started)
        except authors_errors() as error:
            return describe(error)

    def _reply(self, value: Any, call: Call, started: float) -> Reply:
        if call.tensors:
            returned = Returned(value, call.media_type, call.kwargs, started)
            return make_tensors(
                returned,
                validate=self._validate,
                declared=self._declared,
                form=call.tensors,
            )
        return make_reply(
            value,
            media_type=call.media_type,
            validate=self._validate,
            envelope=self._envelope,
            given=call.kwargs,
            started=started,
        )

    def close(self) -> None:
        """Cancel what the model's coroutines left running."""
        if self._loop is not None:
            import asyncio

            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            gathered = asyncio.gather(*tasks, return_exceptions=True)
            self._loop.run_until_complete(gathered)
            self._loop.close()

    def _yields(self, items: Any, media_type: str | None) -> Yields:
        if isinstance(items, AsyncIterator):
            items = InTurn(items, self._event_loop())
        media_type = stream_type(media_type)
        return Yields(media_type, items, encoder(media_type, self._validate))

    def _event_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop of the model's coroutines; it lives as long as the model."""
        if self._loop is None:
            import asyncio  # here, since it is a fifth of an idle worker's memory

            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
        return self._loop

    def _run(self, method: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        value = method(*args, **kwargs)
        if not inspect.isawaitable(value):
            return value
        return self._event_loop().run_until_complete(value)


def _annotated(model: Any) -> Mapping[str, AnnotatedFunction]:
    """Return the methods whose annotations are their arguments, by name."""
    methods = [
        method
        for method in ("predict", "train")
        if is_annotated(getattr(model, method, None))
    ]
    if not methods:
        return {}
    # Here, since most models do not need it, and marshmallow takes memory.
    from deepaas.arguments.annotations import find_annotated

    found = {method: find_annotated(model, method) for method in methods}
    return {method: one for method, one in found.items() if one is not None}


def _validator(model: Any) -> Validate | None:
    fields = response_fields(model)
    if fields is None:
        return None
    import marshmallow

    if not isinstance(fields, type):
        fields = marshmallow.Schema.from_dict(dict(fields), name="Response")
    return fields().validate  # type: ignore[no-any-return]


def _declared_datatypes(model: Any) -> dict[str, str]:
    """Return the datatypes of the outputs that a model's schema declares."""
    fields = response_fields(model)
    if fields is None:
        return {}
    from deepaas.tensors.fields import read_outputs  # it imports marshmallow

    return {name: spec.datatype for name, spec in read_outputs(fields).items()}


def describe(error: BaseException) -> Raised:
    """Describe an exception for the server, which never unpickles one."""
    kind = type(error).__name__
    log = _cut("".join(traceback.format_exception(error)))
    if isinstance(error, NotImplementedError):
        message = _cut(text_of(error)) or "The model does not implement this."
        return Raised(kind, message, log, status=501)
    if isinstance(error, DeepaasError):
        return Raised(kind, str(error), log, error.status)
    if (known := _http_exception(error)) is not None:
        status, message = known
        return Raised(kind, _cut(message), log, status, for_caller=True)
    return Raised(kind, _cut(text_of(error)), log)


def batch_results(results: Any, count: int) -> list[Any]:
    """Return what `predict_batch` returned for each of `count` calls.

    Raises TypeError for what is not a list, a tuple or an array: a set has no order,
    and the items of a dict, a string or a data frame are not results. Raises
    ValueError for a wrong number.
    """
    if not _is_sequence(results):
        raise TypeError(
            "predict_batch must return a list, a tuple or an array with one result "
            f"for each call, not a {type(results).__name__}"
        )
    values = list(results)
    if len(values) != count:
        raise ValueError(
            f"predict_batch returned {len(values)} results for {count} calls"
        )
    return values


def _is_sequence(value: Any) -> bool:
    kind = type(value)
    if isinstance(value, list | array.array):
        return True
    if isinstance(value, tuple):
        return not hasattr(kind, "_fields")  # a named tuple is one result
    # Arrays of numpy and of libraries that follow it. A data frame has many dtypes,
    # and a pandas Series an index, which may be in another order.
    protocol = hasattr(kind, "__array__") or hasattr(kind, "__dlpack__")
    is_array = protocol and hasattr(kind, "dtype") and not hasattr(kind, "iloc")
    return is_array and len(value.shape) > 0


def _cut(text: str) -> str:
    return text if len(text) <= MAX_ERROR_CHARS else f"{text[:MAX_ERROR_CHARS]}..."


def _http_exception(error: BaseException) -> tuple[int, str] | None:
    """Return status and reason of an `aiohttp.web.HTTPException`, else None.

    The base classes have no status, and an author's class may have any: what is not a
    final status of HTTP becomes 500.

    aiohttp refuses a reason that is an exception, or that holds a newline: its
    constructor raises TypeError or ValueError. Authors write both, so the arguments of
    the constructor that raised are looked up in the traceback.
    """
    # A model that raises one has imported aiohttp; importing it here costs memory.
    module = sys.modules.get("aiohttp.web_exceptions")
    if module is None:
        return None
    base = module.HTTPException
    if isinstance(error, base):
        status = _status(error.status)
        if status != error.status:
            made_up = f"{error.status}: {error.reason}"
            text = "" if error.text == made_up else error.text
            return status, error.reason or text or type(error).__name__
        own = error.reason != PHRASES.get(error.status)
        return status, error.reason if own else error.text or error.reason
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code is base.__init__.__code__:
            return _refused(frame)
    return None


def _refused(frame: FrameType) -> tuple[int, str]:
    """Return status and reason from the frame of a constructor that raised.

    They are found nowhere else: 18 of 48 public models write
    `HTTPBadRequest(reason=error)`, and their callers should get the 400 that these
    models mean (`tests/acceptance/api/test_http_exceptions.py`).
    """
    made = frame.f_locals["self"]
    reason = frame.f_locals["reason"]
    return _status(made.status_code), text_of(reason)


def _status(status: Any) -> int:
    try:
        number = int(status)
    except (TypeError, ValueError):  # an author's class may have anything
        return 500
    return number if 200 <= number <= 599 else 500
