"""Does not import."""

import a_package_that_nobody_has  # noqa: F401


def predict():
    return "never"
