"""deepaas-cli: one call of a model, without a server."""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Collection
from importlib.metadata import version
from typing import Any, NoReturn

from deepaas.cli.init import init
from deepaas.cli.options import Parser, flags, messages
from deepaas.cli.output import Output, say, take_standard_output
from deepaas.cli.places import Place, ThisProcess, Worker
from deepaas.cli.session import Session
from deepaas.cli.signals import Interrupted, interrupts_raised, raise_on_signals
from deepaas.cmd.descriptors import open_closed_descriptors
from deepaas.cmd.init import run_below_init
from deepaas.completion import FLAG, PrintCompletion
from deepaas.config import Settings
from deepaas.config_sources import Config, new_config, read_settings, unread_keys
from deepaas.errors import DeepaasError, InvalidArguments, ModelRaised, StartError
from deepaas.model.adapter import ModelAdapter
from deepaas.model.loading import ModelRef, find_models
from deepaas.naming import did_you_mean

logger = logging.getLogger(__name__)

COMMANDS = {
    "get_metadata": Session.get_metadata,
    "warm": Session.warm,
    "predict": Session.predict,
    "train": Session.train,
    "check": Session.check,
}

WITHOUT_MODEL = {"init": init}
"""Commands that call no model."""

ALL_COMMANDS = {**COMMANDS, **WITHOUT_MODEL}


def main() -> None:
    """Call a model, as the command line says."""
    closed = open_closed_descriptors()
    run_below_init()
    raise_on_signals()
    standard = take_standard_output()
    sys.exit(_main(-1 if 1 in closed else standard))


def _main(standard: int) -> int:
    """Return the exit code; `standard` is the descriptor for the result."""
    try:
        _run(standard)
    except InvalidArguments as error:
        for line in messages(error.messages):
            say(f"deepaas-cli: {line}")
        return 2
    except DeepaasError as error:
        trace = error.traceback if isinstance(error, ModelRaised) else ""
        logger.debug("%s", trace, exc_info=None if trace else error)
        say(f"deepaas-cli: {error}")
        return 1
    except Interrupted as error:
        say(f"deepaas-cli: interrupted by {error.name}")
        return error.exit_code
    except BrokenPipeError:
        return 128 + signal.SIGPIPE  # silently, as other programs do
    return 0


def _run(standard: int) -> None:
    before = _parse(Output(standard, None))
    if before.command in WITHOUT_MODEL:
        WITHOUT_MODEL[before.command](before.arguments, Output(standard, None).print)
        return
    options, ref, adapter = _choose(before)
    _log(options.debug)
    if options.version:
        _print_version(Output(standard, None))
    _warn_of_unread_keys(options)
    output = Output(standard, options.output)
    output.check()
    place: Place = (
        Worker(ref) if options.in_worker else ThisProcess(adapter, ref.target)
    )
    flags = _OwnParser(_say_nothing).flags
    session = Session(adapter, place, output, options.arguments, flags)
    COMMANDS[options.command](session)


# -- our own options


class _Unreadable(Exception):
    """The words after the command cannot be read as our own options."""


class _OwnParser(Parser):
    """A parser of our options, without the flags that the model has taken."""

    def __init__(
        self, print_text: Callable[[str], None], taken: Collection[str] = ()
    ) -> None:
        super().__init__(
            prog="deepaas-cli",
            usage="deepaas-cli [options] COMMAND [options] [--ARG VALUE ...]",
            description="Call a model without a server. `deepaas-cli COMMAND --help` "
            "shows the arguments of the model.",
            epilog="commands:\n"
            + "\n".join(
                f"  {name:<14}{do.__doc__}" for name, do in ALL_COMMANDS.items()
            ),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            print_text=print_text,
        )
        self._taken = taken
        self.flags: set[str] = set()
        """Our flags, with those that the model has taken."""
        self._add_model_options()
        self._add_call_options()

    def _add_model_options(self) -> None:
        self._add(
            "--model-name",
            dest="model_name",
            metavar="NAME",
            help="The model to call, if there are several; the environment variable "
            "DEEPAAS_V2_MODEL does the same.",
        )
        self._add(
            "--model",
            dest="model",
            action="append",
            default=[],
            metavar="NAME=TARGET",
            help="A model that has no entry point: package.module[:attribute], or the "
            "path of a .py file. Given once, it is the one to call, unless "
            "--model-name names another.",
        )
        self._add(
            "--config-file",
            dest="config_file",
            action="append",
            default=[],
            metavar="FILE",
            help="A configuration file of deepaas-run: its models count here too.",
        )

    def _add_call_options(self) -> None:
        self._add(
            "--output",
            "--deepaas_method_output",
            dest="output",
            metavar="FILE",
            help="The file for the result; it gets the extension of its type.",
        )
        self._add(
            "--deepaas_with_multiprocessing",
            dest="in_worker",
            action="store_true",
            default=True,
            help="Compute in a worker process; this is the default.",
        )
        self._add(
            "--nodeepaas_with_multiprocessing",
            dest="in_worker",
            action="store_false",
            help="Compute in this process, for debuggers.",
        )
        self._add(
            "-d",
            "--debug",
            dest="debug",
            action="store_true",
            help="Show tracebacks, and log more.",
        )
        self._add(
            "--version",
            dest="version",
            action="store_true",
            help="Print the version and exit.",
        )
        self._add(FLAG, dest="completion", action=PrintCompletion)

    def _add(self, *flags: str, dest: str, **settings: Any) -> None:
        """Adds an option by its flags that the model has not taken; `dest` stays."""
        self.flags.update(flags)
        if free := [flag for flag in flags if flag not in self._taken]:
            self.add_argument(*free, dest=dest, **settings)


class _TryingParser(_OwnParser):
    """A parser that raises on a fault, so that another parser can report it."""

    def error(self, message: str) -> NoReturn:
        raise _Unreadable(message)


def _parse(output: Output) -> argparse.Namespace:
    """Read the options that stand before the command, and the command."""
    parser = _OwnParser(output.print)
    parser.add_help_option("-h", "--help")
    command = parser.add_argument("command", nargs="?", help=argparse.SUPPRESS)
    command.commands = list(ALL_COMMANDS)  # type: ignore[attr-defined]
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.version:
        _print_version(output)
    if options.command not in ALL_COMMANDS:
        near = did_you_mean(options.command or "", ALL_COMMANDS)
        parser.error(f"the command must be one of: {', '.join(ALL_COMMANDS)}{near}")
    return options


def _parse_rest(
    before: argparse.Namespace, kind: type[_OwnParser], taken: Collection[str] = ()
) -> argparse.Namespace:
    """Read our options that stand after the command; the others are the model's."""
    parser = kind(_say_nothing, taken)
    options = argparse.Namespace(**vars(before))
    options, options.arguments = parser.parse_known_args(before.arguments, options)
    return options


def _say_nothing(text: str) -> None:
    """Shows nothing: the only help after the command is the model's."""


def _print_version(output: Output) -> NoReturn:
    output.print(f"{version('deepaas')}\n")
    sys.exit()


# -- the model


def _choose(
    before: argparse.Namespace,
) -> tuple[argparse.Namespace, ModelRef, ModelAdapter]:
    """Find the model, and tell its arguments from our options after the command.

    An argument of the model is the model's even if it is named like one of our options.
    Since an option may name the model, all of them are read as ours first.
    """
    used = None
    try:
        used = _parse_rest(before, _TryingParser)
        _log(used.debug)
        ref, adapter = _load(used)
    except (_Unreadable, DeepaasError):
        if used is not None and _selection(used) == _selection(before):
            raise
        found = _load_if_shared(before)
        if found is None:
            _parse_rest(before, _OwnParser)  # shows what cannot be read
            raise
        used, (ref, adapter) = before, found
    options = _parse_rest(before, _OwnParser, _flags(before.command, adapter))
    if _selection(options) != _selection(used):
        ref, adapter = _load(options)
    return options, ref, adapter


def _load_if_shared(
    before: argparse.Namespace,
) -> tuple[ModelRef, ModelAdapter] | None:
    """Load the model that `before` names if an argument of it is named like an option.

    None if there is no such model, or the words after the command have no such name.
    """
    try:
        ref, adapter = _load(before)
    except DeepaasError:
        return None
    given = {word.partition("=")[0] for word in before.arguments}
    ours = _OwnParser(_say_nothing).flags
    shared = given & ours & _flags(before.command, adapter)
    return (ref, adapter) if shared else None


def _flags(command: str, adapter: ModelAdapter) -> set[str]:
    """Return the arguments of the model for a command, as they are written."""
    arguments = {"predict": adapter.predict_args, "train": adapter.train_args}
    if command not in arguments:
        return set()
    items = arguments[command].items
    return {flag for item in items for flag in flags(item, arguments[command])}


def _selection(options: argparse.Namespace) -> tuple[object, ...]:
    """Return what decides which model is called."""
    return options.model_name, options.model, options.config_file


def _load(options: argparse.Namespace) -> tuple[ModelRef, ModelAdapter]:
    ref = _choose_model(_settings(options, new_config()))
    with interrupts_raised():
        adapter = ModelAdapter(ref)
    for line in adapter.mistakes:
        logger.warning("%s: %s", adapter.name, line)
    return ref, adapter


def _log(debug: bool) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("deepaas").setLevel(logging.DEBUG if debug else logging.NOTSET)
    # the error repeats its message on a worker's end
    for name in ("deepaas.executors.local", "deepaas.executors.worker_pool"):
        pools = logging.getLogger(name)
        pools.setLevel(logging.NOTSET if debug else logging.ERROR)


def _warn_of_unread_keys(options: argparse.Namespace) -> None:
    if options.config_file:
        conf = new_config()
        _settings(options, conf)
        for warning in unread_keys(conf):
            logger.warning("%s", warning)


def _settings(options: argparse.Namespace, conf: Config) -> Settings:
    argv = [f"--config-file={path}" for path in options.config_file]
    argv += [f"--model={target}" for target in options.model]
    names = []
    if options.model_name is not None:
        names = [options.model_name]
    elif len(options.model) == 1 or not os.environ.get("DEEPAAS_V2_MODEL"):
        # A model that is given here goes before those of the configuration.
        names = [target.partition("=")[0].strip() for target in options.model]
    argv += [f"--model-name={name}" for name in names]
    try:
        settings = read_settings(conf, argv)
    except (StartError, OSError, ValueError) as error:  # a folder, or not text
        raise InvalidArguments({"config-file": [str(error)]}) from error
    for text in settings.models:
        name, _, target = text.partition("=")
        if not (name.strip() and target.strip()):
            mistake = f"Takes NAME=TARGET, such as iris=iris.py, not {text!r}."
            raise InvalidArguments({"model": [mistake]})
    return settings


def _choose_model(settings: Settings) -> ModelRef:
    refs = find_models(settings.model_names, settings.models)
    if settings.model_names:  # among those of --model, or installed
        refs = [ref for ref in refs if ref.name in settings.model_names]
    if len(refs) > 1:
        names = ", ".join(ref.name for ref in refs)
        raise InvalidArguments({"model-name": [f"Must choose one of: {names}."]})
    return refs[0]
