"""A server whose models run on a real Ray cluster of a head and two nodes.

The tests that end nodes come last, since each of these has to be started again.
"""

import hashlib
import json
import re
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests import cluster as ray
from tests.bare_environment import make_bare_environment
from tests.server import MODELS, ROOT, command_line, prediction, wait_until

pytestmark = [pytest.mark.ray, pytest.mark.minutes, pytest.mark.timeout(300)]

MODEL = f"--model=m={MODELS / 'clustered.py'}"
PREDICT = "/v2/models/m/predict"
TRAIN = "/v2/models/m/train"
JSON = {"Content-Type": "application/json"}
MIB = 2**20


@pytest.fixture(scope="module")
def cluster(ray_cluster):
    return ray_cluster


def on(cluster):
    """Options of a server on the cluster."""
    return (MODEL, f"--ray-address={cluster.address}", "--raw-predictions")


@pytest.fixture(autouse=True)
def nothing_is_left(cluster):
    yield
    wait_until(lambda: not cluster.place_folders() or cluster.places())


@pytest.fixture(scope="module")
def shared(cluster, serve_module):
    """A server with a place on each node."""
    return serve_module(
        *(*on(cluster), "--workers=2", "--client-max-size=0"), env=ray.SETTINGS
    )


@pytest.fixture
def start(cluster, serve):
    def start(*options, **more):
        return serve(*on(cluster), *options, env=ray.SETTINGS, **more)

    return start


def uploaded(cluster):
    return [file for folder in cluster.place_folders() for file in folder.iterdir()]


def predict(server, **params):
    answer = server.post(PREDICT, params=params)
    assert answer.status_code == 200, answer.text
    return prediction(answer)


def ready(server):
    return server.get("/v2/health/ready").status_code == 200


def workers(server):
    return server.get("/v2/models/m/ready").json()["workers"]


def until_idle(server, count=2):
    wait_until(
        lambda: [w["state"] for w in workers(server)] == ["idle"] * count, timeout=90
    )


def numbers(path):
    return [int(n) for n in path.read_text().split()] if path.exists() else []


def rss(pid):
    return psutil.Process(pid).memory_info().rss


# -- 1: everything, over HTTP


@pytest.mark.smoke
def test_calls_run_on_both_nodes(shared, cluster):
    until_idle(shared)
    assert {node.models()[0].pid for node in cluster.nodes} == {
        worker["pid"] for worker in workers(shared)
    }
    assert predict(shared, n=3)["n"] == 3
    text = shared.get("/metrics").text
    assert 'deepaas_worker_memory_bytes{host="' in text
    shared.wait_for_output(r"\[m \d+ \S+\] running 3")


@pytest.mark.parametrize("sizes", [[0], [64 * MIB], [5, 0, 3 * MIB]])
def test_uploads(shared, cluster, sizes):
    contents = [bytes([n]) * size for n, size in enumerate(sizes)]
    field = "files" if len(sizes) > 1 else "file"
    files = [(field, (f"{n}.nii.gz", data)) for n, data in enumerate(contents)]
    answer = prediction(shared.post(PREDICT, files=files))
    assert answer["files"] == [
        [f"{n}.nii.gz", ".gz", len(data), hashlib.sha256(data).hexdigest()]
        for n, data in enumerate(contents)
    ]
    assert uploaded(cluster) == []


@pytest.mark.parametrize("size", [0, 20 * MIB])
def test_files(shared, tmp_path, size):
    answer = shared.post(
        PREDICT,
        params={"how": "file", "size": size, "ran": str(tmp_path / "ran")},
        headers={"Accept": "application/octet-stream"},
    )
    assert answer.status_code == 200
    assert answer.content == b"a" * size
    assert answer.headers["Content-Length"] == str(size)
    assert "ran.answer" in answer.headers["Content-Disposition"]


NODES_ONLY = """
import os
if "RAY_RAYLET_PID" not in os.environ:
    raise ImportError("this machine has none of the packages")
from webargs import fields
class Even(fields.Int):
    def _deserialize(self, value, *args, **kwargs):
        number = super()._deserialize(value, *args, **kwargs)
        if number % 2:
            raise self.make_error("invalid")
        return number
def get_metadata():
    return {"summary": "On nodes only."}
def get_predict_args():
    return {
        "n": Even(load_default=2),
        "scan": fields.Field(type="file", location="form"),
    }
def predict(n, scan=None):
    return [n, scan and os.path.getsize(scan.filename)]
def train():
    print("training")
"""


def test_a_server_without_the_packages_of_its_model(cluster, serve, tmp_path):
    path = tmp_path / "nodes_only.py"
    path.write_text(NODES_ONLY)
    options = (f"--model=m={path}", f"--ray-address={cluster.address}")
    server = serve(*options, "--raw-predictions", env=ray.SETTINGS)
    assert server.get("/v2/models/m/").json()["summary"] == "On nodes only."
    for document in ("/openapi.json", "/swagger.json", "/ui/"):
        assert server.get(document).status_code == 200
    assert server.post(PREDICT, params={"n": 3}).status_code == 422
    files = [("scan", ("scan.bin", bytes(3 * MIB)))]
    answer = server.post(PREDICT, params={"n": 4}, files=files)
    assert prediction(answer) == [4, 3 * MIB]
    job = server.post(TRAIN).json()
    wait_until(lambda: server.get(f"{TRAIN}/{job['uuid']}").json()["status"] == "done")
    assert server.post(PREDICT, params={"n": 3}).status_code == 422
    assert uploaded(cluster) == []
    assert server.stop() == 0


def test_a_server_in_an_environment_without_the_packages(cluster, serve, tmp_path):
    command = make_bare_environment(tmp_path / "front", ["ray"])
    for package in ("numpy", "sklearn", "deepaas_digits"):
        code = f"import {package}"
        python = command.with_name("python")
        ended = subprocess.run([python, "-c", code], capture_output=True)
        assert b"ModuleNotFoundError" in ended.stderr
    server = serve(
        *("--model=digits=deepaas_digits.api", f"--ray-address={cluster.address}"),
        command=command,
        env=ray.SETTINGS | {"DIGITS_MODEL_DIR": str(tmp_path / "weights")},
        start_timeout=100,
    )
    path = "/v2/models/digits"
    assert "deepaas-digits" in server.get(f"{path}/").text
    assert server.get("/ui/").status_code == 200
    assert f"{path}/predict/" in server.get("/swagger.json").json()["paths"]
    assert f"{path}/predict/" in server.get("/openapi.json").json()["paths"]
    assert server.post(f"{path}/predict/").status_code == 422
    assert server.post(f"{path}/train/", params={"epochs": 0}).status_code == 422
    picture = ROOT / "examples/digits/deepaas_digits/data/three.png"

    def recognise(accept="application/json"):
        files = {"data": ("three.png", picture.read_bytes(), "image/png")}
        headers = {"Accept": accept}
        answer = server.post(f"{path}/predict/", files=files, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer

    before = recognise().json()
    assert before["label"] == 3
    assert recognise("image/png").content.startswith(b"\x89PNG")
    job = server.post(f"{path}/train/", params={"epochs": 2}).json()
    url = f"{path}/train/{job['uuid']}"
    wait_until(lambda: server.get(url).json()["status"] == "done", timeout=60)
    assert server.get(url).json()["progress"]["step"] == 2
    assert recognise().json()["probabilities"] != before["probabilities"]
    assert server.stop() == 0


def test_json_that_is_read_on_a_node(cluster, serve):
    options = [
        f"--model={name}={MODELS}/{name}.py" for name in ("many_numbers", "own_code")
    ]
    server = serve(
        *(*options, f"--ray-address={cluster.address}", "--raw-predictions"),
        env=ray.SETTINGS,
    )
    path = "/v2/models/many_numbers/predict/"
    text = json.dumps({"numbers": [1.5] * 1_000_000, "text": "e", "other": 1})
    answer = server.post(path, content=text, headers=JSON)
    assert prediction(answer) == [1_500_000, 1, None]
    assert answer.headers["X-Ignored-Arguments"] == "other"
    answer = server.post(path, content=text.replace("1.5", '"x"', 1), headers=JSON)
    assert answer.status_code == 422
    assert list(answer.json()) == ["numbers"]
    answer = server.post(path, content=text[:-1], headers=JSON)
    assert answer.status_code == 400
    job = server.post("/v2/models/many_numbers/train/", content=text, headers=JSON)
    url = f"/v2/models/many_numbers/train/{job.json()['uuid']}"
    wait_until(lambda: server.get(url).json()["status"] == "done")
    path = "/v2/models/own_code/predict/"
    large, small = (
        server.post(path, content=text, headers=JSON)
        for text in (" " * MIB + "{}", "{}")
    )
    assert (large.status_code, large.text) == (small.status_code, small.text)
    assert uploaded(cluster) == []
    assert not list(server.temporary.glob("deepaas-*-*.*"))
    assert server.stop() == 0


def test_tensors_and_batches(cluster, serve):
    options = [
        f"--model={name}={MODELS}/{name}.py" for name in ("tensors", "oip_digits")
    ]
    server = serve(*(*options, f"--ray-address={cluster.address}"), env=ray.SETTINGS)
    images = {
        "name": "x",
        "shape": [3, 64],
        "datatype": "FP32",
        "data": [0] * 128 + [1] * 64,
    }
    answer = server.post("/v2/models/oip_digits/infer", json={"inputs": [images]})
    [labels] = answer.json()["outputs"]
    assert labels["data"] == [9, 9, 1]
    file = {"name": "file", "shape": [1], "datatype": "BYTES", "data": ["aGVsbG8="]}
    file["parameters"] = {"content_type": "base64"}
    whole = {"name": "integer", "shape": [1], "datatype": "INT64", "data": [7]}
    answer = server.post("/v2/models/tensors/infer", json={"inputs": [file, whole]})
    found = {output["name"]: output for output in answer.json()["outputs"]}
    assert found["integer"]["data"] == [7]
    assert found["file"]["data"] == ["aGVsbG8="]
    assert uploaded(cluster) == []
    assert server.stop() == 0


def test_a_training_reports(shared):
    job = shared.post(TRAIN, params={"steps": 5}).json()
    url = f"{TRAIN}/{job['uuid']}"
    wait_until(lambda: shared.get(url).json()["status"] != "running")
    done = shared.get(url).json()
    assert done["status"] == "done"
    assert done["progress"]["step"] == 5
    assert "training in" in shared.get(f"{url}/log").text


# -- 3: deaths on a node that lives


def test_the_death_of_a_model_costs_one_call(shared, cluster, tmp_path):
    until_idle(shared)
    ran = tmp_path / "ran"
    with ThreadPoolExecutor() as threads:
        call = threads.submit(
            shared.post, PREDICT, params={"n": 1, "seconds": 60, "ran": str(ran)}
        )
        wait_until(lambda: numbers(ran) == [1])
        busy = [worker for worker in workers(shared) if worker["state"] == "busy"]
        psutil.Process(busy[0]["pid"]).kill()
        answer = call.result(timeout=5)
    assert answer.status_code == 500
    assert "SIGKILL" in answer.json()["message"]
    assert predict(shared, n=2)["n"] == 2
    until_idle(shared)


def test_the_death_of_a_place_costs_one_call(shared, cluster, tmp_path):
    until_idle(shared)
    ran = tmp_path / "ran"
    with ThreadPoolExecutor() as threads:
        call = threads.submit(
            shared.post, PREDICT, params={"n": 1, "seconds": 60, "ran": str(ran)}
        )
        wait_until(lambda: numbers(ran) == [1])
        [busy] = [worker for worker in workers(shared) if worker["state"] == "busy"]
        model = psutil.Process(busy["pid"])
        model.parent().kill()
        answer = call.result(timeout=10)
    assert answer.status_code == 500
    assert "lost (Ray:" in answer.json()["message"]
    psutil.wait_procs([model], timeout=2)
    assert not model.is_running()
    assert predict(shared, n=2)["n"] == 2
    until_idle(shared)
    assert numbers(ran) == [1]
    wait_until(
        lambda: len(cluster.place_folders()) == 2
    )  # that of the dead one is gone


# -- 5, 6: calls that are ended


def test_a_training_that_holds_the_interpreter_is_cancelled(shared):
    until_idle(shared)
    job = shared.post(TRAIN, params={"seconds": 99, "child": True}).json()
    url = f"{TRAIN}/{job['uuid']}"
    wait_until(lambda: "stray" in shared.get(f"{url}/log").text)
    printed = shared.get(f"{url}/log").text
    pids = [
        int(re.search(rf"{word} (\d+)", printed)[1])
        for word in ("training in", "child", "stray")
    ]
    processes = [psutil.Process(pid) for pid in pids]
    began = time.monotonic()
    assert shared.delete(url).status_code == 200
    assert time.monotonic() - began < 1
    _, alive = psutil.wait_procs(processes, timeout=2)
    assert [process for process in alive if process.status() != "zombie"] == []
    until_idle(shared)


def test_a_time_out(start):
    server = start("--predict-timeout=1", "--workers=1")
    began = time.monotonic()
    answer = server.post(PREDICT, params={"seconds": 60})
    assert answer.status_code == 504
    assert time.monotonic() - began < 1.5
    assert predict(server, n=1)["n"] == 1


def test_a_reader_who_leaves_in_the_middle_of_an_item(shared, tmp_path):
    until_idle(shared)
    params = {"how": "stream", "size": 1, "seconds": 60}
    accept = {"Accept": "application/octet-stream"}
    with shared.client.stream("POST", PREDICT, params=params, headers=accept) as answer:
        next(answer.iter_raw())
    began = time.monotonic()
    wait_until(lambda: all(w["state"] == "idle" for w in workers(shared)))
    assert time.monotonic() - began < 0.5


# -- 7, 8: memory


def test_a_slow_reader_of_a_large_stream(shared, cluster):
    until_idle(shared)
    predict(shared)
    before = rss(shared.pid)
    params = {"how": "stream", "size": 1024}
    accept = {"Accept": "application/octet-stream"}
    with shared.client.stream("POST", PREDICT, params=params, headers=accept) as answer:
        seen = 0
        for piece in answer.iter_raw(MIB):
            seen += len(piece)
            if seen % (64 * MIB) < MIB:
                time.sleep(0.3)
                assert rss(shared.pid) - before < 20 * MIB
    assert seen == 1024 * MIB


def test_a_large_upload(shared, cluster, tmp_path):
    until_idle(shared)
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        file.truncate(1024 * MIB)
    predict(shared)
    places = cluster.places()
    pids = [shared.pid, *(place.pid for place in places)]
    before = {pid: rss(pid) for pid in pids}
    largest = dict(before)
    done = threading.Event()

    def watch():
        while not done.wait(0.05):
            for pid in pids:
                largest[pid] = max(largest[pid], rss(pid))

    watching = threading.Thread(target=watch)
    watching.start()
    with path.open("rb") as file:
        answer = shared.post(PREDICT, files={"file": file}, timeout=200)
    done.set()
    watching.join()
    assert prediction(answer)["files"][0][2] == 1024 * MIB
    grown = {pid: (largest[pid] - before[pid]) / MIB for pid in pids}
    assert max(grown.values()) < 64, grown
    assert uploaded(cluster) == []


def test_the_files_of_a_place_that_is_killed(shared, cluster, tmp_path):
    until_idle(shared)
    with ThreadPoolExecutor() as threads:
        call = threads.submit(
            shared.post,
            PREDICT,
            params={"seconds": 60},
            files={"file": b"x" * MIB},
        )
        wait_until(lambda: len(uploaded(cluster)) == 1)
        [busy] = [worker for worker in workers(shared) if worker["state"] == "busy"]
        psutil.Process(busy["pid"]).parent().kill()
        assert call.result(timeout=10).status_code == 500
    wait_until(lambda: uploaded(cluster) == [])
    wait_until(lambda: list(Path(shared.temporary).rglob("*upload*")) == [])
    until_idle(shared)


# -- 12: what is not done


def test_nothing_leaves_the_machine(shared, cluster):
    for process in [*cluster.head.processes(), psutil.Process(shared.pid)]:
        devices = Path(f"/proc/{process.pid}/net/dev").read_text().splitlines()[2:]
        assert [line.split(":")[0].strip() for line in devices] == ["lo"]
    [gateway] = [p for p in psutil.Process(shared.pid).children() if is_gateway(p)]
    assert gateway.environ()["RAY_USAGE_STATS_ENABLED"] == "0"
    assert "/site-packages/ray/" not in Path(f"/proc/{shared.pid}/maps").read_text()


def is_gateway(process):
    return "deepaas.executors.gateway" in command_line(process)


def test_ray_is_not_used_on_this_machine(serve):
    server = serve(MODEL)
    children = psutil.Process(server.pid).children(recursive=True)
    assert not any(is_gateway(child) for child in children)
    for process in [psutil.Process(server.pid), *children]:
        assert (
            "/site-packages/ray/" not in Path(f"/proc/{process.pid}/maps").read_text()
        )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--ray-address=ray://127.0.0.1:10001",), "Ray Client cannot stream"),
        (("--ray-address=127.0.0.1:6379", "--gpus=0"), "--worker-gpus"),
        (("--worker-gpus=1",), "need --ray-address"),
        (("--worker-resources=big",), "NAME=N"),
        (("--ray-address=127.0.0.1:1",), "cannot be used"),
    ],
)
def test_a_start_that_cannot_be(cluster, fail_to_start, options, words):
    ended = fail_to_start(MODEL, *options, env=ray.SETTINGS, timeout=100)
    assert ended.code == 1
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


# -- 11: what the cluster does not have


def test_more_gpus_than_there_are(cluster, fail_to_start):
    options = (*on(cluster), "--worker-gpus=8", "--warm-timeout=12")
    ended = fail_to_start(*options, env=ray.SETTINGS)
    assert ended.code == 1
    assert "no node of the Ray cluster has CPU 1, GPU 8" in ended.stderr


def test_two_models_share_a_gpu(cluster, serve):
    node = cluster.add_node("--num-gpus=1")
    path = MODELS / "clustered.py"
    server = serve(
        *(*on(cluster), f"--model=other={path}", "--worker-gpus=0.5"), env=ray.SETTINGS
    )
    for name in ("m", "other"):
        answer = server.post(f"/v2/models/{name}/predict")
        assert prediction(answer)["gpu"] == "0"
    text = server.get("/metrics").text
    assert 'gpu="0"' in text
    server.stop()
    cluster.remove(node)


# -- 10: the end of a server


def test_a_server_that_is_killed_leaves_nothing(start, cluster):
    before = {process.pid for process in [*cluster.places(), *cluster.models()]}
    server = start("--workers=1")
    ours = [p for p in [*cluster.places(), *cluster.models()] if p.pid not in before]
    assert len(ours) == 2
    server.kill()
    _, alive = psutil.wait_procs(ours, timeout=10)
    assert alive == []


# -- 2, 4: the loss of a node


def lose_a_node(server, cluster, tmp_path, how, seconds):
    """Call the model 100 times at once, and lose a node meanwhile."""
    until_idle(server)
    ran = tmp_path / "ran"
    with ThreadPoolExecutor(100) as threads:
        calls = [
            threads.submit(
                server.post,
                PREDICT,
                params={"n": n, "seconds": 0.1, "ran": str(ran)},
                timeout=seconds + 60,
            )
            for n in range(100)
        ]
        wait_until(lambda: len(numbers(ran)) > 10)
        began = time.monotonic()
        node = cluster.nodes[-1]
        how(node)
        answers = [call.result() for call in calls]
        took = time.monotonic() - began
    lost = [answer for answer in answers if answer.status_code != 200]
    assert len(lost) <= 2, [answer.text for answer in lost]
    for answer in lost:
        assert answer.status_code == 500
        assert "The worker died in the call" in answer.json()["message"]
    for n, answer in enumerate(answers):
        if answer.status_code == 200:
            assert prediction(answer)["n"] == n
    assert len(numbers(ran)) == len(set(numbers(ran)))  # begun at most once
    assert took < seconds
    return node


def test_a_node_is_lost_in_the_middle_of_100_calls(shared, cluster, tmp_path):
    seconds = ray.DEAD_SECONDS + 10 + 10  # and 50 calls of 0.1 s in each of two places
    places = cluster.nodes[-1].places()
    models = cluster.nodes[-1].models()
    node = lose_a_node(shared, cluster, tmp_path, ray.Node.kill_raylet, seconds)
    _, alive = psutil.wait_procs([*places, *models], timeout=15)
    assert alive == []
    cluster.remove(node)
    cluster.add_node()
    until_idle(shared)


def test_a_node_that_is_idle_is_lost(shared, cluster):
    until_idle(shared)
    node = cluster.nodes[0]
    lost = {model.pid for model in node.models()}
    node.kill_raylet()
    wait_until(lambda: lost.isdisjoint(w["pid"] for w in workers(shared)))
    began = time.monotonic()
    assert predict(shared, n=1)["n"] == 1
    assert time.monotonic() - began < 20
    cluster.remove(node)
    cluster.add_node()
    until_idle(shared)


def test_a_node_hangs_in_the_middle_of_100_calls(shared, cluster, tmp_path):
    seconds = ray.DEAD_SECONDS + 30

    def hang(node):
        node.raylet().send_signal(signal.SIGSTOP)

    places = cluster.nodes[-1].places()
    node = lose_a_node(shared, cluster, tmp_path, hang, seconds)
    _, alive = psutil.wait_procs(places, timeout=20)
    assert alive == []
    cluster.remove(node)
    cluster.add_node()
    until_idle(shared)


# -- 9: the loss of the cluster


def test_the_node_of_the_server_is_lost_and_back(shared, cluster):
    until_idle(shared)
    pid = shared.pid
    cluster.head.kill_raylet()
    wait_until(lambda: not ready(shared), timeout=60)
    assert shared.get(TRAIN).status_code == 200
    wait_until(lambda: ready(shared), timeout=90)
    assert predict(shared, n=1)["n"] == 1
    assert shared.pid == pid
    until_idle(shared)


def test_the_head_is_lost_and_back(shared, cluster):
    for node in [*cluster.nodes, cluster.head]:
        node.close()
    cluster.nodes.clear()
    wait_until(lambda: not ready(shared), timeout=60)
    for _ in range(20):
        assert shared.get(TRAIN).status_code == 200
        assert shared.get("/v2/health/live").status_code == 200
        time.sleep(0.1)
    assert shared.post(PREDICT).status_code == 503
    cluster.restart_head()
    cluster.add_nodes(2)
    wait_until(lambda: ready(shared), timeout=120)
    assert predict(shared, n=1)["n"] == 1
