"""Every option with its help, and the settings that come of them."""

import difflib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import TypeAlias

from oslo_config import cfg

from deepaas.errors import StartError

Config: TypeAlias = cfg.ConfigOpts

_OPTIONS = [
    cfg.HostAddressOpt(
        "listen-ip",
        default="127.0.0.1",
        help="Address to listen on; 0.0.0.0 for all of this machine's.",
    ),
    cfg.PortOpt(
        "listen-port", default=5000, help="Port to listen on; 0 for any free one."
    ),
    cfg.StrOpt(
        "base-path",
        default="",
        help="Path under which all routes are, for example /x behind a proxy.",
    ),
    cfg.MultiStrOpt(
        "trusted-proxy",
        default=[],
        metavar="ADDRESS",
        help="Address or network of a proxy whose X-Forwarded-For and "
        "X-Forwarded-Prefix are believed. May be repeated.",
    ),
    cfg.StrOpt(
        "auth-token-file",
        default="",
        metavar="FILE",
        help="Only callers with a token of this file, one a line, are answered, "
        "except for health. SIGHUP reads it anew.",
    ),
    cfg.BoolOpt(
        "open-metrics",
        default=False,
        help="Answer /metrics and /v2/debug/ without a token.",
    ),
    cfg.StrOpt(
        "tls-cert",
        default="",
        metavar="FILE",
        help="Certificate chain in PEM; the server speaks HTTPS only then.",
    ),
    cfg.StrOpt(
        "tls-key",
        default="",
        metavar="FILE",
        help="Its private key; without it, the certificate's file holds it.",
    ),
    cfg.MultiStrOpt(
        "cors-origin",
        default=[],
        metavar="ORIGIN",
        help="Origin whose pages may call the API, for example "
        "https://app.example.org; * for any. May be repeated.",
    ),
    cfg.MultiStrOpt(
        "model-name",
        default=[],
        metavar="NAME",
        help="Serve only this installed model. May be repeated. The environment "
        "variable DEEPAAS_V2_MODEL does the same, names separated by commas.",
    ),
    cfg.MultiStrOpt(
        "model",
        default=[],
        metavar="NAME=TARGET",
        help="Serve a model that has no entry point: package.module[:attribute], or "
        "the path of a .py file. Only the models of this option and of model-name are "
        "served. May be repeated.",
    ),
    cfg.IntOpt(
        "workers",
        short="p",
        default=1,
        min=1,
        help="Worker processes of each model.",
    ),
    cfg.IntOpt(
        "train-workers",
        default=0,
        min=0,
        help="Worker processes of each model for trainings, started when needed; with "
        "0, trainings share the workers, and never take the last of several.",
    ),
    cfg.BoolOpt(
        "warm",
        default=True,
        help="Warm the model in every worker before the first call.",
    ),
    cfg.FloatOpt(
        "warm-timeout",
        default=0,
        min=0,
        metavar="SECONDS",
        help="Time that a worker has to load and warm the model; 0 for any.",
    ),
    cfg.FloatOpt(
        "predict-timeout",
        default=0,
        min=0,
        metavar="SECONDS",
        help="Time that a prediction may run; then its worker is killed and replaced, "
        "and the caller gets a 504. 0 for any.",
    ),
    cfg.IntOpt(
        "max-queued",
        default=1000,
        min=0,
        help="Calls of a model that may wait for a worker; more get a 503.",
    ),
    cfg.IntOpt(
        "max-calls-per-worker",
        default=0,
        min=0,
        help="Calls after which a worker is replaced by a new one, for models that "
        "leak memory; 0 for never.",
    ),
    cfg.IntOpt(
        "max-worker-memory",
        default=0,
        min=0,
        metavar="MIB",
        help="Memory, resident and with the processes that it has started, over which "
        "a worker is replaced by a new one after its call; 0 for any.",
    ),
    cfg.StrOpt(
        "gpus",
        default="",
        metavar="LIST",
        help="GPUs for the workers, one each, round robin: numbers or names as "
        "CUDA_VISIBLE_DEVICES takes them, for example 0,1.",
    ),
    cfg.FloatOpt(
        "shutdown-grace",
        default=30,
        min=0,
        metavar="SECONDS",
        help="Time that running calls have to end when the server is told to stop.",
    ),
    cfg.FloatOpt(
        "drain-delay",
        default=0,
        min=0,
        metavar="SECONDS",
        help="Time between the signal to stop and the closing of the port. Readiness "
        "is 503 meanwhile, so that a load balancer sends no more calls; those that "
        "still come are answered.",
    ),
    cfg.FloatOpt(
        "keepalive-timeout",
        default=75,
        min=1,
        metavar="SECONDS",
        help="Time that a connection may be idle, and that the head of its first "
        "request may take. Longer than that of a proxy in front of the server.",
    ),
    cfg.IntOpt(
        "client-max-size",
        default=1024**3,
        min=0,
        metavar="BYTES",
        help="Size of a request's body at the most, in bytes; 0 for no limit.",
    ),
    cfg.StrOpt(
        "state-dir",
        metavar="DIR",
        help="Folder of the jobs: their records, logs and results. Without it, a "
        "folder named for the port in deepaas/ under $XDG_STATE_HOME, which is "
        "~/.local/state by default; if that cannot be used, a temporary folder, which "
        "is removed at the end.",
    ),
    cfg.StrOpt(
        "database-url",
        default="",
        secret=True,
        metavar="URL",
        help="Database of the jobs' records, as SQLAlchemy names it, for this server "
        "alone. Without it, SQLite in the state directory.",
    ),
    cfg.IntOpt(
        "keep-jobs",
        default=10000,
        min=0,
        help="Jobs that have ended and are kept, with their logs and results, at the "
        "most; 0 for any number.",
    ),
    cfg.FloatOpt(
        "keep-days",
        default=0,
        min=0,
        metavar="DAYS",
        help="Days after its end when a job is removed, with its log and its result; "
        "0 for never.",
    ),
    cfg.BoolOpt(
        "raw-predictions",
        default=False,
        help="Send the prediction of a model without schema as a JSON value in its "
        "envelope, not as a string.",
    ),
    cfg.BoolOpt(
        "strict-arguments",
        default=False,
        help="Refuse a request that names an argument which the model does not have, "
        "with a 422, instead of ignoring it.",
    ),
    cfg.BoolOpt(
        "predict-endpoint", default=True, help="Offer the predict routes of the models."
    ),
    cfg.BoolOpt(
        "train-endpoint", default=True, help="Offer the train routes of the models."
    ),
    cfg.BoolOpt(
        "doc-endpoint",
        default=True,
        help="Offer the pages /api and /ui. The document /swagger.json is there "
        "without them too.",
    ),
    cfg.BoolOpt(
        "debug-endpoint",
        default=False,
        help="Offer /v2/debug/: what models and server printed and logged lately.",
    ),
    cfg.BoolOpt(
        "openwhisk-detect",
        default=False,
        deprecated_for_removal=True,
        deprecated_reason="OpenWhisk is not supported.",
        help="Ignored.",
    ),
]


ORIGIN = re.compile(
    r"([a-z][a-z0-9+.-]*://(?:[^\s/?#@,:]+|\[[0-9a-f:.]+\])(?::\d+)?)/?"
)


@dataclass(frozen=True)
class Settings:
    """The options' values, as the rest of the server takes them."""

    listen_ip: str = "127.0.0.1"
    listen_port: int = 5000
    base_path: str = ""
    """As in a URL: empty, or beginning with a slash and ending without one."""
    trusted_proxies: Sequence[str] = ()
    auth_token_file: str = ""
    """Empty for none, as with the next paths."""
    open_metrics: bool = False
    tls_cert: str = ""
    tls_key: str = ""
    cors_origins: Sequence[str] = ()
    model_names: Sequence[str] = ()
    models: Sequence[str] = ()
    workers: int = 1
    train_workers: int = 0
    warm: bool = True
    warm_timeout: float = 0
    """Seconds; 0 for no limit, as with the next one."""
    predict_timeout: float = 0
    max_queued: int = 1000
    max_calls_per_worker: int = 0
    max_worker_memory: int = 0
    """MiB; 0 for no limit."""
    gpus: Sequence[str] = ()
    shutdown_grace: float = 30
    """Seconds, as with the next two."""
    drain_delay: float = 0
    keepalive_timeout: float = 75
    client_max_size: int = 1024**3
    """Bytes; 0 for no limit."""
    state_dir: str = ""
    """Empty for the default, which goes by the port."""
    database_url: str = ""
    keep_jobs: int = 10000
    """0 for no limit, as with the next one."""
    keep_days: float = 0
    raw_predictions: bool = False
    strict_arguments: bool = False
    predict_endpoint: bool = True
    train_endpoint: bool = True
    doc_endpoint: bool = True
    debug_endpoint: bool = False
    openwhisk_detect: bool = False


def new_config() -> cfg.ConfigOpts:
    """Return a configuration of our own, with the options registered."""
    conf = cfg.ConfigOpts()
    conf.register_cli_opts(_OPTIONS)
    return conf


def read_settings(conf: cfg.ConfigOpts, argv: Sequence[str]) -> Settings:
    """Read command line, configuration files and environment, in this order.

    Raises StartError for a configuration file that cannot be read or a bad value in
    it; a bad command line is usage and exit 2.
    """
    try:
        return _read_settings(conf, argv)
    except cfg.NoSuchOptError as error:
        raise StartError(
            f"${error.opt_name} in a value names no option; write $$ for a dollar sign"
        ) from error
    except cfg.Error as error:
        raise StartError(str(error)) from error


def _read_settings(conf: cfg.ConfigOpts, argv: Sequence[str]) -> Settings:
    conf(list(argv), project="deepaas", prog="deepaas-run", version=version("deepaas"))
    from_environment = os.environ.get("DEEPAAS_V2_MODEL", "")
    return Settings(
        listen_ip=conf.listen_ip,
        listen_port=conf.listen_port,
        base_path=_base_path(conf.base_path),
        trusted_proxies=conf.trusted_proxy,
        auth_token_file=conf.auth_token_file,
        open_metrics=conf.open_metrics,
        tls_cert=conf.tls_cert,
        tls_key=conf.tls_key,
        cors_origins=[_origin(text) for text in conf.cors_origin],
        model_names=conf.model_name
        or [name.strip() for name in from_environment.split(",") if name.strip()],
        models=conf.model,
        workers=conf.workers,
        train_workers=conf.train_workers,
        warm=conf.warm,
        warm_timeout=conf.warm_timeout,
        predict_timeout=conf.predict_timeout,
        max_queued=conf.max_queued,
        max_calls_per_worker=conf.max_calls_per_worker,
        max_worker_memory=conf.max_worker_memory,
        gpus=_gpus(conf.gpus),
        shutdown_grace=conf.shutdown_grace,
        drain_delay=conf.drain_delay,
        keepalive_timeout=conf.keepalive_timeout,
        client_max_size=conf.client_max_size,
        state_dir=conf.state_dir or "",
        database_url=conf.database_url,
        keep_jobs=conf.keep_jobs,
        keep_days=conf.keep_days,
        raw_predictions=conf.raw_predictions,
        strict_arguments=conf.strict_arguments,
        predict_endpoint=conf.predict_endpoint,
        train_endpoint=conf.train_endpoint,
        doc_endpoint=conf.doc_endpoint,
        debug_endpoint=conf.debug_endpoint,
        openwhisk_detect=conf.openwhisk_detect,
    )


def unread_keys(conf: cfg.ConfigOpts) -> Iterator[str]:
    """Give a warning for each key of the configuration files that no option reads."""
    files = [Path(file).expanduser() for file in conf.config_file]
    for folder in conf.config_dir:
        files += sorted(Path(folder).expanduser().glob("*.conf"))
    files = [file for file in files if file.is_file()]  # a pipe is read only once
    known = _known_keys() if files else set()
    for file in files:
        sections: dict[str, dict[str, list[str]]] = {}
        cfg.ConfigParser(str(file), sections).parse()
        for section, keys in sections.items():
            if section in conf.config_source:  # it describes a source of values
                continue
            for key in keys:
                if section != "DEFAULT":
                    remedy = "options stand under [DEFAULT]"
                elif key in known:
                    continue
                else:
                    name = key.lower().replace("-", "_")
                    nearest = difflib.get_close_matches(name, known, 1)
                    remedy = f"did you mean {nearest[0]}?" if nearest else "no option"
                yield f"{file}: {key} under [{section}] is ignored: {remedy}"


def _known_keys() -> set[str]:
    """Return the keys of a configuration file that some option reads."""
    names = {"config_dir", "config_file", "config_source"}
    for entry in entry_points(group="oslo.config.opts"):
        if entry.name in ("deepaas", "oslo.log"):
            for _, options in entry.load()():
                for option in options:
                    names.add(option.dest)
                    names |= {old.name for old in option.deprecated_opts}
    return names


def _base_path(path: str) -> str:
    path = path.strip("/")
    if not re.fullmatch(r"[A-Za-z0-9._~%/-]*", path):
        raise StartError(f"--base-path {path!r} has characters that a path cannot have")
    return f"/{path}".replace("%", "%25") if path else ""  # it is literal


def _origin(text: str) -> str:
    """Return an origin as browsers send it (RFC 6454)."""
    found = ORIGIN.fullmatch(text.strip().lower())
    if text != "*" and found is None:
        raise StartError(
            f"--cors-origin {text!r} is no origin, such as https://app.example.org"
        )
    return "*" if found is None else found[1]


def _gpus(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")] if text.strip() else []
    if not all(names):
        raise StartError(f"--gpus {text!r} leaves out a GPU")
    return names


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options for oslo-config-generator."""
    return [("DEFAULT", _OPTIONS)]
