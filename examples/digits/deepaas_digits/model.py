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
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from deepaas_digits import samples
from deepaas_digits.images import FULL

logger = logging.getLogger(__name__)

_Version = tuple[int, int, int]
"""The version of a saved file: its date, inode and size."""

CLASSES = np.arange(10)


@dataclass(frozen=True)
class Epoch:
    """The state of a training after an epoch."""

    number: int
    loss: float
    """Mean log loss on the training pictures, with regularisation."""
    accuracy: float
    """Share of the held-out pictures that the network recognises, 0 to 1."""


class DigitClassifier:
    """The current network, kept in a file that all workers share."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "digits.joblib"
        self._network: MLPClassifier | None = None
        self._version: _Version | None = None

    def load(self) -> None:
        """Load the saved network, or fit one where there is none that fits."""
        if not self._load_saved():
            for _ in self.train():
                pass

    def probabilities(self, digit: np.ndarray) -> np.ndarray:
        """Return the probability of each of the ten digits for a (8, 8) picture."""
        self._refresh()
        if self._network is None:  # the server was told not to warm
            self.load()
        assert self._network is not None
        return self._network.predict_proba(digit.reshape(1, -1) / FULL)[0]

    def train(
        self, epochs: int = 30, hidden_units: int = 128, learning_rate: float = 0.005
    ) -> Iterator[Epoch]:
        """Fit a new network, an epoch at a time; at the end it replaces the old one."""
        x, y = samples.for_training()
        network = MLPClassifier(
            (hidden_units,), learning_rate_init=learning_rate, random_state=0
        )
        for number in range(1, epochs + 1):
            # One thread: for so small a network more of them only wait.
            with threadpool_limits(1):
                network.partial_fit(x, y, classes=CLASSES)
                accuracy = network.score(*samples.for_testing())
            yield Epoch(number, float(network.loss_), float(accuracy))
        self._network = network
        self._save()

    # A training runs in one worker, predictions in all of them. The file is what they
    # share: it is replaced in one step, and a look at its date is enough to know.

    def _refresh(self) -> None:
        if self._version != self._saved_version():
            self._load_saved()

    def _saved_version(self) -> _Version | None:
        try:
            return _version(self._file)
        except OSError:
            return None

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
        except Exception as error:  # unpickling a damaged file may raise anything
            logger.warning("The saved model cannot be used: %s", error)
            return False
        return True

    def _save(self) -> None:
        saved = {"sklearn": sklearn.__version__, "network": self._network}
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(
                dir=self._file.parent, prefix=".digits-"
            ) as folder:
                file = Path(folder, self._file.name)
                joblib.dump(saved, file)
                # Now: later the name may already stand for another worker's.
                self._version = _version(file)
                os.replace(file, self._file)
        except OSError as error:
            logger.warning("The model cannot be saved: %s", error)


def _version(file: Path) -> _Version:
    status = file.stat()
    return status.st_mtime_ns, status.st_ino, status.st_size
