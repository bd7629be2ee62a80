"""PUBLIC: how files reach a model and come back from it."""

from typing import NamedTuple


class UploadedFile(NamedTuple):
    """A file that a caller sent, as `predict` and `train` receive it.

    The file lies on disk until the call ends; copy it to keep it longer.
    """

    name: str | None = None
    """Name of the argument."""
    filename: str | None = None
    """Path of the file on disk. It ends in the suffix of the original name."""
    content_type: str | None = None
    """Media type that the caller gave, for example `image/png`."""
    original_filename: str | None = None
    """The caller's name for the file, without any folder."""


class ReturnedFile(NamedTuple):
    """A file that a model gives back, with its name and media type."""

    name: str | None = None
    """Name of the result, for the model's own use."""
    filename: str | None = None
    """Path of the file on disk."""
    content_type: str | None = None
    """Media type; guessed from the name where it is None."""
    original_filename: str | None = None
    """The name under which the caller receives the file."""
