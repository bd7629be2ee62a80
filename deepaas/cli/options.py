"""A model's arguments as options of a command, and what is given for them."""

import argparse
import ast
import json
import mimetypes
import os
import re
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

import marshmallow
from marshmallow import fields, validate

from deepaas.arguments import HIDDEN, Arguments, DeclaredArgument
from deepaas.cli.output import is_special
from deepaas.encoding import describe_json
from deepaas.errors import InvalidArguments
from deepaas.model.v2.wrapper import UploadedFile
from deepaas.naming import did_you_mean

NEGATIVE = re.compile(r"-\.?\d")
"""The beginning of a value that argparse might take for an option: -1e-3, -1,2."""


class Parser(argparse.ArgumentParser):
    """A parser that prints its help by `print_text`; standard output may be taken."""

    def __init__(
        self,
        *,
        print_text: Callable[[str], None],
        known: Collection[str] = (),
        **options: Any,
    ) -> None:
        """`known` are options that another parser reads."""
        super().__init__(allow_abbrev=False, add_help=False, **options)
        self._print_text = print_text
        self._known = known

    def add_help_option(self, *flags: str) -> None:
        """Add --help."""
        self.add_argument(*flags, action="help", help="Show this and exit.")

    def _print_message(self, message: str, file: Any = None) -> None:
        if file is sys.stdout or file is None:
            self._print_text(message)
        else:
            super()._print_message(message, file)

    def print_help(self, file: Any = None) -> None:
        """Print the help by `print_text`."""
        self._print_text(self.format_help())

    def error(self, message: str) -> NoReturn:
        """Print usage and the message, with the nearest option; exit with 2."""
        _, _, unknown = message.partition("unrecognized arguments: ")
        option = unknown.partition(" ")[0].partition("=")[0]
        if option.startswith("--"):
            options = {*self._option_string_actions, *self._known}
            message += did_you_mean(option, [o for o in options if o[:2] == "--"])
        super().error(message)


class MethodOptions:
    """The options of one method of a model."""

    def __init__(
        self,
        command: str,
        arguments: Arguments,
        print_text: Callable[[str], None],
        known: Collection[str] = (),
    ) -> None:
        self._arguments = arguments
        self._parser = Parser(
            prog=f"deepaas-cli {command}",
            # The generated usage fails on names that hold brackets.
            usage=f"deepaas-cli [options] {command} [options] [--ARG VALUE ...]",
            argument_default=argparse.SUPPRESS,
            print_text=print_text,
            known=known,
        )
        for argument in arguments.items:
            self._add(argument)
        taken = any(argument.name == "help" for argument in arguments.items)
        self._parser.add_help_option("-h", *(() if taken else ("--help",)))

    def parse(self, argv: Sequence[str], links: ExitStack) -> dict[str, Any]:
        """Return the keyword arguments of a call; `links` removes the links to files.

        Raises InvalidArguments; exits, with usage, for an unknown option.
        """
        texts = vars(self._parser.parse_args(list(self._join_negatives(argv))))
        values = {
            argument.name: _value(argument, texts[argument.name], links)
            for argument in self._arguments.items
            if argument.name in texts
        }
        try:
            self._arguments.negotiate(values)
            return self._arguments.load(values)
        except InvalidArguments as error:
            self._suggest(texts, error)
            raise

    def _suggest(self, texts: Mapping[str, Any], error: InvalidArguments) -> None:
        """Add the nearest choice to the messages on a value that is none of them."""
        for argument in self._arguments.items:
            problems = error.messages.get(argument.name)
            choices = [_text(choice) for choice in _listed(argument.field)]
            if not isinstance(problems, list) or argument.name not in texts:
                continue
            near = {did_you_mean(text, choices) for text in texts[argument.name]} - {""}
            if near and not set(texts[argument.name]) <= set(choices):
                problems[-1] = f"{str(problems[-1]).rstrip('.')}{near.pop()}"

    def _add(self, argument: DeclaredArgument) -> None:
        several = isinstance(argument.field, fields.List)
        self._parser.add_argument(
            *flags(argument, self._arguments),
            dest=argument.name,
            metavar=_metavar(argument),
            help=_help(argument).replace("%", "%%"),
            action="extend" if several else "append",
            nargs="+" if several else None,
        )

    def _join_negatives(self, argv: Sequence[str]) -> Iterator[str]:
        """Write `--name -1e-3 2` as `--name=-1e-3 --name=2`."""
        names = {
            flag
            for argument in self._arguments.items
            for flag in flags(argument, self._arguments)
        }
        groups: list[list[str]] = []
        for word in argv:
            if word.startswith("--") or not groups:
                groups.append([])
            groups[-1].append(word)
        for option, *values in groups:
            if option in names and any(map(NEGATIVE.match, values)):
                yield from (f"{option}={value}" for value in values)
            else:
                yield from (option, *values)


def flags(argument: DeclaredArgument, arguments: Arguments) -> list[str]:
    """Return the options of an argument: its name, and its key where they differ.

    DEEPaaS 2.6 names an option by the key in `get_predict_args`, not by `data_key`.
    """
    taken = {item.name for item in arguments.items}
    key = [] if argument.attribute in taken else [argument.attribute]
    return [f"--{name}" for name in (argument.name, *key)]


# -- values


def _value(argument: DeclaredArgument, texts: Sequence[str], links: ExitStack) -> Any:
    """Convert the typed texts to a value that the argument's field loads."""
    field = argument.field
    if not isinstance(field, fields.List) and len(texts) > 1:
        what = "file" if _takes_file(argument) else "value"
        raise InvalidArguments({argument.name: [f"Takes one {what}, not several."]})
    if _takes_file(argument):
        files = [_file(argument.name, text, links) for text in texts]
        return files if argument.multiple else files[0]
    values = [_literal(text) for text in texts] if _is_json(argument) else texts
    if not isinstance(field, fields.List):
        return values[0]
    if len(texts) == 1:
        # `1,2` alone is not a list, though Python reads a tuple.
        whole = _literal(texts[0]) if texts[0].lstrip().startswith(("[", "(")) else None
        if isinstance(whole, list | tuple):
            return list(whole)
        if not argument.multiple:
            return texts[0]  # it is delimited, and splits by itself
    return list(values)


def _is_json(argument: DeclaredArgument) -> bool:
    """Tell whether a value, or each of a list, is written as JSON."""
    inner = _inner(argument.field)
    # A strict integer takes no text.
    strict = getattr(inner, "strict", False)
    return argument.structured or isinstance(inner, fields.List) or strict


def _literal(text: str) -> Any:
    """Read JSON, or a Python literal, as older scripts write it; else the text."""
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    return text  # its field reports the fault


def _takes_file(argument: DeclaredArgument) -> bool:
    return argument.is_file or argument.field.metadata.get("location") == "files"


def _file(name: str, text: str, links: ExitStack) -> UploadedFile:
    """Hand over a file by a link: a model that deletes its input deletes the link."""
    if not os.path.isfile(text):
        exists = os.path.exists(text)
        problem = "Is not a regular file" if exists else "No such file"
        raise InvalidArguments({name: [f"{problem}: {text}"]})
    if not os.access(text, os.R_OK):
        raise InvalidArguments({name: [f"Cannot be read: {text}"]})
    # /dev/stdin is another file in another process.
    absolute = os.path.realpath if is_special(text) else os.path.abspath
    original = absolute(text)
    folder = links.enter_context(tempfile.TemporaryDirectory(prefix="deepaas-"))
    link = Path(folder, os.path.basename(original))
    link.symlink_to(original)
    return UploadedFile(
        name=name,
        filename=str(link),
        content_type=mimetypes.guess_type(original, strict=False)[0]
        or "application/octet-stream",
        original_filename=link.name,
    )


# -- help


def _metavar(argument: DeclaredArgument) -> str:
    return "FILE" if _takes_file(argument) else _kind(_inner(argument.field)).upper()


def _help(argument: DeclaredArgument) -> str:
    """Describe an argument: in its author's words, then by what its field says."""
    field = argument.field
    facts = [
        _type(argument),
        *(["required"] if field.required else []),
        *_choices(field),
        *_ranges(field),
        *_default(field),
    ]
    description = str(field.metadata.get("description") or "").strip()
    return f"{description} [{'; '.join(facts)}]".lstrip()


def _type(argument: DeclaredArgument) -> str:
    field = argument.field
    kind = "file" if _takes_file(argument) else _kind(_inner(field))
    if argument.structured:
        kind += ", as JSON"
    if isinstance(field, fields.List):
        delimiter = getattr(field, "delimiter", None)
        parted = f", parted by {delimiter!r}" if delimiter else ""
        return f"list of {kind}{parted}"
    return kind


def _inner(field: fields.Field) -> fields.Field:
    return field.inner if isinstance(field, fields.List) else field


def _kind(field: fields.Field) -> str:
    """Return the name of a field's class, or of the known one that it builds on."""
    known = (
        cls.__name__.lower()
        for cls in type(field).__mro__
        if cls.__module__.partition(".")[0] in ("marshmallow", "webargs")
    )
    name = next(known)
    return {"field": "text", "raw": "text", "nested": "dict"}.get(name, name)


def _listed(field: fields.Field) -> Sequence[Any]:
    """Return the values that an argument may have; none if it may have any."""
    inner = _inner(field)
    choices = [
        validator.choices
        for validator in (*field.validators, *inner.validators)
        if isinstance(validator, validate.OneOf | validate.ContainsOnly)
    ]
    if "enum" in field.metadata:
        choices.append(field.metadata["enum"])
    elif isinstance(inner, fields.Enum):
        choices.append(inner.choices_text.split(", "))
    return list(choices[0]) if choices else []


def _choices(field: fields.Field) -> list[str]:
    choices = _listed(field)
    return [f"one of {', '.join(map(_text, choices))}"] if choices else []


def _ranges(field: fields.Field) -> list[str]:
    described = []
    for validator in (*field.validators, *_inner(field).validators):
        if isinstance(validator, validate.Range):
            lower = "at least" if validator.min_inclusive else "above"
            upper = "at most" if validator.max_inclusive else "below"
            limits = ((lower, validator.min), (upper, validator.max))
            described += [
                f"{words} {_text(limit)}"
                for words, limit in limits
                if limit is not None
            ]
    return list(dict.fromkeys(described))


def _default(field: fields.Field) -> list[str]:
    default = field.load_default
    if default is marshmallow.missing or callable(default):
        return []
    return [f"default {HIDDEN if field.load_only else _text(default)}"]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else describe_json(value).decode()


def messages(errors: Mapping[str, Any]) -> Iterator[str]:
    """Return the messages of InvalidArguments as lines, by option."""
    for name, problems in errors.items():
        for problem in problems if isinstance(problems, list) else [problems]:
            text = problem if isinstance(problem, str) else json.dumps(problem)
            yield text if name == "_schema" else f"argument --{name}: {text}"
