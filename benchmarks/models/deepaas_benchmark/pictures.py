"""A vision transformer for deepaas."""

from pathlib import Path

from deepaas_benchmark import deep

max_batch_size = deep.max_batch()


def warm():
    global model
    model = deep.load("pictures")


def predict(data: Path):
    """Classify a picture."""
    return model([data])[0]


if max_batch_size > 1:

    def predict_batch(calls):
        return model([call["data"] for call in calls])
