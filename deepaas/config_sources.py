"""Reads the options from the command line, the environment and configuration files."""

import contextlib
import io
import math
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any, NamedTuple

from oslo_config import cfg

from deepaas.command_line import (
    PROGRAM,
    CommandLine,
    parse_command_line,
    problem_with,
)
from deepaas.config import SETTINGS, Setting, Settings
from deepaas.config_values import MODELS_VARIABLE
from deepaas.errors import StartError
from deepaas.naming import Sourced, did_you_mean

VARIABLE_PREFIX = "OS_DEFAULT__"
"""The beginning of the environment variables that oslo.config reads."""

OUR_PREFIX = "DEEPAAS_"
"""The beginning of other variables of ours; those of models may have it too."""

NEAR = 0.8
"""The likeness from which an unread variable may be a misspelt one."""


class Config(cfg.ConfigOpts):
    """Options that remember which of them the command line has."""

    def __init__(self) -> None:
        self.on_command_line: list[cfg.Opt] = []
        super().__init__()

    def register_cli_opt(self, opt: cfg.Opt, group: Any = None, **details: Any) -> bool:
        """Add an option to the command line."""
        if opt not in self.on_command_line:
            self.on_command_line.append(opt)
        return bool(super().register_cli_opt(opt, group, **details))


def new_config() -> Config:
    """Return a configuration of our own, with the options registered."""
    conf = Config()
    conf.register_cli_opts([setting.option for setting in SETTINGS])
    return conf


def read_settings(conf: Config, argv: Sequence[str]) -> Settings:
    """Read command line, environment and configuration files, in this order.

    Raises StartError for a file that cannot be read, or a value that cannot be used; it
    names the option as it was typed, the variable, or the file. An unknown option is
    usage and exit 2.
    """
    groups = {setting.option.dest: setting.group for setting in SETTINGS}
    options = [
        (option, groups.get(option.dest, "log")) for option in conf.on_command_line
    ]
    line = parse_command_line(options, argv, version("deepaas"))
    sources = _Sources(conf, line)
    try:
        _parse(conf, argv, sources)
        return _settings(conf, sources)
    except cfg.NoSuchOptError as error:
        raise StartError(
            f"${error.opt_name} in a value names no option; write $$ for a dollar sign"
        ) from error
    except cfg.Error as error:
        sources.check()
        raise StartError(str(error)) from error


def _parse(conf: Config, argv: Sequence[str], sources: "_Sources") -> None:
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            conf(
                list(argv),
                project="deepaas",
                prog=PROGRAM,
                version=version("deepaas"),
            )
    except SystemExit as error:  # a value in a file that cannot be used
        sources.check()
        raise StartError(said.getvalue().strip() or str(error)) from error
    sys.stderr.write(said.getvalue())


def _settings(conf: Config, sources: "_Sources") -> Settings:
    values = {}
    for setting in SETTINGS:
        value = conf[setting.option.dest]
        try:
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError("it is not a finite number")
            if setting.option.multi:
                source = sources.find(setting).name
                if source.startswith(VARIABLE_PREFIX):  # oslo.config splits it wrongly
                    listed = os.environ[source].split(",")
                    value = [one.strip() for one in listed if one.strip()]
                value = [Sourced(one, source) for one in value]
            if setting.read is not None:
                value = setting.read(value)
        except ValueError as error:
            raise StartError(f"{sources.find(setting).show(value)}: {error}") from error
        values[setting.field] = value
    return Settings(**values)


class _Source(NamedTuple):
    """The place of a value: an option, a variable, or a key of a file."""

    name: str
    form: str
    """The place with its value, as a format."""

    def show(self, value: object) -> str:
        """Return the place with its value."""
        text = ",".join(value) if isinstance(value, list) else str(value)
        return self.form.format(text)


class _Sources:
    """The places where the values of options are."""

    def __init__(self, conf: Config, line: CommandLine) -> None:
        self._options = conf.on_command_line
        self._line = line
        self._parsed: list[tuple[Path, dict[str, list[str]]]] | None = None

    def find(self, setting: Setting) -> _Source:
        """Return the place of the value that counts."""
        option = setting.option
        if option.dest in self._line.typed:
            name = self._line.typed[option.dest]
            return _Source(name, f"{name} {{}}")
        for source, _ in self._elsewhere(option):
            return source
        return _Source(f"--{option.name}", f"--{option.name} {{}}")

    def check(self) -> None:
        """Raise StartError for the first value that its option cannot have.

        Those of the command line are known to be good.
        """
        for option in self._options:
            for source, texts in self._elsewhere(option):
                for text in texts:
                    if problem := problem_with(option, text):
                        raise StartError(f"{source.show(text)}: {problem}")

    def _elsewhere(self, option: cfg.Opt) -> Iterator[tuple[_Source, list[str]]]:
        """Return the places besides the command line, those first that count more."""
        variable = _variable(option)
        if variable in os.environ:
            yield _Source(variable, f"{variable}={{}}"), [os.environ[variable]]
        keys = [option.dest, *(old.name for old in option.deprecated_opts)]
        for path, section in reversed(self._files()):
            for key in keys:
                if key in section:
                    form = f"{key} = {{}} in {_literal(path)}"
                    yield _Source(f"{key} in {path}", form), section[key]

    def _files(self) -> list[tuple[Path, dict[str, list[str]]]]:
        if self._parsed is None:
            found = _files_of(
                self._line.config_file or cfg.find_config_files("deepaas", PROGRAM),
                self._line.config_dir or cfg.find_config_dirs("deepaas", PROGRAM),
            )
            self._parsed = []
            for file in found:
                with contextlib.suppress(
                    cfg.Error, cfg.ParseError, OSError, ValueError
                ):
                    self._parsed.append((file, _sections(file).get("DEFAULT", {})))
        return self._parsed


def _literal(path: Path) -> str:
    return str(path).replace("{", "{{").replace("}", "}}")


def _variable(option: cfg.Opt) -> str:
    return f"{VARIABLE_PREFIX}{option.dest.upper()}"


def _files_of(files: Sequence[str], folders: Sequence[str]) -> list[Path]:
    """Return the configuration files that can be read again, in their order."""
    found = [Path(file).expanduser() for file in files]
    for folder in folders:
        found += sorted(Path(folder).expanduser().glob("*.conf"))
    return [file for file in found if file.is_file()]  # a pipe is read only once


def _sections(file: Path) -> dict[str, dict[str, list[str]]]:
    sections: dict[str, dict[str, list[str]]] = {}
    cfg.ConfigParser(str(file), sections).parse()
    return sections


def unread_names(conf: Config) -> Iterator[str]:
    """Give a warning for each key and each variable of ours that no option reads."""
    yield from unread_keys(conf)
    yield from _unread_variables()


def unread_keys(conf: Config) -> Iterator[str]:
    """Give a warning for each key of the configuration files that no option reads."""
    files = _files_of(conf.config_file, conf.config_dir)
    known = _known_keys() if files else set()
    for file in files:
        for section, keys in _sections(file).items():
            if section in conf.config_source:  # it describes a source of values
                continue
            for key in keys:
                if section != "DEFAULT":
                    remedy = "options stand under [DEFAULT]"
                elif key in known:
                    continue
                else:
                    remedy = did_you_mean(key, known).removeprefix("; ") or "no option"
                yield f"{file}: {key} under [{section}] is ignored: {remedy}"


def _unread_variables() -> Iterator[str]:
    """Give a warning for each environment variable that looks like one of ours."""
    known = {f"{VARIABLE_PREFIX}{key.upper()}" for key in _known_keys()}
    ours = {*known, MODELS_VARIABLE}
    for name in sorted(os.environ):
        if name in ours or name.startswith("DEEPAAS_TEST_"):
            continue
        meant = f"{VARIABLE_PREFIX}{name.removeprefix(OUR_PREFIX)}"
        if name.startswith(VARIABLE_PREFIX):
            remedy = did_you_mean(name, known, NEAR) or "; no option"
        elif name.startswith("OS_DEFAULT_"):
            remedy = did_you_mean(name, known, NEAR)
        elif name.startswith(OUR_PREFIX) and meant in known:
            remedy = f"; did you mean {meant}?"
        elif name.startswith("DEEP"):
            remedy = did_you_mean(name, [MODELS_VARIABLE], NEAR)
        else:
            continue
        if remedy:
            what = "The environment variable"
            yield f"{what} {name} is ignored: {remedy.removeprefix('; ')}"


def _known_keys() -> set[str]:
    """Return the keys of a configuration file that some option reads."""
    names = {"config_dir", "config_file", "config_source"}
    for entry in entry_points(group="oslo.config.opts"):
        if entry.name in ("deepaas", "oslo.log"):
            for _, options in entry.load()():
                for option in options:
                    names.add(option.dest)
                    names |= {old.name for old in option.deprecated_opts}
    return names
