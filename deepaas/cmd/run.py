"""deepaas-run: reads the options, sets up the log, and starts the server."""

import logging
import sys

from deepaas import logs
from deepaas.cmd.descriptors import open_closed_descriptors
from deepaas.cmd.init import run_below_init
from deepaas.config_sources import new_config, read_settings, unread_names
from deepaas.errors import DeepaasError
from deepaas.server import run_server

logger = logging.getLogger(__name__)


def main() -> None:
    """Runs the server until it is told to stop."""
    open_closed_descriptors()
    run_below_init()
    conf = new_config()
    logs.register_options(conf)
    try:
        settings = read_settings(conf, sys.argv[1:])
        logs.set_up(conf)
        for warning in unread_names(conf):
            logger.warning("%s", warning)
        run_server(settings)
    except DeepaasError as error:
        sys.exit(f"deepaas-run: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
