"""Reads the values of options from their texts. Raises ValueError for wrong ones."""

import os
import re

from deepaas.naming import Sourced, did_you_mean

AUTO = "auto"
"""The value of --train-workers that leaves the number to the server."""

ORIGIN = re.compile(
    r"([a-z][a-z0-9+.-]*://(?:[^\s/?#@,:]+|\[[0-9a-f:.]+\])(?::\d+)?)/?"
)


MODELS_VARIABLE = "DEEPAAS_V2_MODEL"
"""The environment variable that names the models, separated by commas."""


def read_base_path(path: str) -> str:
    path = path.strip("/")
    if not re.fullmatch(r"[A-Za-z0-9._~%/-]*", path):
        raise ValueError("it has characters that a path cannot have")
    return f"/{path}".replace("%", "%25") if path else ""  # it is literal


def read_names(names: list[str]) -> list[str]:
    """Returns the names of models, by default those in the environment."""
    if names:
        return names
    listed = os.environ.get(MODELS_VARIABLE, "").split(",")
    return [Sourced(one.strip(), MODELS_VARIABLE) for one in listed if one.strip()]


def read_origins(texts: list[str]) -> list[str]:
    return [read_origin(text) for text in texts]


def read_origin(text: str) -> str:
    """Returns an origin as browsers send it (RFC 6454)."""
    found = ORIGIN.fullmatch(text.strip().lower())
    if text != "*" and found is None:
        raise ValueError(f"{text!r} is not an origin, such as https://app.example.org")
    return "*" if found is None else found[1]


def read_gpus(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")] if text.strip() else []
    if not all(names):
        raise ValueError("it leaves out a GPU")
    return names


def read_resources(texts: list[str]) -> list[tuple[str, float]]:
    return [read_resource(text) for text in texts]


def read_resource(text: str) -> tuple[str, float]:
    found = re.fullmatch(r"\s*([^\s=]+)\s*=\s*([0-9]+(\.[0-9]+)?)\s*", text)
    if found is None:
        raise ValueError(f"{text!r} is not NAME=N, such as large=1")
    return found[1], float(found[2])


def read_train_workers(text: str) -> int | None:
    if text == AUTO:
        return None
    if not re.fullmatch(r"[0-9]+", text):
        raise ValueError(
            f"it is neither a number nor {AUTO}{did_you_mean(text, [AUTO])}"
        )
    return int(text)


def read_path(path: str | None) -> str:
    return path or ""
