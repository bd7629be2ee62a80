"""The argument `accept`: which media type a caller gets (RFC 9110, section 12.5.1)."""

import functools
from collections.abc import Iterator
from typing import Any

import marshmallow
import mimeparse

from deepaas.errors import InvalidArguments, NotAcceptable
from deepaas.media_types import JSON, is_media_type, weighted

ANY = "*/*"


class Negotiation:
    """The choices of one model, known at start. It can be pickled.

    Raises ValueError for a choice that is not a media type.
    """

    def __init__(self, field: marshmallow.fields.Field) -> None:
        self.name = field.data_key or "accept"
        """The callers' name of the argument."""
        self._validated = _one_of(field)
        listed = self._validated or [*field.metadata.get("enum", ())]
        self.choices = [choice for choice in listed if choice != ANY]
        """Media types, the author's order; empty where any type is allowed."""
        for choice in self.choices:
            if not (isinstance(choice, str) and is_media_type(choice)):
                raise ValueError(f"accept: {choice!r} is not a media type")
        default = field.load_default
        if default is marshmallow.missing:
            default = ANY
        self._default = default if isinstance(default, str) else None
        """The default, `*/*` if there is none; None for one that is the field's own."""
        self.choose = functools.lru_cache(maxsize=256)(self._choose)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "choose"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.choose = functools.lru_cache(maxsize=256)(self._choose)

    @property
    def _fallback(self) -> str | None:
        """The choice for a caller without a preference; None leaves it to the field."""
        if self._default == ANY:
            return self._first
        return None

    @property
    def _first(self) -> str:
        return self.choices[0] if self.choices else JSON

    def check(self, explicit: object) -> None:
        """Refuse a value in query or form that the field's validator lets pass.

        Raises InvalidArguments.
        """
        if self.choices and not self._validated and explicit not in self.choices:
            message = f"Must be one of: {', '.join(self.choices)}."
            raise InvalidArguments({self.name: [message]})
        if not self.choices and not (
            isinstance(explicit, str) and is_media_type(explicit)
        ):
            raise InvalidArguments({self.name: ["Not a media type."]})

    def settle(self, value: object) -> object:
        """Return what the model receives for a loaded value: never `*/*`."""
        return self._first if value == ANY else value

    def _choose(self, header: str) -> str | None:
        """Choose by an Accept header, an empty one if there is none.

        None leaves the choice to the field's default. Raises NotAcceptable.
        """
        ranges = list(_parse(header))
        if not header.strip():
            return self._fallback
        if not self.choices:
            return self._choose_freely(ranges)
        qualities = {
            choice: mimeparse.quality_parsed(choice.lower(), ranges)
            for choice in self.choices
        }
        best = max(qualities.values())
        if best <= 0:
            raise NotAcceptable(
                f"None of {header!r} is among what the model returns: "
                f"{', '.join(self.choices)}."
            )
        if self._default is not None and qualities.get(self._default) == best:
            return self._default
        return next(choice for choice in self.choices if qualities[choice] == best)

    def _choose_freely(
        self, ranges: list[tuple[str, str, dict[str, str]]]
    ) -> str | None:
        concrete = [r for r in ranges if "*" not in (r[0], r[1]) and float(r[2]["q"])]
        if not concrete:
            return self._fallback
        kind, subtype, _ = max(concrete, key=lambda r: float(r[2]["q"]))
        return f"{kind}/{subtype}"


def _one_of(field: marshmallow.fields.Field) -> list[str]:
    for validator in field.validators:
        if isinstance(validator, marshmallow.validate.OneOf):
            return [str(choice) for choice in validator.choices]
    return []


def _parse(header: str) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield the media ranges of a header, without malformed ones."""
    for media_range, weight in weighted(header.lower()):
        if not is_media_type(media_range):
            continue
        try:
            kind, subtype, parameters = mimeparse.parse_media_range(media_range)
        except ValueError:
            continue
        yield kind, subtype, {**parameters, "q": str(weight)}
