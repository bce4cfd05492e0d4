"""A real Prometheus scrapes a real leader and a real standby: rules and dashboard have something to show."""

import json
import re
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kopf_leader.testing.apiserver import EmbeddedAPIServer, Rule
from kopf_leader.testing.processes import ReplicaSet
from tests.chart.helm import Objects, environment, render, the
from tests.chart.programs import Prometheus, prometheus_or_skip

pytestmark = pytest.mark.timeout(300)
ROOT = Path(__file__).parents[2]
LEASE, NAMESPACE, REPLICAS = "op-kopf-operator", "apps", ("a", "b", "c")
VALUES = {
    "metrics": {"enabled": True, **{each: {"enabled": True} for each in ("prometheusRule", "dashboard")}},
    "leaderElection": {"leaseDuration": "4s", "renewDeadline": "3s", "retryPeriod": "500ms"},
}


def free_port() -> int:
    """A port that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Scraped:
    """Replicas by the chart's own variables on an embedded API server, and the Prometheus that scrapes them."""

    def __init__(self, folder: Path, programs: Prometheus, server: EmbeddedAPIServer) -> None:
        self.objects: Objects = render(also=VALUES)
        self.folder, self.server = folder, server
        self.ports = {name: free_port() for name in REPLICAS}
        self.port = free_port()
        (folder / "handlers.py").write_text("import kopf\n")
        self.replicas = ReplicaSet(
            ["python", "-m", "kopf_leader", "run", "handlers.py"],
            folder / "replicas",
            environment={**environment(self.objects), "PYTHONPATH": str(ROOT)},
            cwd=folder,
        )
        self.process = self._start(programs)

    def _start(self, programs: Prometheus) -> subprocess.Popen[bytes]:
        rules = the(self.objects, "PrometheusRule")["spec"]
        (self.folder / "rules.yaml").write_text(yaml.safe_dump(rules))
        targets = [  # with the labels that a PodMonitor gives
            {"targets": [f"127.0.0.1:{port}"], "labels": {"namespace": NAMESPACE, "pod": name}}
            for name, port in self.ports.items()
        ]
        pace = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        job = {"job_name": "pods", "static_configs": targets}
        content = {"global": pace, "rule_files": ["rules.yaml"], "scrape_configs": [job]}
        (self.folder / "prometheus.yaml").write_text(yaml.safe_dump(content))
        command = [
            programs.server,
            f"--config.file={self.folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]
        with (self.folder / "prometheus.log").open("wb") as log:
            return subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)

    def start(self, name: str, token: str | None = None) -> None:
        """Start a replica; by default an administrator."""
        kubeconfig = self.server.write_kubeconfig(self.folder / f"{name}.json", token=token, namespace=NAMESPACE)
        metrics = f"127.0.0.1:{self.ports[name]}"
        addresses = {"KOPF_RUN_METRICS_BIND_ADDRESS": metrics, "KOPF_RUN_HEALTH_PROBE_BIND_ADDRESS": "0"}
        identity = {"POD_NAME": name, "POD_NAMESPACE": NAMESPACE}
        self.replicas.start(name, kubeconfig=kubeconfig, environment={**addresses, **identity})

    def ask(self, path: str, **query: str) -> Any:
        """Prometheus' API: what it has under `data`; None while it does not answer."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as response:
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:  # not ready yet
            error.close()
            return None
        except OSError:
            assert self.process.poll() is None, (self.folder / "prometheus.log").read_text()
            return None

    def numbers(self, expression: str) -> list[float]:
        """The values of an expression, each a number."""
        data = self.ask("query", query=expression) or {"result": []}
        found = [float(each["value"][1]) for each in data["result"]]
        return [] if any(number != number for number in found) else found  # noqa: PLR0124 (NaN)

    def until(self, expression: str, *expected: float) -> None:
        """Wait until an expression has these values; or some, if none are given."""
        self.replicas.wait_until(
            lambda: self.numbers(expression) == [*expected] if expected else self.numbers(expression),
            what=f"{expression} to be {[*expected] or 'something'}",
        )

    def alerts(self) -> dict[str, str]:
        """The state of each alert."""
        groups = (self.ask("rules") or {"groups": []})["groups"]
        return {rule["name"]: rule["state"] for group in groups for rule in group["rules"] if rule["health"] == "ok"}

    def close(self) -> None:
        """End all of it."""
        self.replicas.close()
        self.process.kill()
        self.process.wait()


@pytest.fixture
def scraped(tmp_path: Path) -> Iterator[Scraped]:
    """Nothing of it runs yet but the API server, with the Lease, and Prometheus."""
    programs = prometheus_or_skip()
    with EmbeddedAPIServer().in_thread() as server:
        server.create("namespaces", {"metadata": {"name": NAMESPACE}})
        server.create("leases", {"metadata": {"name": LEASE}, "spec": {}}, namespace=NAMESPACE)
        scraped = Scraped(tmp_path, programs, server)
        try:
            yield scraped
        finally:
            scraped.close()


def _panels(objects: Objects) -> list[str]:
    board = json.loads(next(iter(the(objects, "ConfigMap")["data"].values())))
    variables = {"$namespace": NAMESPACE, "$lease": LEASE, "$__rate_interval": "1m"}
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    for variable, value in variables.items():
        expressions = [expression.replace(variable, value) for expression in expressions]
    assert not [expression for expression in expressions if "$" in expression]
    return expressions


def _measured(rules: list[dict[str, Any]]) -> list[str]:
    """The alerts' expressions without what they are compared with, which is empty while all is well."""
    found = [re.fullmatch(r"(.*) (?:==|>) [0-9.]+", rule["expr"]) for rule in rules]
    return [match[1] for match in found if match is not None]


def test_every_expression_has_a_result(scraped: Scraped):
    """All panels and alerts, after a handover, with a candidate that lacks rights; no alert while somebody leads."""
    scraped.start("a")
    scraped.until("sum(leader_election_master_status)", 1)
    scraped.start("b")
    scraped.start("c", scraped.server.add_user("c", rules=[Rule(verbs=("list",), resources=("namespaces",))]))
    scraped.until("count(leader_election_master_status)", 3)
    scraped.replicas["a"].stop()
    scraped.until('leader_election_master_status{pod="b"}', 1)
    (group,) = the(scraped.objects, "PrometheusRule")["spec"]["groups"]
    measured = _measured(group["rules"])
    assert len(measured) == len(group["rules"])
    for expression in [*_panels(scraped.objects), *measured]:
        scraped.until(expression)
    silent = {rule["alert"]: "inactive" for rule in group["rules"]}
    scraped.replicas.wait_until(lambda: scraped.alerts() == silent, what="all alerts to be evaluated, and silent")

    scraped.replicas["b"].kill()
    scraped.replicas.wait_until(lambda: scraped.alerts().get("KopfOperatorNobodyLeads") != "inactive", what="the alert")
