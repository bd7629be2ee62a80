"""deepaas-cli: one call of a model, without a server."""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from deepaas.cli.options import Parser, messages
from deepaas.cli.output import Output, say, take_standard_output
from deepaas.cli.places import Place, ThisProcess, Worker
from deepaas.cli.session import Session
from deepaas.cli.signals import Interrupted, heeded, raise_on_signals
from deepaas.cmd.descriptors import open_closed_descriptors
from deepaas.cmd.init import run_below_init
from deepaas.config import Settings, new_config, read_settings
from deepaas.errors import DeepaasError, InvalidArguments, ModelRaised, StartError
from deepaas.executors.messages import Envelope
from deepaas.model.adapter import ModelAdapter
from deepaas.model.loading import ModelRef, find_models

logger = logging.getLogger(__name__)

COMMANDS = {
    "get_metadata": Session.get_metadata,
    "warm": Session.warm,
    "predict": Session.predict,
    "train": Session.train,
}


OPTIONS: Sequence[tuple[tuple[str, ...], dict[str, Any]]] = (
    (
        ("--model-name",),
        {
            "metavar": "NAME",
            "help": "The model to call, if there are several; the environment "
            "variable DEEPAAS_V2_MODEL does the same.",
        },
    ),
    (
        ("--model",),
        {
            "action": "append",
            "default": [],
            "metavar": "NAME=TARGET",
            "help": "A model that has no entry point: package.module[:attribute], or "
            "the path of a .py file. Given once, it is the one to call, unless "
            "--model-name names another.",
        },
    ),
    (
        ("--config-file",),
        {
            "action": "append",
            "default": [],
            "metavar": "FILE",
            "help": "A configuration file of deepaas-run: its models and "
            "raw_predictions count here too.",
        },
    ),
    (
        ("--deepaas_method_output", "--output"),
        {
            "dest": "output",
            "metavar": "FILE",
            "help": "The file for the result; it gets the extension of its type.",
        },
    ),
    (
        ("--deepaas_with_multiprocessing",),
        {
            "dest": "in_worker",
            "action": "store_true",
            "default": True,
            "help": "Compute in a worker process; this is the default.",
        },
    ),
    (
        ("--nodeepaas_with_multiprocessing",),
        {
            "dest": "in_worker",
            "action": "store_false",
            "help": "Compute in this process, for debuggers.",
        },
    ),
    (
        ("-d", "--debug"),
        {"action": "store_true", "help": "Show tracebacks, and log more."},
    ),
    (
        ("--version",),
        {"action": "store_true", "help": "Print the version and exit."},
    ),
)


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
        return 128 + signal.SIGPIPE  # quietly, as other programs end then
    return 0


def _run(standard: int) -> None:
    options = _parse(Output(standard, None))
    _log(options.debug)
    output = Output(standard, options.output)
    output.check()
    settings = _settings(options)
    ref = _choose_model(settings)
    with heeded():
        adapter = ModelAdapter(ref)
    envelope = Envelope.NONE if settings.raw_predictions else Envelope.TEXT
    place: Place = (
        Worker(ref, envelope=envelope)
        if options.in_worker
        else ThisProcess(adapter, envelope=envelope)
    )
    COMMANDS[options.command](Session(adapter, place, output, options.arguments))


# -- our own options


def _parse(output: Output) -> argparse.Namespace:
    """Read our own options and the command; what follows it is the model's."""
    parser = Parser(
        prog="deepaas-cli",
        usage="deepaas-cli [options] COMMAND [--ARG VALUE ...]",
        description="Call a model without a server. `deepaas-cli COMMAND --help` "
        "shows the arguments of the model.",
        epilog="commands:\n"
        + "\n".join(f"  {name:<14}{do.__doc__}" for name, do in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        print_text=output.print,
    )
    for flags, settings in OPTIONS:
        parser.add_argument(*flags, **settings)
    parser.add_help_option("-h", "--help")
    parser.add_argument("command", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.version:
        output.print(f"{version('deepaas')}\n")
        parser.exit()
    if options.command not in COMMANDS:
        parser.error(f"the command must be one of: {', '.join(COMMANDS)}")
    return options


def _log(debug: bool) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if debug:
        logging.getLogger("deepaas").setLevel(logging.DEBUG)
    else:  # what it says of a worker's end is in the error as well
        logging.getLogger("deepaas.executors.local").setLevel(logging.ERROR)


def _settings(options: argparse.Namespace) -> Settings:
    argv = [f"--config-file={path}" for path in options.config_file]
    argv += [f"--model={target}" for target in options.model]
    names = []
    if options.model_name is not None:
        names = [options.model_name]
    elif len(options.model) == 1 or not os.environ.get("DEEPAAS_V2_MODEL"):
        # A model that is given here is the one that is meant.
        names = [target.partition("=")[0].strip() for target in options.model]
    argv += [f"--model-name={name}" for name in names]
    try:
        settings = read_settings(new_config(), argv)
    except (StartError, OSError, ValueError) as error:  # a folder; no text
        raise InvalidArguments({"config-file": [str(error)]}) from error
    for text in settings.models:
        name, _, target = text.partition("=")
        if not (name.strip() and target.strip()):
            raise InvalidArguments({"model": [f"Takes NAME=TARGET, not {text!r}."]})
    return settings


def _choose_model(settings: Settings) -> ModelRef:
    refs = find_models(settings.model_names, settings.models)
    if settings.model_names:  # among those of --model, or installed
        refs = [ref for ref in refs if ref.name in settings.model_names]
    if len(refs) > 1:
        names = ", ".join(ref.name for ref in refs)
        raise InvalidArguments({"model-name": [f"Must choose one of: {names}."]})
    return refs[0]
