"""A batch model: calls that wait are computed together.

A forest takes about as long for 32 flowers as for one. Serve it with:

    deepaas-run --model species=examples/species.py
"""

from typing import Annotated

from marshmallow import fields
from marshmallow.validate import Range
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier

max_batch_size = 32
batch_timeout = 0.005  # seconds that the first call waits for others

schema = {
    "label": fields.Str(required=True),
    "labels": fields.List(fields.Str(), required=True),
    "probabilities": fields.List(fields.Float(), required=True),
}

Centimetres = Annotated[float, Range(0, 20), {"unit": "cm"}]
SIZES = ("sepal_length", "sepal_width", "petal_length", "petal_width")


def warm():
    """Fit the forest: the data come with scikit-learn."""
    global forest, names
    iris = load_iris()
    forest = RandomForestClassifier(random_state=0).fit(iris.data, iris.target)
    names = iris.target_names.tolist()


def predict(
    sepal_length: Centimetres = 5.8,
    sepal_width: Centimetres = 3.0,
    petal_length: Centimetres = 4.3,
    petal_width: Centimetres = 1.3,
):
    """Name the species of an iris by its sizes."""
    sizes = (sepal_length, sepal_width, petal_length, petal_width)
    return predict_batch([dict(zip(SIZES, sizes, strict=True))])[0]


def predict_batch(calls):
    """Name the species of several irises, in their order."""
    rows = [[call[size] for size in SIZES] for call in calls]
    return [
        {"label": names[row.argmax()], "labels": names, "probabilities": row}
        for row in forest.predict_proba(rows)
    ]
