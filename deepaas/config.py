"""Every option with its help, and the settings that come of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, TypeVar

from oslo_config import cfg

from deepaas.config_values import (
    AUTO,
    read_base_path,
    read_gpus,
    read_names,
    read_origins,
    read_path,
    read_resources,
    read_train_workers,
)

GROUPS = {
    "serve": "address, routes and shutdown",
    "models": "which models are served",
    "workers": "the processes in which the models run",
    "jobs": "trainings, and predictions in the background",
    "protection": "who may call, and with how much",
    "log": "what is logged, and where",
}
"""The groups of `deepaas-run --help`, in their order."""

T = TypeVar("T")


def _option(
    kind: type[cfg.Opt],
    value: T,
    help: str,
    *,
    name: str = "",
    group: str = "",
    read: Callable[[Any], T] | None = None,
    **details: Any,
) -> T:
    """Returns a field of `Settings` with the option that it is read from.

    `value` is the default of the field, and of the option too unless `details`, which
    are oslo.config's, have another. The option is named as the field, with dashes,
    unless it has a `name`. `group` is a key of GROUPS; without it, the option is in the
    group of the option before it. `read` makes the field's value of the option's, and
    raises ValueError, with the reason, for a bad one.
    """
    default = list(value) if isinstance(value, tuple) else value
    details = {"default": default, "help": help, **details}
    return field(default=value, metadata={"option": (kind, name, group, read, details)})


@dataclass(frozen=True)
class Settings:
    """The options' values, as the rest of the server takes them.

    This is the only list of the options: those of the command line and of configuration
    files are made of it. It has more than 15 attributes because each option is one
    field.
    """

    listen_ip: str = _option(
        cfg.HostAddressOpt,
        "127.0.0.1",
        "Address to listen on; 0.0.0.0 for all of this machine's.",
        group="serve",
    )
    listen_port: int = _option(
        cfg.PortOpt,
        5000,
        "Port to listen on; 0 for any free one.",
    )
    base_path: str = _option(
        cfg.StrOpt,
        "",
        "Path under which all routes are, for example /x behind a proxy.",
        read=read_base_path,
    )
    """As in a URL: empty, or beginning with a slash and ending without one."""
    trusted_proxies: Sequence[str] = _option(
        cfg.MultiStrOpt,
        (),
        "Address or network of a proxy whose X-Forwarded-For and "
        "X-Forwarded-Prefix are believed. May be repeated.",
        name="trusted-proxy",
        metavar="ADDRESS",
        group="protection",
    )
    auth_token_file: str = _option(
        cfg.StrOpt,
        "",
        "File of tokens, one a line. Only callers with one of them are answered, "
        "except for health. SIGHUP reads the file again.",
        metavar="FILE",
    )
    """Empty for none, as with the next paths."""
    open_metrics: bool = _option(
        cfg.BoolOpt,
        False,
        "Answer /metrics and /v2/debug/ without a token.",
    )
    tls_cert: str = _option(
        cfg.StrOpt,
        "",
        "Certificate chain in PEM; the server speaks HTTPS only then.",
        metavar="FILE",
    )
    tls_key: str = _option(
        cfg.StrOpt,
        "",
        "Its private key; without it, the certificate's file holds it.",
        metavar="FILE",
    )
    cors_origins: Sequence[str] = _option(
        cfg.MultiStrOpt,
        (),
        "Origin whose pages may call the API, for example "
        "https://app.example.org; * for any. May be repeated.",
        name="cors-origin",
        read=read_origins,
        metavar="ORIGIN",
    )
    model_names: Sequence[str] = _option(
        cfg.MultiStrOpt,
        (),
        "Serve only this installed model. May be repeated. The environment "
        "variable DEEPAAS_V2_MODEL does the same, names separated by commas.",
        name="model-name",
        read=read_names,
        metavar="NAME",
        group="models",
    )
    models: Sequence[str] = _option(
        cfg.MultiStrOpt,
        (),
        "Serve a model that has no entry point: package.module[:attribute], or "
        "the path of a .py file. Only the models of this option and of model-name are "
        "served. May be repeated.",
        name="model",
        metavar="NAME=TARGET",
    )
    reload: bool = _option(
        cfg.BoolOpt,
        False,
        "Watch the Python files of the models, and replace their workers when one "
        "changes; for development.",
    )
    workers: int = _option(
        cfg.IntOpt,
        1,
        "Worker processes of each model.",
        short="p",
        min=1,
        group="workers",
    )
    train_workers: int | None = _option(
        cfg.StrOpt,
        None,
        "Worker processes of each model for trainings, started when needed; with "
        "0, trainings share the workers, and never take the last of several. auto: 1 "
        "where no GPU is visible, else 0.",
        read=read_train_workers,
        metavar="N",
        default=AUTO,
    )
    """None means that the server chooses."""
    warm: bool = _option(
        cfg.BoolOpt,
        True,
        "Warm the model in every worker before the first call.",
    )
    warm_timeout: float = _option(
        cfg.FloatOpt,
        0,
        "Time that a worker has to load and warm the model; 0 means no limit.",
        min=0,
        metavar="SECONDS",
    )
    """Seconds; 0 means no limit, as with the next one."""
    predict_timeout: float = _option(
        cfg.FloatOpt,
        0,
        "Time that a prediction may run; then its worker is killed and replaced, "
        "and the caller gets a 504. 0 means no limit.",
        min=0,
        metavar="SECONDS",
    )
    max_queued: int = _option(
        cfg.IntOpt,
        1000,
        "Calls of a model that may wait for a worker; more get a 503. Each row of a "
        "request for inference is one.",
        min=0,
    )
    max_calls_per_worker: int = _option(
        cfg.IntOpt,
        0,
        "Calls after which a worker is replaced by a new one, for models that "
        "leak memory; 0 means never.",
        min=0,
    )
    max_worker_memory: int = _option(
        cfg.IntOpt,
        0,
        "Resident memory of a worker and its child processes, over which the "
        "worker is replaced by a new one after its call; 0 means no limit.",
        min=0,
        metavar="MIB",
    )
    """MiB; 0 means no limit."""
    gpus: Sequence[str] = _option(
        cfg.StrOpt,
        (),
        "GPUs for the workers, one each, round robin: numbers or names as "
        "CUDA_VISIBLE_DEVICES takes them, for example 0,1.",
        read=read_gpus,
        metavar="LIST",
        default="",
    )
    ray_address: str = _option(
        cfg.StrOpt,
        "",
        "Run the models on this Ray cluster: HOST:PORT of its head, or auto. The "
        "server then runs on one of its nodes. Needs deepaas[ray].",
        metavar="HOST:PORT",
    )
    """Empty to run them on this machine."""
    worker_cpus: float = _option(
        cfg.FloatOpt,
        1,
        "CPUs that the Ray cluster reserves for each worker.",
        min=0,
    )
    worker_gpus: float = _option(
        cfg.FloatOpt,
        0,
        "GPUs that the Ray cluster reserves for each worker; 0.5 shares one.",
        min=0,
    )
    worker_resources: Sequence[tuple[str, float]] = _option(
        cfg.MultiStrOpt,
        (),
        "Another resource that the Ray cluster reserves for each worker, as the "
        "nodes name it. May be repeated.",
        read=read_resources,
        metavar="NAME=N",
    )
    shutdown_grace: float = _option(
        cfg.FloatOpt,
        30,
        "Time that running calls have to end when the server is told to stop.",
        min=0,
        metavar="SECONDS",
        group="serve",
    )
    """Seconds, as with the next two."""
    drain_delay: float = _option(
        cfg.FloatOpt,
        0,
        "Time between the signal to stop and the closing of the port. Readiness "
        "is 503 meanwhile, so that a load balancer sends no more calls; those that "
        "still come are answered.",
        min=0,
        metavar="SECONDS",
    )
    keepalive_timeout: float = _option(
        cfg.FloatOpt,
        75,
        "Time that a connection may be idle, and that the head of its first "
        "request may take. Longer than that of a proxy in front of the server.",
        min=1,
        metavar="SECONDS",
    )
    client_max_size: int = _option(
        cfg.IntOpt,
        1024**3,
        "Largest size of a request's body, in bytes; 0 means no limit.",
        min=0,
        metavar="BYTES",
        group="protection",
    )
    """Bytes; 0 means no limit."""
    state_dir: str = _option(
        cfg.StrOpt,
        "",
        "Folder of the jobs: their records, logs and results. Without it, a "
        "folder named for the port in deepaas/ under $XDG_STATE_HOME, which is "
        "~/.local/state by default; if that cannot be used, a temporary folder, which "
        "is removed at the end.",
        read=read_path,
        metavar="DIR",
        default=None,
        group="jobs",
    )
    """Empty for the default, which goes by the port."""
    database_url: str = _option(
        cfg.StrOpt,
        "",
        "Database of the jobs' records, as SQLAlchemy names it. Several servers may "
        "share one of PostgreSQL, which has the logs and results too; any other one is "
        "for this server alone. Without it, SQLite in the state directory.",
        secret=True,
        metavar="URL",
    )
    files_dir: str = _option(
        cfg.StrOpt,
        "",
        "Folder of the logs and results of jobs that all servers of one "
        "--database-url share. Without it, they are in the database.",
        read=read_path,
        metavar="DIR",
        default=None,
    )
    """Empty for the database."""
    server_lease: float = _option(
        cfg.FloatOpt,
        30,
        "Time after which the other servers of one --database-url end the jobs of a "
        "server that they do not hear of any more.",
        min=1,
        metavar="SECONDS",
    )
    keep_jobs: int = _option(
        cfg.IntOpt,
        10000,
        "Number of ended jobs that are kept, with their logs and results; "
        "0 means no limit.",
        min=0,
    )
    """0 means no limit, as with the next one."""
    keep_days: float = _option(
        cfg.FloatOpt,
        0,
        "Days after its end when a job is removed, with its log and its result; "
        "0 means never.",
        min=0,
        metavar="DAYS",
    )
    raw_predictions: bool = _option(
        cfg.BoolOpt,
        False,
        "Send the prediction of a model without schema as a JSON value in its "
        "envelope, not as a string.",
        group="serve",
    )
    strict_arguments: bool = _option(
        cfg.BoolOpt,
        False,
        "Refuse a request that names an argument which the model does not have, "
        "with a 422, instead of ignoring it.",
    )
    predict_endpoint: bool = _option(
        cfg.BoolOpt,
        True,
        "Offer the predict routes of the models.",
    )
    inference_endpoint: bool = _option(
        cfg.BoolOpt,
        True,
        "Offer the routes of the Open Inference Protocol (KServe V2); without the "
        "predict routes, its infer routes are off too.",
    )
    train_endpoint: bool = _option(
        cfg.BoolOpt,
        True,
        "Offer the train routes of the models.",
    )
    doc_endpoint: bool = _option(
        cfg.BoolOpt,
        True,
        "Offer the pages /api and /ui. The documents /openapi.json and "
        "/swagger.json are there without them too.",
    )
    debug_endpoint: bool = _option(
        cfg.BoolOpt,
        False,
        "Offer /v2/debug/: the latest lines that models and server printed.",
        group="log",
    )
    openwhisk_detect: bool = _option(
        cfg.BoolOpt,
        False,
        "Ignored.",
        deprecated_for_removal=True,
        deprecated_reason="OpenWhisk is not supported.",
    )


class Setting(NamedTuple):
    """A field of `Settings`, and the option that it is read from."""

    field: str
    option: cfg.Opt
    group: str
    read: Callable[[Any], Any] | None


def _settings() -> Iterator[Setting]:
    group = ""
    for one in fields(Settings):
        kind, name, begins, read, details = one.metadata["option"]
        group = begins or group
        option = kind(name or one.name.replace("_", "-"), **details)
        yield Setting(one.name, option, group, read)


SETTINGS = list(_settings())
"""Every field of `Settings`, in order."""


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options for oslo-config-generator."""
    return [("DEFAULT", [setting.option for setting in SETTINGS])]
