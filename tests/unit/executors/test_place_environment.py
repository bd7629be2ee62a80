"""The variables of a model on a node."""

from deepaas.executors.place_environment import node_environment


def test_the_variables_of_a_model_on_a_node(monkeypatch):
    monkeypatch.setenv("WEIGHTS", "/node")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    server = {
        "WEIGHTS": "/server",
        "MODEL_URL": "https://example.org",
        "PATH": "/only/here",
        "CUDA_VISIBLE_DEVICES": "0",
        "TMPDIR": "/only/here",
        "PYTHONPATH": "/only/here",
    }
    environment = node_environment(server)
    assert environment["WEIGHTS"] == "/node"
    assert environment["MODEL_URL"] == "https://example.org"
    assert environment["CUDA_VISIBLE_DEVICES"] == "3"
    assert "/only/here" not in environment.values()
