"""From entry points to models: finds them, and loads one by its reference."""

import importlib
import importlib.util
import math
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from deepaas.errors import StartError
from deepaas.model.webargs5 import import_webargs

GROUP = "deepaas.v2.model"

MAX_BATCH_SIZE = 32
"""Calls that a model with `predict_batch` takes at once, if it does not say."""


@dataclass(frozen=True)
class ModelRef:
    """Where a model is, not the model: crosses processes, is loaded on either side."""

    name: str
    target: str
    """`package.module[:attribute]`, or the path of a `.py` file, `[:attribute]`."""

    def load(self) -> Any:
        """Import the model; a class is instantiated.

        Raises whatever the author's code raises.
        """
        import_webargs()  # most models do, and its own way is slow
        where, _, attribute = self._split()
        if where.endswith(".py"):
            model: Any = _import_file(Path(where), self.name)
        else:
            model = importlib.import_module(where)
        for part in attribute.split(".") if attribute else ():
            model = getattr(model, part)
        return model() if isinstance(model, type) else model

    def _split(self) -> tuple[str, str, str]:
        # A path may hold a colon; an attribute holds no slash.
        where, colon, attribute = self.target.rpartition(":")
        if not colon or "/" in attribute or attribute.endswith(".py"):
            return self.target, "", ""
        return where, colon, attribute.strip()


def _import_file(path: Path, name: str) -> ModuleType:
    module_name = f"_deepaas_model_{name}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.append(folder)  # so that the file can import its neighbours
    module = importlib.util.module_from_spec(spec)
    # Arguments are pickled by module name, so the module must be found by it.
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    return module


def find_models(
    names: Iterable[str] = (), targets: Iterable[str] = ()
) -> list[ModelRef]:
    """Find the models to serve, sorted by name.

    `targets` are `NAME=TARGET` strings beside the installed entry points; `names`
    limits the result to those named. Raises StartError when there is no model, when a
    name is unknown or cannot be served, and when two models share a name.
    """
    found: dict[str, str] = {}
    for name, target in [*_installed(), *map(_parse_target, targets)]:
        if found.setdefault(name, target) != target:
            raise StartError(
                f"Two models are named {name!r}: {found[name]} and {target}.\n"
                "Uninstall one of them, or serve one with --model OTHER-NAME=TARGET."
            )
    if not found:
        raise StartError(
            "There is no model to serve.\n"
            f"Install a package with an entry point in the group {GROUP!r},\n"
            "or name one: --model NAME=package.module (or a .py file)."
        )
    wanted = list(dict.fromkeys(names)) or sorted(found)
    unknown = [name for name in wanted if name not in found]
    if unknown:
        raise StartError(
            f"There is no model named {', '.join(map(repr, unknown))}. "
            f"These are installed: {', '.join(sorted(found))}."
        )
    for name in wanted:
        _check_name(name)
    return [ModelRef(name, found[name]) for name in sorted(wanted)]


def _check_name(name: str) -> None:
    """Raise StartError for a model's name that cannot be a part of an address."""
    # Clients resolve dot segments before they send a path (RFC 3986, 5.2.4).
    if name in (".", "..") or not name.isprintable():
        raise StartError(
            f"A model cannot be named {name!r}: a name is printable text, and neither "
            "'.' nor '..'.\n"
            "Serve it under another one: --model OTHER-NAME=TARGET."
        )


def _installed() -> list[tuple[str, str]]:
    from importlib.metadata import entry_points  # a worker has no use for it

    return [
        (point.name, f"{point.module}:{point.attr}" if point.attr else point.module)
        for point in entry_points(group=GROUP)
    ]


def _parse_target(text: str) -> tuple[str, str]:
    name, equals, target = text.partition("=")
    name, target = name.strip(), target.strip()
    if not (name and equals and target):
        raise StartError(f"--model takes NAME=TARGET, not {text!r}.")
    if ".py" in target:
        target = os.path.abspath(target)
    return name, target


class Batching(NamedTuple):
    """How many calls a model takes at once."""

    max_size: int
    timeout: float
    """Seconds that the first call of a batch may wait for others."""


def batching(model: Any) -> Batching | None:
    """Return how a model with `predict_batch` wants its calls; None for one without.

    Raises TypeError for a `max_batch_size` that is no positive int, or a
    `batch_timeout` that is no number of seconds.
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
