"""ModelAdapter: a loaded model, and what its author declared. It has no HTTP.

It lives where the model's code runs: in a worker, or in deepaas-cli.
"""

import contextlib
import logging
import warnings
from collections.abc import Mapping
from typing import Any

import marshmallow

from deepaas.arguments import Arguments
from deepaas.arguments.annotations import read_annotations
from deepaas.arguments.crossing import pack_definition
from deepaas.encoding import encode_json
from deepaas.errors import StartError, authors_errors_or_exit, named, text_of
from deepaas.model.description import (
    ArgumentsDescription,
    ModelDescription,
    default_metadata,
)
from deepaas.model.examples import Addresses, addresses, find_examples
from deepaas.model.loading import ModelRef, batching, response_fields
from deepaas.model.mistakes import find_mistakes
from deepaas.model.places import defined_at, raised_at
from deepaas.tensors.fields import read_outputs

logger = logging.getLogger(__name__)


class CannotServe(StartError):
    """A model that cannot be served; `cause` says why, without the model's name."""

    def __init__(self, name: str, cause: str) -> None:
        super().__init__(f"The model {name!r} cannot be served: {cause}")
        self.cause = cause


class ModelAdapter:
    """A loaded model. Raises CannotServe when it cannot be served."""

    def __init__(self, ref: ModelRef, *model: Any) -> None:
        """Load the model, unless it is given because it is loaded already."""
        self.name = ref.name
        self._target = ref.target
        self.model = model[0] if model else self._load(ref)
        self.folder = ref.folder()
        """The folder of the author's files."""
        self.predict_args = self._arguments("predict")
        self.train_args = self._arguments("train")
        self.has_predict = any(map(self._method, ("predict", "predict_batch")))
        self.has_train = self._method("train") is not None
        try:
            self.mistakes = find_mistakes(
                self.model, predict=self.predict_args, train=self.train_args
            )
            """A line for each mistake that leaves the model fit to be served."""
            batching(self.model)
        except TypeError as error:
            raise self._error(str(error)) from error
        try:
            self.response = response_fields(self.model)
            _resolve(self.response)
        except NotImplementedError:
            self.response = None
        except authors_errors_or_exit() as error:
            cause = text_of(error).removeprefix("schema ")
            place = raised_at(error, self._target)
            raise self._error(f"schema: {cause}{place}") from error

    def _load(self, ref: ModelRef) -> Any:
        try:
            return ref.load()
        except authors_errors_or_exit() as error:
            place = raised_at(error, ref.target)
            cause = f"{ref.target} does not load: {named(error)}{place}"
            raise self._error(cause) from error

    def _arguments(self, method: str) -> Arguments:
        """Read the arguments of a method: the author's, else its annotations."""
        name = f"get_{method}_args"
        function = self._method(name)
        try:
            with contextlib.suppress(NotImplementedError):
                if function is not None:
                    return Arguments(function())
            name, function = method, self._method(method)
            annotated = read_annotations(function)
            if annotated is None:
                return Arguments({})
            return Arguments(annotated.fields, annotated.description)
        except authors_errors_or_exit() as error:
            place = raised_at(error, self._target) or defined_at(function)
            raise self._error(f"{name}: {named(error)}{place}") from error

    def _method(self, name: str) -> Any:
        method = getattr(self.model, name, None)
        if method is not None and not callable(method):
            raise self._error(f"{name} is not a function, but {method!r}")
        return method

    def _error(self, cause: str) -> CannotServe:
        return CannotServe(self.name, cause)

    def describe(self, *, documented: bool = False) -> ModelDescription:
        """Describe the model for the server.

        `documented` adds what the documents need, which takes a tenth of a second the
        first time, and raises what the author's schemas raise.
        """
        arguments = {"predict": self.predict_args, "train": self.train_args}
        examples, ignored = find_examples(self.name, self.folder, arguments)
        documents = None
        if documented:
            documents = self._document(arguments, addresses(self.name, examples))
        return ModelDescription(
            name=self.name,
            has_predict=self.has_predict,
            has_train=self.has_train,
            has_response=self.response is not None,
            batched=batching(self.model) is not None,
            outputs=tuple(read_outputs(self.response).items()),
            predict=_describe(self.predict_args),
            train=_describe(self.train_args),
            examples=examples,
            warnings=(*(f"{self.name}: {line}" for line in self.mistakes), *ignored),
            documents=documents,
        )

    def _document(
        self, arguments: Mapping[str, Arguments], examples: Mapping[str, Addresses]
    ) -> bytes:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the model may have made them errors
            # apispec, which this imports, is not needed to compute.
            from deepaas.documents.fragments import Declared, write_fragments

            declared = Declared(self.name, self.response, arguments, examples)
            return write_fragments(declared)

    def read_metadata(self) -> dict[str, Any]:
        """Read the model's metadata again; that of a model which fails is its name."""
        described = self._read_metadata()
        if not described:
            return default_metadata(self.name)
        return {"id": self.name, "name": self.name, **described}

    def _read_metadata(self) -> Mapping[str, Any]:
        get = self._method("get_metadata")
        try:
            described = get() if get is not None else {}
            encode_json({"models": [described]})  # the deepest place where it is
        except NotImplementedError:
            return {}
        except authors_errors_or_exit() as error:
            cause = error.__context__  # of aiohttp's exceptions with odd reasons
            why = f"{named(error)}, after {named(cause)}" if cause else named(error)
            logger.warning("%s: get_metadata failed: %s", self.name, why)
            return {}
        return described if isinstance(described, Mapping) else {}


def _describe(arguments: Arguments) -> ArgumentsDescription:
    return ArgumentsDescription(
        items=tuple(item.facts() for item in arguments.items),
        negotiation=arguments.negotiation,
        takes_cookies=arguments.takes_cookies,
        definition=pack_definition(arguments),
        description=arguments.description,
    )


def _resolve(response: Mapping[str, Any] | type | None) -> None:
    """Find the schemas that a schema nests by name. Raises RegistryError."""
    if response is None:
        return
    if isinstance(response, Mapping):
        response = marshmallow.Schema.from_dict(dict(response))
    nested = marshmallow.fields.Nested
    fields, seen = list(response().fields.values()), set()
    while fields:
        field = fields.pop()
        if isinstance(field, nested) and type(field.schema) not in seen:
            seen.add(type(field.schema))
            fields += field.schema.fields.values()
        within = (getattr(field, name, None) for name in ("inner", "value_field"))
        fields += [one for one in within if one is not None]
