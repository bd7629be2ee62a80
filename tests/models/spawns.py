"""Uses its own functions and classes in other processes, in every way."""

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import joblib
from webargs import fields


@dataclass
class Point:
    x: int


def double(point):
    return Point(2 * point.x)


def executor(points):
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as processes:
        return list(processes.map(double, points))


def pool(points):
    with multiprocessing.get_context("spawn").Pool(2) as processes:
        return processes.map(double, points)


def fork_server(points):
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(2, mp_context=context) as processes:
        return list(processes.map(double, points))


def loky(points):
    return joblib.Parallel(n_jobs=2)(joblib.delayed(double)(p) for p in points)


WAYS = {each.__name__: each for each in (executor, pool, fork_server, loky)}


def get_predict_args():
    return {"way": fields.Str(required=True)}


def predict(way):
    points = [Point(n) for n in range(3)]
    if way == "pickle":
        return pickle.dumps(points)
    return [point.x for point in WAYS[way](points)]
