"""ModelHost: one loaded model; calls it and turns what comes back into a message."""

import asyncio
import http
import inspect
import sys
import time
import traceback
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any

from deepaas.encoding import encode_json
from deepaas.executors.messages import Call, Raised, Reply
from deepaas.executors.replies import JSON, Validate, make_reply
from deepaas.model.loading import ModelRef, response_fields


class ModelHost:
    """A model in the process that computes. Used by every kind of worker."""

    def __init__(self, ref: ModelRef, *, raw_predictions: bool) -> None:
        self._model: Any = ref.load()
        self._validate = _validator(self._model)
        self._raw_predictions = raw_predictions

    def warm(self) -> None:
        """Warm the model, if it can be warmed."""
        warm = getattr(self._model, "warm", None)
        if warm is not None:
            try:
                _run(warm)
            except NotImplementedError:
                return

    def call(self, call: Call) -> Reply | Raised:
        """Call a method of the model; what it raises is data, not an exception.

        SystemExit and KeyboardInterrupt pass: they are meant to end the process.
        """
        started = time.time()
        try:
            value = _run(getattr(self._model, call.method), **call.kwargs)
            if call.method != "predict":
                return Reply(JSON, encode_json(value))
            return make_reply(
                value,
                media_type=call.media_type,
                validate=self._validate,
                raw=self._raw_predictions,
                started=started,
            )
        except Exception as error:
            return describe(error)


def _run(method: Callable[..., Any], /, **kwargs: Any) -> Any:
    value = method(**kwargs)
    return asyncio.run(_await(value)) if inspect.isawaitable(value) else value


def _await(value: Any) -> Coroutine[Any, Any, Any]:
    async def wait() -> Any:
        return await value

    return wait()


def _validator(model: Any) -> Validate | None:
    fields = response_fields(model)
    if fields is None:
        return None
    import marshmallow

    if not isinstance(fields, type):
        fields = marshmallow.Schema.from_dict(dict(fields), name="Response")
    return fields().validate  # type: ignore[no-any-return]


def describe(error: BaseException) -> Raised:
    """Describe an exception for the server, which never unpickles one."""
    kind = type(error).__name__
    log = "".join(traceback.format_exception(error))
    if isinstance(error, NotImplementedError):
        message = _text(error) or "The model does not implement this."
        return Raised(kind, message, log, status=501)
    if (known := _http_exception(error)) is not None:
        status, message = known
        return Raised(kind, message, log, status)
    return Raised(kind, _text(error), log)


def _text(error: object) -> str:
    try:
        return str(error)
    except Exception as broken:
        return f"(its text cannot be shown: {type(broken).__name__})"


def _http_exception(error: BaseException) -> tuple[int, str] | None:
    """Return status and reason of an `aiohttp.web.HTTPException`, else None.

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
        standard = http.HTTPStatus(error.status).phrase
        return error.status, error.reason if error.reason != standard else error.text
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code is base.__init__.__code__:
            return _refused(frame)
    return None


def _refused(frame: FrameType) -> tuple[int, str]:
    made = frame.f_locals["self"]
    reason = frame.f_locals["reason"]
    return made.status_code, _text(reason)
