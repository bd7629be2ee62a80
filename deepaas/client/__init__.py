"""A client for Python: calls the models of a server, and follows its jobs.

    from deepaas.client import Client

    with Client("http://127.0.0.1:5000") as client:
        model = client.model("digits")
        print(model.predict(data="three.png").value)

`AsyncClient` does the same in coroutines. To install it: `pip install deepaas[client]`.
"""

try:
    import httpx  # noqa: F401
    import httpx_sse  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"deepaas.client needs the package {error.name}: pip install 'deepaas[client]'"
    ) from None

from deepaas.client.arguments import File
from deepaas.client.asynchronous import AsyncClient, AsyncJob, AsyncModel
from deepaas.client.errors import (
    CallFailed,
    ClientError,
    InvalidArguments,
    JobFailed,
    StreamFailed,
    Unavailable,
    Unreachable,
)
from deepaas.client.results import JobRecord, Prediction, Progress
from deepaas.client.sync import Client, Job, Model

__all__ = [
    "AsyncClient",
    "AsyncJob",
    "AsyncModel",
    "CallFailed",
    "Client",
    "ClientError",
    "File",
    "InvalidArguments",
    "Job",
    "JobFailed",
    "JobRecord",
    "Model",
    "Prediction",
    "Progress",
    "StreamFailed",
    "Unavailable",
    "Unreachable",
]
