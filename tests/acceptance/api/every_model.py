"""Every model of the tests that can be served, some at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.server import MODELS, Server

REFUSED = {
    "bad_accept",
    "bad_args",
    "bad_schema",
    "broken_import",
    "exit_on_import",
    "misspelt",
}
"""Models that prevent the start of a server."""

NEEDS_PATH = ("GATES", "WARM_MARK")
"""Environment variables that models read."""

ALL = sorted({path.stem for path in MODELS.glob("*.py")} - REFUSED)

GROUP = 12
"""Number of models per server, so that it starts in time on a small machine."""

in_groups = pytest.mark.parametrize(
    "names",
    [ALL[at : at + GROUP] for at in range(0, len(ALL), GROUP)],
    ids=lambda names: f"from-{names[0]}",
)
"""Parametrizes a test with the names of the models of each group."""


def serve_group(
    serve: Serve, names: Sequence[str], folder: Path, *options: str
) -> Server:
    """Start a server with these models, which are not warmed."""
    models = [f"--model={name}={MODELS / name}.py" for name in names]
    env = dict.fromkeys(NEEDS_PATH, str(folder / "path"))
    return serve("--nowarm", *models, *options, env=env, errors_expected=True)
