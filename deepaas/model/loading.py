"""From entry points to models: finds them, and loads one by its reference."""

import importlib
import importlib.util
import math
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from deepaas.errors import StartError
from deepaas.model.webargs5 import import_webargs
from deepaas.naming import did_you_mean, source_of

GROUP = "deepaas.v2.model"

MAX_BATCH_SIZE = 32
"""Calls that a model with `predict_batch` takes at once, if it does not say."""


@dataclass(frozen=True)
class ModelRef:
    """The location of a model. Crosses processes, and is loaded on either side."""

    name: str
    target: str
    """`package.module[:attribute]`, or the absolute path of a file, `[:attribute]`."""
    import_folder: str = ""
    """The working folder, where the target of `--model` may be; empty for none."""

    @property
    def where(self) -> str:
        """Return the module, or the absolute path of the file."""
        return _split(self.target)[0]

    def load(self) -> Any:
        """Import the model; a class is instantiated.

        Raises any exception that the author's code raises.
        """
        import_webargs()  # most models do, and its own way is slow
        where, attribute = _split(self.target)
        if os.path.isabs(where):
            model: Any = self._load_file(where)
        else:
            _put_first_on_path(self.import_folder)
            model = importlib.import_module(where)
        for part in attribute.split(".") if attribute else ():
            model = getattr(model, part)
        return model() if isinstance(model, type) else model

    def _load_file(self, path: str) -> ModuleType:
        name, folder = _module_of(path)
        _put_first_on_path(folder)
        if self.import_folder not in ("", *sys.path):
            sys.path.append(self.import_folder)
        if "." in name:  # no import statement finds a name with a dot
            return _execute_file(path, f"_deepaas_model_{self.name}")
        return _import_file(path, name)

    def folder(self) -> Path | None:
        """Return the folder of a loaded model's package, or of its file.

        None for a package that is in no folder.
        """
        where, _ = _split(self.target)
        if os.path.isabs(where):
            return Path(where).parent
        names = where.split(".")
        for end in range(1, len(names) + 1):
            # A namespace package has no file, and is in many folders.
            package = sys.modules.get(".".join(names[:end]))
            if (file := getattr(package, "__file__", None)) is not None:
                return Path(file).parent
        return None


def _split(target: str) -> tuple[str, str]:
    """Split a target into module or path, and attribute, which may be empty."""
    # A path may hold a colon; an attribute holds no slash.
    where, colon, attribute = target.rpartition(":")
    if not colon or "/" in attribute or attribute.endswith(".py"):
        return target, ""
    return where, attribute.strip()


def _is_path(where: str) -> bool:
    return where.endswith(".py") or os.path.isfile(where)


def _module_of(path: str) -> tuple[str, str]:
    """Return the name under which a file is imported, and its folder."""
    file = Path(path)
    if file.name == "__init__.py":
        return file.parent.name, str(file.parent.parent)
    return file.stem, str(file.parent)


def _put_first_on_path(folder: str) -> None:
    """Put a folder first on the import path of this process."""
    if folder:
        sys.path[:] = [folder, *(entry for entry in sys.path if entry != folder)]


def _import_file(path: str, name: str) -> ModuleType:
    """Import a file by its name, as other processes can; its folder is on the path."""
    importlib.invalidate_caches()
    spec = importlib.util.find_spec(name)
    if spec is None or not _is_same_file(spec.origin, path):
        return _execute_file(path, name)  # for example `model`, without a suffix
    return importlib.import_module(name)


def _execute_file(path: str, name: str) -> ModuleType:
    """Import a file under any name."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None:  # its suffix says nothing
        loader = SourceFileLoader(name, path)
        spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _is_same_file(one: str | None, other: str) -> bool:
    try:
        return one is not None and os.path.samefile(one, other)
    except OSError:  # "built-in" is not a file
        return False


def find_models(
    names: Iterable[str] = (), targets: Iterable[str] = ()
) -> list[ModelRef]:
    """Find the models to serve, sorted by name.

    `targets` are `NAME=TARGET` strings. These models are served and those that `names`
    lists; with neither, all installed ones. Raises StartError when no model is found,
    when a name is unknown or cannot be served, when two models share a name, and for a
    file that is missing or hides an installed module.
    """
    found: dict[str, set[ModelRef]] = {}
    for ref in _installed():
        found.setdefault(ref.name, set()).add(ref)
    given: dict[str, set[ModelRef]] = {}
    for ref in map(_parse_target, targets):
        given.setdefault(ref.name, set()).add(ref)
    found |= given  # one of --model goes before an installed one of its name
    if not found:
        raise StartError(
            "There is no model to serve.\n"
            f"Install a package with an entry point in the group {GROUP!r},\n"
            "or name one: --model NAME=package.module (or a .py file)."
        )
    wanted = {*names, *given} or {*found}
    unknown = sorted(wanted - found.keys())
    if unknown:
        raise StartError(
            f"No model is named {', '.join(map(_named, unknown))}"
            f"{did_you_mean(unknown[0], found) or '.'} "
            f"These are installed: {', '.join(sorted(found))}."
        )
    for name in wanted:
        _check_name(name)
    return [_only(found[name]) for name in sorted(wanted)]


def _named(name: str) -> str:
    """Return a name with the variable or the file that it came from."""
    source = source_of(name, "")
    return repr(str(name)) if source[:1] in ("", "-") else f"{str(name)!r} ({source})"


def _only(refs: set[ModelRef]) -> ModelRef:
    """Return the only model of a name. Raises StartError."""
    ref, *others = sorted(refs, key=lambda ref: ref.target)
    if others:
        targets = " and ".join(ref.target for ref in (ref, *others))
        raise StartError(
            f"Two models are named {ref.name!r}: {targets}.\n"
            "Uninstall one of them, or serve one with --model OTHER-NAME=TARGET."
        )
    return ref


def _check_name(name: str) -> None:
    """Raise StartError for a model's name that cannot be a part of an address."""
    # Clients resolve dot segments before they send a path (RFC 3986, 5.2.4).
    if name in (".", "..") or not name.isprintable():
        raise StartError(
            f"A model cannot be named {name!r}: a name is printable text, and neither "
            "'.' nor '..'.\n"
            "Serve it under another one: --model OTHER-NAME=TARGET."
        )


def _installed() -> list[ModelRef]:
    from importlib.metadata import entry_points  # a worker does not need it

    return [
        ModelRef(p.name, f"{p.module}:{p.attr}" if p.attr else p.module)
        for p in entry_points(group=GROUP)
    ]


def _parse_target(text: str) -> ModelRef:
    name, equals, target = text.partition("=")
    name, target = name.strip(), target.strip()
    if not (name and equals and target):
        source = source_of(text, "--model")
        raise StartError(
            f"{source} takes NAME=TARGET, such as iris=iris.py, not {str(text)!r}."
        )
    where, attribute = _split(target)
    if _is_path(where):
        where = os.path.abspath(where)
        _check_file(name, where)
    target = f"{where}:{attribute}" if attribute else where
    return ModelRef(name, target, os.getcwd())


def _check_file(model: str, path: str) -> None:
    """Raise StartError for a file that is missing or that hides another module."""
    if not os.path.isfile(path):
        folder, file = os.path.split(path)
        near = did_you_mean(file, os.listdir(folder) if os.path.isdir(folder) else ())
        raise StartError(
            f"The model {model!r} cannot be served: no file {path}{near or '.'}"
        )
    name, _ = _module_of(path)
    if "." in name:
        return
    try:
        spec = importlib.util.find_spec(name)
        origin = None if spec is None else spec.origin  # a plain folder has none
    except ValueError:  # it is loaded, and does not say from where
        origin = "loaded already"
    if origin is not None and not _is_same_file(origin, path):
        raise StartError(
            f"The model {model!r} cannot be served: {path} hides the module {name!r} "
            f"({origin}). Rename the file."
        )


class Batching(NamedTuple):
    """The limits of a model's batches."""

    max_size: int
    timeout: float
    """Seconds that the first call of a batch may wait for others."""


def batching(model: Any) -> Batching | None:
    """Return the batching of a model with `predict_batch`; None for one without.

    Raises TypeError unless `max_batch_size` is a positive int and `batch_timeout` a
    number of seconds.
    """
    if not callable(getattr(model, "predict_batch", None)):
        return None
    max_size = getattr(model, "max_batch_size", MAX_BATCH_SIZE)
    timeout = getattr(model, "batch_timeout", 0.0)
    if type(max_size) is not int or max_size < 1:
        raise TypeError(f"max_batch_size must be a positive int, not {max_size!r}")
    if not isinstance(timeout, int | float) or not 0 <= timeout < math.inf:
        raise TypeError(f"batch_timeout must be seconds, not {timeout!r}")
    return Batching(max_size, float(timeout))


def response_fields(model: Any) -> Mapping[str, Any] | type | None:
    """Return the model's `schema`: a dict of fields, a Schema class, or None.

    Raises TypeError for anything else.
    """
    schema = getattr(model, "schema", None)
    if schema is None:
        return None
    import marshmallow

    if isinstance(schema, type) and issubclass(schema, marshmallow.Schema):
        return schema
    if isinstance(schema, Mapping) and all(map(is_field, schema.values())):
        return schema
    raise TypeError(
        "schema must be a dict of marshmallow fields or a marshmallow Schema class, "
        f"not {schema!r}"
    )


def is_field(value: Any) -> bool:
    """Tell whether a value is a marshmallow field, or a class of them."""
    import marshmallow

    field = marshmallow.fields.Field
    return isinstance(value, field) or (
        isinstance(value, type) and issubclass(value, field)
    )
