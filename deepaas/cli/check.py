"""`deepaas-cli check`: what the server checks at its start, and a prediction."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import marshmallow

from deepaas.arguments import Argument, Arguments
from deepaas.cli.output import discard
from deepaas.cli.places import Place
from deepaas.cli.signals import run
from deepaas.cli.table import write_table
from deepaas.errors import DeepaasError, InvalidArguments
from deepaas.executors import Reply
from deepaas.executors.messages import Call
from deepaas.model.adapter import ModelAdapter
from deepaas.model.v2.wrapper import UploadedFile


class Check:
    """The steps of a check, and how each has ended."""

    def __init__(self, adapter: ModelAdapter, place: Place) -> None:
        """The model was loaded already, and its arguments were read."""
        self._adapter = adapter
        self._place = place
        self._rows: list[tuple[str, str, str]] = []
        self.failed = False

    def run(self) -> str:
        """Run all steps, and return a table of them."""
        adapter = self._adapter
        self._note("load", "ok", _methods(adapter))
        self._note("predict's arguments", "ok", _names(adapter.predict_args))
        self._note("train's arguments", "ok", _names(adapter.train_args))
        self._try("get_metadata", lambda: str(run(adapter.metadata())["name"]))
        if adapter.has_predict:
            self._predict()
        else:
            self._try("warm", self._warm)
        return write_table(self._rows)

    def _warm(self) -> str:
        self._place.warm()
        return ""

    def _predict(self) -> None:
        arguments = self._adapter.predict_args
        missing = [
            item.name
            for item in arguments.items
            if item.field.required and not item.hints.examples
        ]
        if missing:
            self._try("warm", self._warm)
            reason = f"no example of {', '.join(missing)} (metadata: examples)"
            self._note("predict", "left out", reason)
            return
        self._try("warm and predict", self._call)

    def _call(self) -> str:
        arguments = self._adapter.predict_args
        values = {
            item.name: _example(item, self._adapter.folder)
            for item in arguments.items
            if item.hints.examples and item.field.load_default is marshmallow.missing
        }
        arguments.negotiate(values)
        kwargs = arguments.load(values)
        media_type = arguments.accepted(kwargs)
        reply = self._place.call(Call("predict", kwargs, media_type), lambda _: None)
        try:
            return _describe(reply)
        finally:
            discard(reply)

    def _try(self, step: str, do: Callable[[], str]) -> None:
        began = time.monotonic()
        try:
            said = do()
        except InvalidArguments as error:
            self._note(step, "FAILED", str(error.messages))
        except DeepaasError as error:
            self._note(step, "FAILED", str(error))
        else:
            seconds = f"{time.monotonic() - began:.1f} s"
            self._note(step, "ok", ", ".join(filter(None, (said, seconds))))

    def _note(self, step: str, outcome: str, said: str) -> None:
        self.failed = self.failed or outcome == "FAILED"
        self._rows.append((step, outcome, said))


def _example(item: Argument, folder: Path | None) -> Any:
    """Return the first example of an argument. Raises InvalidArguments for no file."""
    example = item.hints.examples[0]
    if not item.is_file:
        return example
    path = (folder or Path()) / example
    if not path.is_file():
        raise InvalidArguments({item.name: [f"There is no example {path}."]})
    file = UploadedFile(
        name=item.name,
        filename=str(path),
        content_type="application/octet-stream",
        original_filename=path.name,
    )
    return [file] if item.multiple else file


def _methods(adapter: ModelAdapter) -> str:
    has = {"predict": adapter.has_predict, "train": adapter.has_train}
    return ", ".join(name for name, there in has.items() if there)


def _names(arguments: Arguments) -> str:
    return ", ".join(item.name for item in arguments.items) or "none"


def _describe(reply: Reply) -> str:
    body = reply.body
    if body is None and reply.path is not None:
        with contextlib.suppress(OSError):
            body = Path(reply.path).read_bytes()
    return f"{reply.media_type}, {len(body or b'')} bytes"
