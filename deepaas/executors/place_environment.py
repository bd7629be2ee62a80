"""The environment of a model on a node: the node's, with what a server adds."""

import os
from collections.abc import Mapping

KEPT_VARIABLES = ("HOME", "PATH", "HOSTNAME", "PWD", "USER", "LOGNAME", "SHELL")
KEPT_PREFIXES = (
    "CUDA_",
    "KUBERNETES_",
    "LD_",
    "NVIDIA_",
    "PYTHON",
    "RAY_",
    "TEMP",
    "TMP",
    "VIRTUAL_ENV",
    "XDG_",
)
"""Variables that describe a machine or an installation: the node's own count."""


def node_environment(server: Mapping[str, str]) -> dict[str, str]:
    """Return this process's variables, and those of a server that it has not set."""
    added = {
        name: value
        for name, value in server.items()
        if name not in KEPT_VARIABLES and not name.startswith(KEPT_PREFIXES)
    }
    return added | dict(os.environ)
