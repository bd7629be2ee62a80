"""Settings of Sphinx for `make doc`."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "deepaas"
author = "The deepaas authors"
version = release = installed_version("deepaas")
extensions = [
    "myst_parser",
    "options_table",
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
]
html_theme = "furo"
exclude_patterns = ["_build"]
myst_heading_anchors = 3
# signatures as they are written; types in the text as well would say it twice
autodoc_typehints = "signature"
# one backtick in a docstring is code, as in Markdown
default_role = "code"
autodoc_member_order = "bysource"
# `make links` needs the internet; the tests check the links within the repository
linkcheck_ignore = [r"http://127\.0\.0\.1:.*", r"https://.*\.example\.org.*"]
