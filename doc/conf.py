"""Settings of Sphinx for `make doc`."""

from importlib.metadata import version as installed_version

project = "deepaas"
author = "The deepaas authors"
version = release = installed_version("deepaas")
extensions = [
    "myst_parser",
    "oslo_config.sphinxext",
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
]
html_theme = "furo"
exclude_patterns = ["_build"]
myst_heading_anchors = 3
# signatures as they are written; types in the text as well would say it twice
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
# `make links` needs the internet; the tests check the links within the repository
linkcheck_ignore = [r"http://127\.0\.0\.1:.*", r"https://.*\.example\.org.*"]
