"""`enable(client=…)`, end to end: the example's operator, whose objects and Lease are on different API servers."""

import pathlib
import shlex
from urllib.parse import urlsplit

import pytest
import yaml

from kopf_leader.testing.apiserver import EmbeddedAPIServer
from kopf_leader.testing.processes import ReplicaSet
from kopf_leader.testing.proxy import Proxy

ROOT = pathlib.Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "05-other-clients"
FILES = {
    "kubernetes": "with_kubernetes.py",
    "kubernetes.aio": "with_kubernetes_aio.py",
    "pykube": "with_pykube.py",
}
QUICK = {
    "KOPF_RUN_LEADER_ELECTION_LEASE_DURATION": "5s",
    "KOPF_RUN_LEADER_ELECTION_RENEW_DEADLINE": "3s",
    "KOPF_RUN_LEADER_ELECTION_RETRY_PERIOD": "500ms",
}


class Stage:
    """Where the objects are, and one replica of the example."""

    def __init__(self, objects, cluster, folder, library):
        self.objects = objects
        objects.create("customresourcedefinitions", yaml.safe_load((ROOT / "examples" / "crd.yaml").read_text()))
        address = urlsplit(cluster.url)
        self.proxy = Proxy(address.hostname, address.port).start()
        way = cluster.kubeconfig(folder / "lease", url=f"{address.scheme}://127.0.0.1:{self.proxy.port}")
        command = ["python", "-m", "kopf", "run", "-A", FILES[library]]
        self.replicas = ReplicaSet(
            command,
            folder / "replicas",
            environment={"PYTHONPATH": str(ROOT), "LEASE_KUBECONFIG": str(way), **QUICK},
            cwd=EXAMPLE,
        )
        kubeconfig = objects.write_kubeconfig(folder / "objects")
        self.replica = self.replicas.start("a", kubeconfig=kubeconfig, environment={"POD_NAME": "pod-a"})

    def create(self, name):
        body = {"apiVersion": "kopf.dev/v1", "kind": "KopfExample", "metadata": {"name": name}, "spec": {"field": name}}
        self.objects.create("kopfexamples", body, namespace="default")

    def handled(self, name):
        every = self.objects.objects("kopfexamples", namespace="default")
        found = next(one for one in every if one["metadata"]["name"] == name)
        return found.get("status", {}).get("create") == {"created-for": name}

    def close(self):
        self.proxy.heal()
        self.replicas.close()
        self.proxy.stop()


@pytest.fixture(params=FILES)
def stage(request, cluster, tmp_path):
    cluster.make("my-operator")
    with EmbeddedAPIServer().in_thread() as objects:
        stage = Stage(objects, cluster, tmp_path, request.param)
        yield stage
        stage.close()


@pytest.mark.parametrize("library", FILES)
def test_the_readme_shows_what_is_run_here(library):
    """Nothing shown is unrun: the README has the command and the variable of these tests."""
    shown = (EXAMPLE / "README.md").read_text()
    assert shlex.join(["kopf", "run", "-A", FILES[library]]) in shown
    assert "export LEASE_KUBECONFIG=" in shown


def test_the_lease_lives_elsewhere(stage, cluster):
    """The Lease may live in another cluster: it is taken, renewed and released there, and objects are handled here."""
    stage.create("one")
    stage.replicas.wait_until(lambda: stage.handled("one"), what="the handling")
    assert cluster.holder("my-operator").startswith("pod-a_")
    assert not stage.objects.objects("leases", namespace="default"), "nothing of the election is here"
    assert stage.replicas.stop() == {"a": 0}, stage.replicas.tails()
    assert cluster.spec("my-operator").items() >= {"holderIdentity": "", "leaseDurationSeconds": 1}.items()
    assert "Traceback" not in stage.replica.text()


def test_a_hanging_socket_does_not_hold_the_renew_deadline(stage, cluster):
    """Every socket to the Lease's server hangs: the gate closes by the clock; nothing is handled until it is back."""
    stage.create("one")
    stage.replicas.wait_until(lambda: stage.handled("one"), what="the handling")
    stage.proxy.cut()
    stage.replicas.wait_until(lambda: "Standing by:" in stage.replica.text(), what="the end of the term")
    stage.create("two")
    stage.replicas.wait_until(
        lambda: "no answer in time" in stage.replica.text() or "not answered" in stage.replica.text(), what="the reason"
    )
    assert not stage.handled("two")
    stage.proxy.heal()
    stage.replicas.wait_until(lambda: stage.handled("two"), what="the handling in the next term")
    assert stage.replicas.stop() == {"a": 0}, stage.replicas.tails()
    assert stage.replica.text().count("Became leader") == 2
