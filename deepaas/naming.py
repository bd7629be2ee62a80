"""Names and values that people type: the source of one, and the nearest known one."""

import difflib
from collections.abc import Iterable
from typing import Any


class Sourced(str):
    """A text that knows the option, variable or file that it came from."""

    source: str

    def __new__(cls, text: str, source: str) -> "Sourced":
        """Return the text with its source, such as `--model-name`."""
        made = super().__new__(cls, text)
        made.source = source
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return str, (str(self),)


def source_of(text: str, default: str) -> str:
    """Return the source of a text, `default` if it does not know."""
    return text.source if isinstance(text, Sourced) else default


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known name that is most like this one, None if none is like it.

    Case, and a dash in place of an underscore, make no difference.
    """
    by_form = {_form(one): one for one in known}
    found = difflib.get_close_matches(_form(name), by_form, 1, cutoff)
    return by_form[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return `; did you mean NAME?`, or an empty text if no known name is like it."""
    found = nearest(name, known, cutoff)
    return f"; did you mean {found}?" if found else ""


def _form(name: str) -> str:
    return name.lower().replace("-", "_")
