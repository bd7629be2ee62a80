"""The command line of deepaas-run: its help in groups, and messages on mistakes.

oslo.config reads the same command line again. Its own parser shows no groups and no
defaults, and does not name an option as it was typed, or the nearest one.
"""

import argparse
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from oslo_config import cfg, types

from deepaas.completion import FLAG, PrintCompletion
from deepaas.config import GROUPS
from deepaas.errors import StartError
from deepaas.naming import did_you_mean

PROGRAM = "deepaas-run"

TRUTHS = (*types.Boolean.TRUE_VALUES, *types.Boolean.FALSE_VALUES)

EPILOG = """\
examples:
  deepaas-run --model digits=digits.py --reload
  deepaas-run --listen-ip 0.0.0.0 --workers 4 --auth-token-file tokens.txt

An option may stand in a file too (--config-file), under [DEFAULT], with underscores:
`listen_port = 8000`; or in the environment: OS_DEFAULT__LISTEN_PORT=8000. The command
line goes before the environment, and this before files.
"""


class CommandLine(argparse.Namespace):
    """The options that were typed."""

    config_file: Sequence[str] | None
    config_dir: Sequence[str] | None

    def __init__(self) -> None:
        super().__init__()
        self.typed: dict[str, str] = {}
        """The last name that each option was typed with, by its name in a file."""


def parse_command_line(
    options: Iterable[tuple[cfg.Opt, str]], argv: Sequence[str], version: str
) -> CommandLine:
    """Read the command line; each option has a group of GROUPS.

    Prints the help or the version and exits, if that is asked for. An unknown option
    is usage and exit 2. Raises StartError for a value that cannot be used.
    """
    parser = _Parser(options, version)
    return parser.parse_args(argv, CommandLine())


def problem_with(option: cfg.Opt, text: str) -> str:
    """Return why a text cannot be the value of an option; an empty text if it can.

    A text with a dollar sign, which may name another option, is left to oslo.config.
    """
    if option.multi or "$" in text:
        return ""
    try:
        value = option.type(text)
    except ValueError as error:
        return _reason(option.type, text, str(error))
    if isinstance(value, float) and not math.isfinite(value):
        return "it is not a finite number"
    return ""


def _reason(kind: Any, text: str, said: str) -> str:
    if isinstance(kind, types.Boolean):
        return f"it is neither true nor false{did_you_mean(text, TRUTHS)}"
    if isinstance(kind, types.HostAddress):
        return "it is neither an address nor the name of a host"
    if isinstance(kind, types.Number):
        try:
            kind.num_type(text)
        except ValueError:
            whole = isinstance(kind, types.Integer)
            return f"it is not a {'whole ' if whole else ''}number"
        if kind.min is not None and kind.max is not None:
            return f"it is not from {kind.min} to {kind.max}"
        return f"it is less than {kind.min}"
    choices = getattr(kind, "choices", None)
    if choices:
        names = list(map(str, choices))
        return f"it is none of {', '.join(names)}{did_you_mean(text, names)}"
    return said


class _Parser(argparse.ArgumentParser):
    """The options in their groups."""

    def __init__(self, options: Iterable[tuple[cfg.Opt, str]], version: str) -> None:
        super().__init__(
            prog=PROGRAM,
            usage="deepaas-run [options]",
            description="Serve machine-learning models over HTTP.",
            epilog=EPILOG,
            formatter_class=_Formatter,
            add_help=False,
        )
        groups = {
            name: self.add_argument_group(name, description)
            for name, description in GROUPS.items()
        }
        for option, group in options:
            _add(groups[group], option)
        self._add_own(self.add_argument_group("other options"), version)

    def _add_own(self, group: argparse._ArgumentGroup, version: str) -> None:
        group.add_argument(
            "--config-file",
            action="append",
            metavar="FILE",
            help="A file of options; later ones go before earlier ones. May be "
            "repeated. Default: deepaas.conf or deepaas-run.conf in ~/.deepaas, ~, "
            "/etc/deepaas or /etc.",
        )
        group.add_argument(
            "--config-dir",
            action="append",
            metavar="DIR",
            help="A folder of such files, *.conf, read in the order of their names.",
        )
        group.add_argument(
            "--version",
            action="version",
            version=version,
            help="Print the version and exit.",
        )
        group.add_argument(FLAG, action=PrintCompletion)
        group.add_argument("-h", "--help", action="help", help="Show this and exit.")

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str], namespace: CommandLine
    ) -> CommandLine:
        """Read the command line into the namespace."""
        _, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self._refuse(unknown)
        return namespace

    def _refuse(self, unknown: Sequence[str]) -> NoReturn:
        names = [name for name in self._option_string_actions if name[:2] == "--"]
        options = [word.partition("=")[0] for word in unknown if word[:1] == "-"]
        if not options:
            word = unknown[0]
            name = os.path.basename(word).partition(".")[0] or "NAME"
            self.error(
                f"{word!r} belongs to no option; a model is named by "
                f"--model {name}={word}"
            )
        self.error(
            "\n".join(
                f"unknown option {option}{did_you_mean(option, names)}"
                for option in options
            )
        )

    def error(self, message: str) -> NoReturn:
        """Print a message, and exit with 2."""
        message = message.removeprefix("argument ")
        self.exit(2, f"usage: {PROGRAM} [options]; see --help\n{PROGRAM}: {message}\n")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Help with the metavar of an option once, after its last name."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        names = ", ".join(action.option_strings)
        return f"{names} {action.metavar}" if action.nargs != 0 else names


def _add(group: argparse._ArgumentGroup, option: cfg.Opt) -> None:
    names = [f"--{option.name}"]
    if option.short:
        names.insert(0, f"-{option.short}")
    if isinstance(option, cfg.BoolOpt):
        names.append(f"--no{option.name}")
    for old in option.deprecated_opts:
        names.append(f"--{old.name}")
    group.add_argument(
        *names,
        dest=option.dest,
        action=_Check,
        option=option,
        default=None,
        nargs=0 if isinstance(option, cfg.BoolOpt) else None,
        metavar=option.metavar or _metavar(option.type),
        help=_help(option),
    )


class _Check(argparse.Action):
    """Notes that an option was typed, and refuses a value that it cannot have."""

    def __init__(self, *, option: cfg.Opt, **details: Any) -> None:
        super().__init__(**details)
        self._option = option

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        assert isinstance(namespace, CommandLine)
        name = option_string or f"--{self._option.name}"
        namespace.typed[self.dest] = name
        if self.nargs != 0 and (problem := problem_with(self._option, values)):
            raise StartError(f"{name} {values}: {problem}")


def _metavar(kind: Any) -> str:
    for one, name in _METAVARS.items():
        if isinstance(kind, one):
            return name
    return "TEXT"


_METAVARS: Mapping[type, str] = {
    types.Port: "PORT",
    types.Number: "N",
    types.HostAddress: "ADDRESS",
}


def _help(option: cfg.Opt) -> str:
    if option.deprecated_for_removal:
        return argparse.SUPPRESS
    text = " ".join((option.help or "").split()).replace("%", "%%")
    default = option.default
    if isinstance(option, cfg.BoolOpt):
        default = f"{'' if default else 'no'}{option.name}"
        return f"{text} Default: --{default}."
    if default in (None, "", []):
        return text
    shown = f"{default:g}" if isinstance(default, float) else str(default)
    return (
        f"{text} Default: {shown}.".replace("%", "%%")
        if "%" in shown
        else (f"{text} Default: {shown}.")
    )
