"""Arguments: from values, by the callers' names, to keyword arguments."""

import logging
from collections.abc import Mapping
from typing import Any, NoReturn

import marshmallow
from marshmallow import EXCLUDE, missing

from deepaas.arguments.definition import (
    EVERYWHERE,
    Argument,
    read_argument,
    read_locations,
    read_schema,
)
from deepaas.arguments.lists import load_tensor, unpack
from deepaas.arguments.redaction import show
from deepaas.errors import InvalidArguments, authors_errors_or_exit, named, text_of
from deepaas.negotiation import Negotiation

logger = logging.getLogger(__name__)


class Arguments:
    """The arguments of `predict` or `train`.

    `definition` is what the author's `get_..._args` returned. Raises TypeError or
    ValueError for anything that is not a definition. The author's objects are never
    modified: marshmallow copies the fields of a schema for each of its instances.
    `description` is the docstring of a method whose annotations are its arguments.
    """

    def __init__(self, definition: Any, description: str | None = None) -> None:
        self.description = description
        """None if the author defines the arguments."""
        self.schema = read_schema(definition)
        # A field may name another attribute, as a path even; that is the schema's work.
        self._own_schema = not isinstance(definition, Mapping) or any(
            field.attribute for field in self.schema.load_fields.values()
        )
        """The schema is the author's, and may hold more than fields."""
        fields = self.schema.load_fields
        locations = {
            name: read_locations(name, field) for name, field in fields.items()
        }
        if any("form" in where for where in locations.values() if where != EVERYWHERE):
            # A body is a form or JSON: beside a file, JSON values come in the form.
            for name, where in locations.items():
                if where == ("json",):
                    locations[name] = ("json", "form")
        self.negotiation = None
        if "accept" in fields:
            # Its header is negotiated; a plain value counts wherever it is.
            self.negotiation = Negotiation(fields["accept"])
            locations["accept"] = EVERYWHERE
        self.items = [
            read_argument(name, field, locations[name])
            for name, field in fields.items()
        ]
        self._loads = [
            (item.name, item.attribute, load_tensor(item.field)) for item in self.items
        ]
        names = {argument.name: argument for argument in self.items}
        lists = {f"{item.name}[]": item for item in self.items if item.is_list}
        self.by_name: Mapping[str, Argument] = {**lists, **names}
        """The arguments by all the names that callers may use."""
        self.takes_cookies = any("cookies" in item.locations for item in self.items)

    def names_given(self) -> Mapping[str, bool] | None:
        """Return the names of the keyword arguments that the model receives.

        Each with whether every call has it. None if the author's schema may give
        others than those of its fields, or if they are the model's annotations.
        """
        if self.description is not None:
            return None
        kind = type(self.schema)
        own_load = kind.load is not marshmallow.Schema.load
        if self._own_schema and (own_load or kind._hooks.get("post_load")):
            return None
        return {
            item.field.attribute or item.attribute: item.attribute == "accept"
            or item.field.required
            or item.field.load_default is not missing
            for item in self.items
        }

    def load(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Validate values by the callers' names; return them by the model's.

        Raises InvalidArguments.
        """
        try:
            loaded = self._load(values)
        except marshmallow.ValidationError as error:
            raise InvalidArguments(_by_argument(error)) from error
        except authors_errors_or_exit() as error:  # from the author's own fields
            self._name_failures(values, error)
        if self.negotiation is not None and "accept" in loaded:
            loaded["accept"] = self.negotiation.settle(loaded["accept"])
        return loaded

    def _load(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Do what the schema's `load` does: half of that is for schemas of authors."""
        if self._own_schema:
            values = {name: unpack(value) for name, value in values.items()}
            loaded: dict[str, Any] = self.schema.load(values, unknown=EXCLUDE)
            return loaded
        loaded, errors = {}, {}
        for name, attribute, load in self._loads:
            try:
                value = load(values.get(name, missing), name, values)
            except marshmallow.ValidationError as error:
                errors[name] = error.messages
            else:
                if value is not missing:
                    loaded[attribute] = value
        if errors:
            raise marshmallow.ValidationError(errors)
        return loaded

    def show(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return loaded arguments as JSON values, by the callers' names.

        A file is shown without its place on disk, a `load_only` argument as `***`.
        """
        return show(self.schema, self.items, kwargs)

    def accepted(self, kwargs: Mapping[str, Any]) -> str | None:
        """Return the media type that was negotiated, None where none was."""
        accept = kwargs.get("accept") if self.negotiation else None
        return accept if isinstance(accept, str) else None

    def negotiate(self, values: dict[str, Any], header: str = "") -> None:
        """Choose a media type by an Accept header if no value names one.

        Raises InvalidArguments or NotAcceptable.
        """
        if self.negotiation is None:
            return
        name = self.negotiation.name
        if values.get(name):
            self.negotiation.check(values[name])
            return
        values.pop(name, None)
        if (choice := self.negotiation.choose(header)) is not None:
            values[name] = choice

    def _name_failures(
        self, values: Mapping[str, Any], error: BaseException
    ) -> NoReturn:
        """Return messages on the arguments whose field fails on their value."""
        # Its text may hold the value, which may be a secret.
        logger.warning("A field or validator raised %s.", type(error).__name__)
        messages = {}
        for argument in self.items:
            try:
                argument.field.deserialize(
                    unpack(values.get(argument.name, missing)),
                    argument.name,
                    values,
                )
            except authors_errors_or_exit() as broken:
                messages[argument.name] = [named(broken)]
        raise InvalidArguments(messages or {"_schema": [text_of(error)]}) from error


def _by_argument(error: marshmallow.ValidationError) -> dict[str, Any]:
    messages = error.messages
    return messages if isinstance(messages, dict) else {"_schema": messages}
