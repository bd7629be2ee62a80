"""Settings of Sphinx for `make doc`."""

from importlib.metadata import version as installed_version

project = "deepaas"
author = "The deepaas authors"
version = release = installed_version("deepaas")
extensions = ["myst_parser", "oslo_config.sphinxext"]
html_theme = "furo"
exclude_patterns = ["_build"]
myst_heading_anchors = 3
