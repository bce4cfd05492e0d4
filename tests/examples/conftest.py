"""The two API servers, each with the examples' resource and a namespace, and replicas of an example on it."""

import secrets
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from kopf_leader.testing.apiserver import EmbeddedAPIServer
from kopf_leader.testing.processes import ReplicaSet
from tests.controlplane.api import Api
from tests.controlplane.fixtures import shared_control_plane

__all__ = ["shared_control_plane"]
ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
CRD = yaml.safe_load((EXAMPLES / "crd.yaml").read_text(encoding="utf-8"))
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
RELEASED = {"holderIdentity": "", "leaseDurationSeconds": 1}
QUICK = {
    "KOPF_RUN_LEADER_ELECTION_LEASE_DURATION": "4s",
    "KOPF_RUN_LEADER_ELECTION_RENEW_DEADLINE": "3s",
    "KOPF_RUN_LEADER_ELECTION_RETRY_PERIOD": "500ms",
}


class Place:
    """A namespace of an API server, as an administrator sees it, and the replicas that run there."""

    def __init__(self, admin: Api, kubeconfig: Path, namespace: str, folder: Path) -> None:
        self.admin, self.kubeconfig, self.namespace, self.folder = admin, kubeconfig, namespace, folder
        self.objects = f"/apis/kopf.dev/v1/namespaces/{namespace}/kopfexamples"
        self.leases = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self.replicas: Any = None

    def stage(self, example: str, command: list[str], **variables: str) -> ReplicaSet:
        """An example, to be started; its Lease was made beforehand, so that it is taken at once (L11)."""
        self.admin.create(self.leases, {"metadata": {"name": "my-operator"}, "spec": {}})
        self.replicas = ReplicaSet(
            ["python", "-m", *command],
            self.folder / "replicas",
            environment={"PYTHONPATH": str(ROOT), **variables},
            cwd=EXAMPLES / example,
        )
        return self.replicas

    def install(self, definition: dict[str, Any]) -> None:
        """A definition of a resource, unless it is there; it is served when this returns."""
        status, answer = self.admin.attempt("POST", CRDS, definition)
        assert status in (201, 409), answer
        spec = definition["spec"]
        path = f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}"
        self.wait(lambda: self.admin.attempt("GET", path)[0] == 200, f"{path} to be served")

    def start(self, name: str, **variables: str) -> None:
        self.replicas.start(name, kubeconfig=self.kubeconfig, environment={"POD_NAME": f"pod-{name}", **variables})

    def wait(self, condition: Callable[[], Any], what: str) -> None:
        self.replicas.wait_until(condition, what=what)

    def says(self, name: str, words: str) -> None:
        """Wait until a replica's log has these words."""
        self.wait(lambda: words in self.replicas[name].text(), f"{name} to say {words!r}")

    def create(self, name: str, field: str | None = None) -> None:
        body = {"apiVersion": "kopf.dev/v1", "kind": "KopfExample", "metadata": {"name": name}}
        self.admin.create(self.objects, {**body, "spec": {"field": field or name}})

    def status(self, name: str) -> dict[str, Any]:
        return dict(self.admin.get(f"{self.objects}/{name}").get("status") or {})

    def handled(self, name: str) -> None:
        """Wait until some handler's result is stored on the object."""
        self.wait(lambda: {"created-for": name} in self.status(name).values(), f"the handling of {name}")

    @property
    def lease(self) -> dict[str, Any]:
        return dict(self.admin.get(f"{self.leases}/my-operator").get("spec") or {})

    def leads(self, name: str) -> bool:
        return str(self.lease.get("holderIdentity")).startswith(f"pod-{name}_")

    def end(self) -> None:
        """SIGTERM to all: they end with 0, nothing is held, and nothing was logged that is no sentence."""
        ends = self.replicas.stop()
        assert set(ends.values()) == {0}, self.replicas.tails()
        assert self.lease.items() >= RELEASED.items()
        for name in ends:
            assert "Traceback" not in self.replicas[name].text(), self.replicas.tails()

    def close(self) -> None:
        if self.replicas is not None:
            self.replicas.close()
        for item in self.admin.get(self.objects)[
            "items"
        ]:  # for no operator that follows, which may serve all namespaces
            path = f"{self.objects}/{item['metadata']['name']}"
            self.admin.patch(path, {"metadata": {"finalizers": None}})
            self.admin.attempt("DELETE", path)


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.xdist_group("real"))])
def server(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def place(server: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A namespace on either API server."""
    if server == "real":
        plane = request.getfixturevalue("shared_control_plane")
        plane.install(CRD)
        namespace = plane.namespace("examples")
        path = plane.kubeconfig(tmp_path / "kubeconfig", token=plane.admin_token, namespace=namespace)
        place = Place(plane.admin, path, namespace, tmp_path)
        yield place
        place.close()
        return
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with EmbeddedAPIServer(ssl_context=context, ca_file=tmp_path / "ca.pem").in_thread() as embedded:
        admin, namespace = (
            Api(embedded.url, tmp_path / "ca.pem", embedded.admin_token),
            f"examples-{secrets.token_hex(4)}",
        )
        admin.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
        admin.create(CRDS, CRD)
        place = Place(
            admin, embedded.write_kubeconfig(tmp_path / "kubeconfig", namespace=namespace), namespace, tmp_path
        )
        yield place
        place.close()
