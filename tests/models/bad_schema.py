"""Its schema is not a schema."""

schema = "a schema"


def predict():
    return "never"
