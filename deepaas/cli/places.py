"""The places where deepaas-cli computes: a worker process, or its own process."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol

from deepaas import progress
from deepaas.cli.output import discard
from deepaas.cli.signals import Interrupted, interrupts_raised, run
from deepaas.errors import (
    ModelRaised,
    StartError,
    authors_errors,
    authors_errors_or_exit,
    named,
    text_of,
)
from deepaas.executors import Began, Event, create_executor
from deepaas.executors.host import ModelHost, Yields, describe
from deepaas.executors.messages import Call, Envelope, Raised, Reply
from deepaas.model.adapter import ModelAdapter
from deepaas.model.loading import ModelRef
from deepaas.model.places import raised_at


class Place(Protocol):
    """A place to call a model once."""

    def warm(self) -> None:
        """Load and warm the model. Raises StartError."""

    def call(self, call: Call, on_event: Callable[[Event], None]) -> Reply:
        """Warm the model and call it. Raises StartError, ModelRaised or WorkerDied."""


class Worker:
    """A worker process, as those of the server."""

    def __init__(self, ref: ModelRef) -> None:
        self._executor = create_executor(ref, envelope=Envelope.NONE)

    def warm(self) -> None:
        """Load and warm the model in a worker. Raises StartError."""
        run(self._warm())

    def call(self, call: Call, on_event: Callable[[Event], None]) -> Reply:
        """Call the model in a worker. Raises StartError, ModelRaised or WorkerDied."""
        return run(self._call(call, on_event))

    async def _warm(self) -> None:
        await self._executor.start()
        await self._executor.close(0)

    async def _call(self, call: Call, on_event: Callable[[Event], None]) -> Reply:
        await self._executor.start()
        try:
            reply = await self._executor.call(
                call.method,
                call.kwargs,
                media_type=call.media_type,
                reports=True,
                on_event=on_event,
            )
            if reply.stream is None:
                return reply
            with _collected(reply.media_type) as (whole, file):
                async for piece in reply.stream:
                    file.write(piece)
            return whole
        finally:
            await self._executor.close(0)


class ThisProcess:
    """This process, for debuggers, and for clusters that count processes."""

    def __init__(self, adapter: ModelAdapter, target: str) -> None:
        self._name = adapter.name
        self._target = target
        self._host = ModelHost(adapter.model, envelope=Envelope.NONE)

    def warm(self) -> None:
        """Load and warm the model here. Raises StartError."""
        try:
            with interrupts_raised():
                self._host.warm()
        except authors_errors_or_exit() as error:
            cause = named(error)
            if isinstance(error, SystemExit):
                cause = f"it ended its process: {_exit_text(error)}"
            cause += raised_at(error, self._target)
            message = f"The model {self._name!r} cannot be served: warm: {cause}"
            raise StartError(message) from error

    def call(self, call: Call, on_event: Callable[[Event], None]) -> Reply:
        """Call the model here. Raises StartError, ModelRaised or WorkerDied."""
        self.warm()
        on_event(Began())
        reply = None
        try:
            with interrupts_raised(), progress.recorded(on_event):
                reply = self._reply(call)
                return reply
        except SystemExit as error:
            message = f"The model ended its process: {_exit_text(error)}."
            raise ModelRaised(message) from error
        except Interrupted:
            if reply is not None:
                discard(reply)
            raise
        finally:
            self._host.close()

    def _reply(self, call: Call) -> Reply:
        answer = self._host.call(call)
        if isinstance(answer, Raised):
            raise answer.error()
        return self._collect(answer) if isinstance(answer, Yields) else answer

    def _collect(self, yields: Yields) -> Reply:
        try:
            with _collected(yields.media_type) as (whole, file):
                for item in yields.items:
                    file.write(yields.encode(item))
        except authors_errors() as error:
            raise describe(error).error() from error
        finally:
            yields.close()
        return whole


def _exit_text(error: SystemExit) -> str:
    code = error.code or 0
    return f"exit code {code:d}" if isinstance(code, int) else text_of(code)


@contextlib.contextmanager
def _collected(media_type: str) -> Iterator[tuple[Reply, BinaryIO]]:
    """Give a reply of what is written meanwhile; nothing is left if that fails."""
    handle, path = tempfile.mkstemp(prefix="deepaas-")
    try:
        with open(handle, "wb") as file:
            yield Reply(media_type, path=path, delete=True), file
    except BaseException:
        os.unlink(path)
        raise
