"""The API: what deepaas calls. The entry point in pyproject.toml names this module."""

import os
from importlib.metadata import metadata
from pathlib import Path

import marshmallow
from aiohttp import web
from webargs import fields, validate

from deepaas import progress
from deepaas_digits.figures import draw_prediction
from deepaas_digits.images import UnreadableImage, normalise, read_ink
from deepaas_digits.model import DigitClassifier

FOLDER = os.environ.get("DIGITS_MODEL_DIR", "~/.local/share/deepaas-digits")

classifier = DigitClassifier(Path(FOLDER).expanduser())


class Prediction(marshmallow.Schema):
    """The JSON answer of predict."""

    label = fields.Int(required=True, metadata={"description": "The digit, 0 to 9"})
    probabilities = fields.List(
        fields.Float(),
        required=True,
        validate=validate.Length(equal=10),
        metadata={"description": "The probability of each digit, from 0 to 9"},
    )


schema = Prediction


def get_metadata():
    """Describe the model, in the words of its package."""
    package = metadata("deepaas-digits")
    return {
        "name": package["Name"],
        "version": package["Version"],
        "description": package["Summary"],
        "author": package["Author"],
        "author-email": package["Author-email"],
        "license": package["License"],
    }


def warm():
    """Load the model before the first call; the very first time, fit it."""
    classifier.load()


def get_predict_args():
    """Return the arguments of predict."""
    return {
        "data": fields.Field(
            required=True,
            metadata={
                "type": "file",
                "location": "form",
                "title": "Picture",
                "description": "A picture of one digit, PNG or JPEG",
                "media": ["image/png", "image/jpeg"],
                "examples": ["data/three.png", "data/five.png", "data/seven.jpg"],
            },
        ),
        "accept": fields.Str(
            load_default="application/json",
            validate=validate.OneOf(["application/json", "image/png"]),
            metadata={
                "location": "headers",
                "description": "JSON, or a picture of the prediction",
            },
        ),
    }


def predict(data, accept):
    """Recognise the digit in a picture."""
    try:
        ink = read_ink(data.filename)
    except UnreadableImage as error:
        raise web.HTTPBadRequest(reason=str(error)) from error
    digit = normalise(ink)
    probabilities = classifier.probabilities(digit)
    if accept == "image/png":
        return draw_prediction(ink, digit, probabilities)
    return {"label": probabilities.argmax(), "probabilities": probabilities}


def get_train_args():
    """Return the arguments of train."""
    return {
        "epochs": fields.Int(
            load_default=30,
            validate=validate.Range(1, 1000),
            metadata={
                "title": "Epochs",
                "description": "How often all pictures are learned from",
                "examples": [10, 50],
            },
        ),
        "hidden_units": fields.Int(
            load_default=128,
            validate=validate.Range(4, 1024),
            metadata={
                "title": "Hidden layer",
                "description": "Size of the hidden layer",
                "unit": "neurons",
                "advanced": True,
            },
        ),
        "learning_rate": fields.Float(
            load_default=0.005,
            validate=validate.Range(0, 1, min_inclusive=False),
            metadata={
                "title": "Learning rate",
                "description": "Size of a step of the optimiser",
                "advanced": True,
            },
        ),
    }


def train(epochs, hidden_units, learning_rate):
    """Fit a new model, which the next prediction uses; return how good it is."""
    for epoch in classifier.train(epochs, hidden_units, learning_rate):
        print(
            f"epoch {epoch.number}: loss {epoch.loss:.4f}, {epoch.accuracy:.2%} right"
        )
        progress.report(epoch.number, epochs, loss=epoch.loss, accuracy=epoch.accuracy)
    return {"epochs": epochs, "loss": epoch.loss, "accuracy": epoch.accuracy}
