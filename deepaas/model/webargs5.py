"""Imports webargs 5 quickly: a third of a worker's start was one of its imports.

It imports `distutils`, which Python no longer has, for one class that compares version
numbers. setuptools has that class, but imports all of itself for it: 0.05 s and 6 MiB
in each process. So webargs gets a class of ours, and later imports of `distutils` get
the real one.
"""

import re
import sys
from types import ModuleType


class _LooseVersion:
    """The part of distutils' class that webargs uses."""

    def __init__(self, text: str) -> None:
        parts = re.findall(r"\d+|[a-z]+", text)
        self.version = [int(part) if part.isdigit() else part for part in parts]


def import_webargs() -> None:
    """Import webargs, if it is installed and not imported yet."""
    if "webargs" in sys.modules or "distutils" in sys.modules:
        return
    package, version = ModuleType("distutils"), ModuleType("distutils.version")
    version.LooseVersion = _LooseVersion  # type: ignore[attr-defined]
    stand_ins = {"distutils": package, "distutils.version": version}
    sys.modules.update(stand_ins)
    try:
        import webargs  # noqa: F401
    except ImportError:
        pass
    finally:
        for name in stand_ins:
            del sys.modules[name]
