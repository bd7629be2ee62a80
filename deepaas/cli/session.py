"""The commands of deepaas-cli, on one model."""

import contextlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from deepaas.arguments import Arguments
from deepaas.cli.check import Check
from deepaas.cli.display import shown_progress
from deepaas.cli.options import MethodOptions
from deepaas.cli.output import Output
from deepaas.cli.places import Place
from deepaas.cli.signals import Interrupted, run
from deepaas.encoding import encode_json
from deepaas.errors import DeepaasError
from deepaas.executors import Event, Reply
from deepaas.executors.messages import Call
from deepaas.media_types import JSON
from deepaas.model.adapter import ModelAdapter


@dataclass(frozen=True)
class Session:
    """A model, its place, the arguments of a call, and the output."""

    adapter: ModelAdapter
    place: Place
    output: Output
    words: Sequence[str]
    """The words that follow the command."""
    flags: Collection[str] = ()
    """The options that are not the model's."""

    def get_metadata(self) -> None:
        """Describe the model."""
        with self._parsed("get_metadata", Arguments({})):
            metadata = run(self.adapter.metadata())
            self.output.write(Reply(JSON, encode_json(metadata)))

    def warm(self) -> None:
        """Load and warm the model, and no more."""
        with self._parsed("warm", Arguments({})), shown_progress():
            self.place.warm()

    def predict(self) -> None:
        """Make a prediction."""
        arguments = self.adapter.predict_args
        with self._parsed("predict", arguments) as kwargs:
            if not self.adapter.has_predict:
                raise DeepaasError("The model does not implement predict.")
            media_type = arguments.accepted(kwargs)
            self.output.check(media_type)
            call = Call("predict", kwargs, media_type)
            with shown_progress() as display:
                reply = self.place.call(call, display.handle_event)
            self.output.write(reply, repeat=True)

    def train(self) -> None:
        """Train the model, and print the job."""
        # Nothing else here needs the records of jobs.
        from deepaas.cli.training import Status, Training

        arguments = self.adapter.train_args
        with self._parsed("train", arguments) as kwargs:
            if not self.adapter.has_train:
                raise DeepaasError("The model does not implement train.")
            training = Training(self.adapter.name, arguments.show(kwargs))
            try:
                with shown_progress() as display:

                    def handle_event(event: Event) -> None:
                        training.handle_event(event)
                        display.handle_event(event)

                    reply = self.place.call(Call("train", kwargs), handle_event)
            except DeepaasError as error:
                self._print_job(training.failed(Status.ERROR, str(error)))
                raise
            except Interrupted as error:
                message = f"interrupted by {error.name}"
                self._print_job(training.failed(Status.CANCELLED, message))
                raise
            self.output.write_job(training.done(reply))

    def check(self) -> None:
        """Check the model as the server does, and predict with its examples."""
        with self._parsed("check", Arguments({})):
            check = Check(self.adapter, self.place)
            self.output.print(check.run())
            if check.failed:
                raise DeepaasError(f"The model {self.adapter.name!r} has failed.")

    @contextlib.contextmanager
    def _parsed(self, command: str, arguments: Arguments) -> Iterator[dict[str, Any]]:
        """Read the arguments of a call; remove the links to its files at the end."""
        options = MethodOptions(command, arguments, self.output.print, self.flags)
        with contextlib.ExitStack() as links:
            yield options.parse(self.words, links)

    def _print_job(self, job: bytes) -> None:
        # The message of a failed training matters more than this failure.
        with contextlib.suppress(OSError, DeepaasError):
            Output(self.output.descriptor, None).write_job(job)
