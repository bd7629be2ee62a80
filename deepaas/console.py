"""The lines for the person who starts `deepaas-run`, on standard output."""

import contextlib
import ipaddress
import sys
from collections import Counter
from collections.abc import Collection

from deepaas.config import Settings
from deepaas.executors import ExecutorStatus, Local


def say(text: str) -> None:
    """Print a line, if someone still reads it, in what the locale can encode."""
    encoding = sys.stdout.encoding or "utf-8"
    text = text.encode(encoding, "backslashreplace").decode(encoding)
    with contextlib.suppress(OSError, ValueError):  # ValueError: it was closed
        print(text, flush=True)


def describe_ready(model: str, seconds: float, where: Local, *, trains: bool) -> str:
    """Return the line for a model whose workers are warm after so many seconds."""
    parts = [f"{model}: ready in {seconds:.1f} s", _count(where.workers, "worker")]
    if trains:
        parts.append(_describe_trainings(where))
    return ", ".join(parts)


def _describe_trainings(where: Local) -> str:
    if where.train_workers == 1:
        return "trainings in a process of their own"
    if where.train_workers:
        return f"trainings in up to {where.train_workers} processes of their own"
    if where.workers == 1:
        return "trainings in this worker: predictions wait meanwhile"
    return "trainings in these workers, except in the last free one"


def describe_addresses(settings: Settings, host: str, port: int) -> list[str]:
    """Return the lines that say where the page, the API and the rest are."""
    scheme = "https" if settings.tls_cert else "http"
    url = f"{scheme}://{_openable(host)}:{port}{settings.base_path}"
    lines = []
    if settings.doc_endpoint:
        lines.append(f"The page is at           {url}/ui/")
    lines.append(f"The API is at            {url}/v2/")
    if settings.doc_endpoint:
        lines.append(f"Its documentation is at  {url}/api")
    lines.append(f"The models are at        {url}/v2/models/")
    return lines


def _openable(host: str) -> str:
    """Return an address that a browser on this machine can open."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if address.is_unspecified:  # it means every address of the machine
        return "127.0.0.1" if address.version == 4 else "[::1]"
    return f"[{host}]" if address.version == 6 else host


def describe_stop(statuses: Collection[ExecutorStatus], grace: float) -> str:
    """Return the line for a server that was told to stop: what it waits for."""
    running: Counter[str] = Counter()
    waiting: Counter[str] = Counter()
    for status in statuses:
        running.update(status.running)
        waiting.update(status.waiting)
    trainings = running["train"]
    predictions = running.total() - trainings
    parts = []
    if predictions:
        parts.append(
            f"{_count(predictions, 'prediction')} may run for {grace:g} s more"
        )
    if trainings:
        parts.append(f"{_count(trainings, 'training')} cannot finish")
    if waiting.total():
        parts.append(f"{_count(waiting.total(), 'waiting call')} cannot begin")
    if not parts:
        return "Stopping."
    return f"Stopping: {', '.join(parts)}. A second signal (Ctrl-C) ends all at once."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
