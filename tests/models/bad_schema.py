"""Its schema is none."""

schema = "a schema"


def predict():
    return "never"
