"""The model: a small neural network, and the file in which it is kept."""

import logging
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import sklearn
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from deepaas_digits.images import FULL, normalise

logger = logging.getLogger(__name__)

CLASSES = np.arange(10)

COPIES = 6
"""How often each picture is learned from, a little turned and sheared each time."""


@dataclass(frozen=True)
class Epoch:
    """How far a training is."""

    number: int
    loss: float
    """Mean log loss on the part that is learned from."""
    accuracy: float
    """Share of the held-out part that is recognised, 0 to 1."""


class DigitClassifier:
    """The current network, kept in a file that all workers share."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "digits.joblib"
        self._network: MLPClassifier | None = None
        self._version: tuple[int, int] | None = None

    def load(self) -> None:
        """Load the saved network, or fit one where there is none that fits."""
        if not self._load_saved():
            for _ in self.train():
                pass

    def probabilities(self, digit: np.ndarray) -> np.ndarray:
        """Return the probability of each of the ten digits for a (8, 8) picture."""
        self._refresh()
        assert self._network is not None, "load() comes first"
        return self._network.predict_proba(digit.reshape(1, -1) / FULL)[0]

    def train(
        self, epochs: int = 40, hidden_units: int = 128, learning_rate: float = 0.002
    ) -> Iterator[Epoch]:
        """Fit a new network, an epoch at a time; at the end it replaces the old one."""
        learn, held_out, labels, held_out_labels = _data()
        rng = np.random.default_rng(0)
        x = np.array([_prepare(d, rng, i > 0) for i in range(COPIES) for d in learn])
        y = np.tile(labels, COPIES)
        x_held_out = np.array([_prepare(d) for d in held_out])
        network = MLPClassifier(
            (hidden_units,), learning_rate_init=learning_rate, random_state=0
        )
        for number in range(1, epochs + 1):
            network.partial_fit(x, y, classes=CLASSES)
            loss = log_loss(y, network.predict_proba(x), labels=CLASSES)
            accuracy = network.score(x_held_out, held_out_labels)
            yield Epoch(number, float(loss), float(accuracy))
        self._network = network
        self._save()

    # A training runs in one worker, predictions in all of them. The file is what they
    # share: it is replaced in one step, and a look at its date is enough to know.

    def _refresh(self) -> None:
        if self._version != self._saved_version():
            self._load_saved()

    def _saved_version(self) -> tuple[int, int] | None:
        try:
            status = self._file.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino

    def _load_saved(self) -> bool:
        version = self._saved_version()
        if version is None:
            return False
        self._version = version  # a damaged file is looked at once
        try:
            saved = joblib.load(self._file)
            if saved["sklearn"] != sklearn.__version__:
                raise ValueError(f"it is of scikit-learn {saved['sklearn']}")
            self._network = saved["network"]
        except Exception as error:  # whatever a damaged file makes unpickling raise
            logger.warning("The saved model cannot be used: %s", error)
            return False
        return True

    def _save(self) -> None:
        saved = {"sklearn": sklearn.__version__, "network": self._network}
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                dir=self._file.parent, prefix=".digits-", delete=False
            ) as file:
                joblib.dump(saved, file)
            os.replace(file.name, self._file)
            self._version = self._saved_version()
        except OSError as error:
            logger.warning("The model cannot be saved: %s", error)


def _data() -> list[np.ndarray]:
    """Return pictures and labels: those to learn from, and a quarter held out."""
    digits = load_digits()
    return train_test_split(
        digits.images, digits.target, test_size=0.25, random_state=0
    )


def _prepare(
    digit: np.ndarray, rng: np.random.Generator | None = None, vary: bool = False
) -> np.ndarray:
    """Return a picture of the data set as the model reads a caller's: 64 numbers."""
    image = enlarge(digit)
    if vary and rng is not None:
        image = image.rotate(rng.uniform(-15, 15), Image.Resampling.BILINEAR)
        shear = rng.uniform(-0.3, 0.3)
        middle = -shear * image.height / 2
        image = image.transform(
            image.size,
            Image.Transform.AFFINE,
            (1, shear, middle, 0, 1, 0),
            Image.Resampling.BILINEAR,
        )
    return normalise(image).ravel() / FULL


def enlarge(digit: np.ndarray, side: int = 48) -> Image.Image:
    """Return an (8, 8) picture as a smooth one, light on dark, with a margin."""
    small = Image.fromarray((digit / FULL * 255).astype(np.uint8))
    image = Image.new("L", (side * 3 // 2, side * 3 // 2))
    image.paste(small.resize((side, side), Image.Resampling.BICUBIC), (side // 4,) * 2)
    return image
