"""Three replicas as processes on the embedded API server, led by the commands as a person types them."""

import itertools
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
import trustme
import yaml

from kopf_leader.testing.apiserver import EmbeddedAPIServer
from kopf_leader.testing.history import Expected, check
from kopf_leader.testing.processes import ReplicaSet
from tests.controlplane.api import Api

ROOT = Path(__file__).parents[2]
OPERATOR = ROOT / "tests" / "e2e" / "operator"
OBJECTS = "/apis/kopf.dev/v1/namespaces/default/kopfexamples"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
PATIENCE = 120  # seconds


class Scene:
    """The replicas, the objects that they handle, and a person."""

    def __init__(self, server, folder):
        self.folder = folder
        self.api = Api(server.url, server.ca_file, server.admin_token)
        self.api.create(DEFINITIONS, yaml.safe_load((OPERATOR / "crd.yaml").read_text()))
        server.create("leases", {"metadata": {"name": "op"}, "spec": {}}, namespace="default")
        self.kubeconfig = server.write_kubeconfig(folder / "kubeconfig")
        self.replicas = ReplicaSet(
            ["python", "-m", "kopf_leader", "run"], folder / "replicas", environment={"PYTHONPATH": str(ROOT)}
        )
        self.expected = []
        self._numbers = itertools.count()

    def start(self, *names, arguments=()):
        for name in names:
            self.replicas.start(
                name,
                kubeconfig=self.kubeconfig,
                arguments=[
                    "--enable-leader-election", "--leader-election-id=op", "--leader-election-lease-duration=10s",
                    "--leader-election-renew-deadline=7s", "--leader-election-retry-period=1s", *arguments,
                    "-n", "default", str(OPERATOR / "handlers.py"),
                ],
                environment={"POD_NAME": name},
            )  # fmt: skip
            self.replicas.wait_until(lambda name=name: "Standing for" in self.replicas[name].text(), what=name)

    def run(self, command, *arguments, status=0):
        done = subprocess.run(
            [sys.executable, "-m", "kopf_leader", command, "op", "--kubeconfig", self.kubeconfig, *arguments],
            cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert done.returncode == status, (done, self.replicas.tails())
        return done.stdout

    def create(self, count=3):
        for number in itertools.islice(self._numbers, count):
            body = {"apiVersion": "kopf.dev/v1", "kind": "KopfExample", "metadata": {"name": f"object-{number}"}}
            made = self.api.create(OBJECTS, {**body, "spec": {"daemon": number % 2 == 0, "seconds": 0.05}})
            self.expected.append(Expected(made["metadata"]["uid"], body["metadata"]["name"], handlers=("create",)))

    def verdict(self):
        return check(self.replicas.history(), self.expected)

    def handled(self):
        self.replicas.wait_until(lambda: not self.verdict().lost, timeout=PATIENCE, what="work on all objects")

    def leader(self):
        """Who the Lease says leads, when it is at work: the last handler that started is its own."""
        self.create(1)
        self.handled()
        started = [run for run in self.verdict().executions if run.handler == "create"]
        return max(started, key=lambda run: run.start).process.replica

    def at_work(self):
        """What is begun and not ended."""
        return [run for run in self.verdict().executions if run.outcome == "open"]


@pytest.fixture
def scene(tmp_path):
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with EmbeddedAPIServer(ssl_context=context, ca_file=tmp_path / "ca.pem").in_thread() as server:
        scene = Scene(server, tmp_path)
        with scene.replicas:
            yield scene


def test_a_person_leads_the_leaders(scene):
    """Step down, transfer, hold, resume, `--dev`: each as it was asked for, without two at work at any moment."""
    scene.start("a", "b", "c")
    scene.run("status", "--wait", "--timeout=100s")
    first = scene.leader()

    scene.run("step-down")
    second = scene.leader()
    assert second != first

    for target in sorted({"a", "b", "c"} - {second}):
        assert f"\n{target}_" in scene.run("transfer", "--to", target, "--force")
        assert scene.leader() == target
    scene.run("transfer", "--to", "x", status=2)

    scene.run("hold", "--reason", "an upgrade of the database")
    scene.create(5)
    assert "an upgrade of the database" in scene.run("status", status=1)
    scene.replicas.wait_until(lambda: not scene.at_work(), what="the end of all handlers")
    handled = len(scene.verdict().executions)
    scene.run("status", "--wait", "--timeout=3s", status=1)
    assert len(scene.verdict().executions) == handled
    scene.run("resume")
    scene.handled()

    scene.start("dev", arguments=["--dev"])
    scene.run("status", "--wait", "--for=holder=dev", "--timeout=100s")
    assert scene.leader() == "dev"
    scene.replicas["dev"].stop()
    assert scene.replicas["dev"].wait() == 0
    scene.run("status", "--wait", "--timeout=100s")
    assert scene.leader() in ("a", "b", "c")

    assert scene.replicas.stop() == {"a": 0, "b": 0, "c": 0}
    verdict = scene.verdict()
    assert verdict.ok, f"{verdict.explain()}\n{scene.replicas.tails()}"
    assert "Traceback" not in "".join(scene.replicas[name].text() for name in ("a", "b", "c", "dev"))
