"""Answers with its argument; of `benchmarks.hop`."""


def predict(n):
    return {"n": n}
