"""Says what its process has imported."""

import sys

from webargs import fields, validate


def get_predict_args():
    names = validate.OneOf(["asyncio", "distutils", "setuptools", "aiohttp"])
    return {"name": fields.Str(required=True, validate=names)}


def predict(name):
    if name == "distutils":
        from distutils.version import LooseVersion

        return str(LooseVersion("1.2.rc3") < LooseVersion("1.2.rc4"))
    return str(name in sys.modules)
