"""Reports progress as often as it is told to."""

import time

from webargs import fields

from deepaas import progress


def get_train_args():
    return {
        "count": fields.Int(load_default=1000),
        "seconds": fields.Float(load_default=0.0),
    }


def train(count, seconds):
    pause = seconds / 1000
    for number in range(count):
        progress.report(number, count, loss=1 / (1 + number), val_loss=2 / (1 + number))
        if pause and number % (count // 1000) == 0:
            time.sleep(pause)
