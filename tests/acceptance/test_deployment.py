"""Files for operators: the container, the unit, the dashboard, the alerts."""

from __future__ import annotations

import dataclasses
import json
import re
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest
import yaml
from packaging.requirements import Requirement
from prometheus_client.parser import text_string_to_metric_families

from deepaas.config import Settings
from tests.conftest import Serve
from tests.server import MODELS, ROOT, free_port, wait_until

ETC = ROOT / "etc"
OPTIONS = {field.name for field in dataclasses.fields(Settings)}
VARIABLES = {"$__rate_interval": "5m"}


def run(*command: str | Path) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_dockerfile():
    hadolint = Path(sys.executable).parent / "hadolint"
    assert run(hadolint, ROOT / "examples" / "digits" / "Dockerfile") == ""


def test_the_container_has_an_init():
    lines = (ROOT / "examples" / "digits" / "Dockerfile").read_text().splitlines()
    assert 'ENTRYPOINT ["/usr/bin/tini", "--"]' in lines
    assert any("apt-get install" in line and "tini" in line for line in lines)


REQUIREMENT = re.compile(
    r"\bdeepaas *(?:\[[^]\n]*\] *)?(?:[<>]=?|[=~!]==?) *\d[\w.,<>=~! ]*"
)
TEXTS = {
    "",
    ".cfg",
    ".conf",
    ".md",
    ".py",
    ".service",
    ".toml",
    ".txt",
    ".yaml",
    ".yml",
}
OTHER_IMPLEMENTATION = {
    # it is measured beside this one
    Path("benchmarks/environments.py"),
    Path("benchmarks/models/deepaas_benchmark/upload.py"),
    Path("doc/architecture.md"),
    Path("doc/benchmarks.md"),
}


def named_requirements() -> list[tuple[Path, str]]:
    """Every place that says which deepaas to install."""
    files = [file for file in ROOT.iterdir() if file.is_file()]
    for folder in "deepaas", "doc", "etc", "examples", "tests", "benchmarks":
        files += [file for file in (ROOT / folder).rglob("*") if file.is_file()]
    return [
        (file.relative_to(ROOT), found[0].strip(" ,"))
        for file in files
        if file.suffix in TEXTS
        and file.relative_to(ROOT) not in OTHER_IMPLEMENTATION
        and not any(part.endswith((".egg-info", "_build")) for part in file.parts)
        for found in REQUIREMENT.finditer(file.read_text(errors="replace"))
    ]


def test_what_is_required_is_this_implementation():
    """2.6.0 and older are another one, and pip takes the newest that fits."""
    found = named_requirements()
    assert {file for file, _ in found} >= {
        Path("examples/digits/pyproject.toml"),
        Path("examples/digits/README.md"),
        Path("examples/digits/Dockerfile"),
    }
    for file, text in found:
        specifier = Requirement(text).specifier
        assert not specifier.contains("2.6.0"), file
        assert specifier.contains(version("deepaas")), file
        assert not specifier.contains("3.0.0"), file


def test_the_unit(systemd_analyze, tmp_path):
    """The operator chooses the path of the server; the test uses the installed one."""
    unit = (ETC / "deepaas.service").read_text()
    path = tmp_path / "deepaas.service"
    path.write_text(unit.replace("/opt/deepaas/bin", str(Path(sys.executable).parent)))
    done = subprocess.run(
        [systemd_analyze, "verify", "--man=no", path],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if "deepaas.service" in line]
    assert said == []


def test_the_alerts(promtool):
    assert "SUCCESS" in run(promtool, "check", "rules", ETC / "prometheus-alerts.yml")


def _queries() -> list[str]:
    dashboard = json.loads((ETC / "grafana-dashboard.json").read_text())
    return [
        target["expr"] for panel in dashboard["panels"] for target in panel["targets"]
    ]


def test_the_dashboard_loads():
    """Grafana's own types read it."""
    models = pytest.importorskip("grafana_foundation_sdk.models.dashboard")
    content = json.loads((ETC / "grafana-dashboard.json").read_text())
    dashboard = models.Dashboard.from_json(content)
    assert len(dashboard.panels) == len(content["panels"])
    names = {variable["name"] for variable in content["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(content)))
    assert used - {"__rate_interval", "__all"} == names


def test_the_queries(promtool, tmp_path):
    rules = []
    for number, query in enumerate(_queries()):
        for variable, value in VARIABLES.items():
            query = query.replace(variable, value)
        rules.append({"record": f"query:{number}", "expr": query})
    path = tmp_path / "rules.json"  # which is YAML, too
    path.write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))
    run(promtool, "check", "rules", path)


def test_what_is_asked_for_is_there(serve: Serve):
    server = serve("--model", f"echo={ROOT / 'tests' / 'models' / 'echo.py'}")
    server.post("/v2/models/echo/predict/?n=1")
    families = list(text_string_to_metric_families(server.get("/metrics").text))
    there = {sample.name for family in families for sample in family.samples}
    there |= {"deepaas_jobs", "deepaas_worker_replacements_total", "up"}
    texts = [*_queries(), (ETC / "prometheus-alerts.yml").read_text()]
    asked = set(re.findall(r"\b(?:deepaas|process)_\w+", "\n".join(texts)))
    assert asked
    assert asked <= there


# -- several servers


def documents(name):
    return list(yaml.safe_load_all((ETC / name).read_text()))


def environment(container):
    return {each["name"]: each for each in container["env"]}


def test_the_files_for_several_servers_name_real_options():
    [compose] = documents("front-ends.compose.yaml")
    kubernetes = documents("front-ends.kubernetes.yaml")
    [deployment] = [each for each in kubernetes if each["kind"] == "Deployment"]
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    command = compose["services"]["deepaas"]["command"]
    for program, *options in command, container["command"]:
        assert program == "deepaas-run"
        named = {option.partition("=")[0].removeprefix("--") for option in options}
        assert named <= {name.replace("_", "-") for name in OPTIONS}
    for variables in (
        compose["services"]["deepaas"]["environment"],
        environment(container),
    ):
        assert "OS_DEFAULT__DATABASE_URL" in variables
    assert container["readinessProbe"]["httpGet"]["path"] == "/v2/health/ready"
    services = {each["metadata"]["name"]: each for each in kubernetes}
    assert services["deepaas"]
    ports = [each["name"] for each in container["ports"]]
    assert container["livenessProbe"]["httpGet"]["port"] in ports


def test_the_files_for_a_ray_cluster_name_real_options():
    [compose] = documents("ray.compose.yaml")
    cluster, *others = documents("ray.kubernetes.yaml")
    [group] = [
        each for each in cluster["spec"]["workerGroupSpecs"] if "server" in str(each)
    ]
    [_, container] = group["template"]["spec"]["containers"]
    command = " ".join(container["command"])
    texts = [command, compose["services"]["server"]["command"].partition("exec ")[2]]
    for text in texts:
        assert text.startswith("deepaas-run ")
        named = set(re.findall(r" --([\w-]+)", text))
        assert "ray-address" in named
        assert named <= {name.replace("_", "-") for name in OPTIONS}
    services = compose["services"]
    outside = [name for name, each in services.items() if "ports" in each]
    assert outside == ["server"]  # anyone who reaches Ray can run code on it
    assert compose["networks"]["cluster"]["internal"]
    assert {each["kind"] for each in others} == {"Service", "NetworkPolicy"}
    ports = [each["name"] for each in container["ports"]]
    assert container["livenessProbe"]["httpGet"]["port"] in ports


def test_nginx_in_front_of_several_servers(serve: Serve, nginx, database_url, tmp_path):
    model = ("--model", f"m={MODELS / 'trains.py'}")
    environment = {"OS_DEFAULT__DATABASE_URL": database_url}
    servers = [serve(*model, env=environment) for _ in range(2)]
    port = free_port()
    text = (ETC / "front-ends.nginx.conf").read_text()
    # Debian's nginx is older than `resolve`, which only Compose needs.
    text = text.replace("resolver 127.0.0.11 valid=5s;", "")
    lines = "".join(f"server 127.0.0.1:{server.port};" for server in servers)
    text = text.replace("server deepaas:5000 resolve;", lines)
    text = text.replace("listen 80;", f"listen 127.0.0.1:{port};")
    paths = "".join(
        f"{name}_temp_path {tmp_path}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {tmp_path}/pid; events {{}}"
        f"error_log {tmp_path}/errors; http {{ access_log off; {paths} {text} }}"
    )
    process = subprocess.Popen([nginx, "-c", tmp_path / "nginx.conf", "-p", tmp_path])
    try:
        url = f"http://127.0.0.1:{port}/v2/models/m/train"
        with httpx.Client(trust_env=False) as client, socket.socket() as probe:
            wait_until(lambda: probe.connect_ex(("127.0.0.1", port)) == 0)
            for _ in range(4):
                job = client.post(url).json()["uuid"]
                for _ in range(2):  # each server has its turn
                    assert client.get(f"{url}/{job}").json()["uuid"] == job
            servers[0].stop()
            for _ in range(3):
                assert client.get(f"{url}/{job}").json()["uuid"] == job
    finally:
        process.terminate()
        process.wait(10)
