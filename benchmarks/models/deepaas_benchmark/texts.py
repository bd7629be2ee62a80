"""A text encoder for deepaas."""

from deepaas_benchmark import deep

max_batch_size = deep.max_batch()


def warm():
    global model
    model = deep.load("texts")


def predict(text: str):
    """Return the embedding of a text."""
    return model([text])[0]


if max_batch_size > 1:

    def predict_batch(calls):
        return model([call["text"] for call in calls])
