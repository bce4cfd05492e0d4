"""The two API servers, each with a namespace and kubeconfigs, for processes that elect there."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kopf_leader.testing.apiserver import EmbeddedAPIServer
from tests.controlplane.fixtures import shared_control_plane

__all__ = ["shared_control_plane"]
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """One API server: who may do everything there, and the Leases of the namespace `default`."""

    url: str
    kubeconfig: Callable[..., Path]
    make: Callable[[str], Any]
    find: Callable[[str], dict[str, Any]]

    def spec(self, name: str) -> dict[str, Any]:
        return dict(self.find(name).get("spec") or {})

    def holder(self, name: str) -> str:
        return self.spec(name).get("holderIdentity") or ""


def embedded(server: EmbeddedAPIServer) -> Cluster:
    def find(name: str) -> dict[str, Any]:
        every = server.objects("leases", namespace="default")
        return next((lease for lease in every if lease["metadata"]["name"] == name), {})

    return Cluster(
        url=server.url,
        kubeconfig=lambda path, url=None: server.write_kubeconfig(path, **({"url": url} if url else {})),
        make=lambda name: server.create("leases", {"metadata": {"name": name}, "spec": {}}, namespace="default"),
        find=find,
    )


@pytest.fixture(params=["embedded", "real"])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Each of the two API servers."""
    if request.param == "real":
        plane = request.getfixturevalue("shared_control_plane")

        def make(name: str) -> None:
            plane.admin.attempt("DELETE", f"{LEASES}/{name}")  # of the test before
            plane.admin.create(LEASES, {"metadata": {"name": name}, "spec": {}})

        yield Cluster(
            url=plane.url,
            kubeconfig=lambda path, url=None: plane.kubeconfig(path, token=plane.admin.token, url=url),
            make=make,
            find=lambda name: plane.admin.get(f"{LEASES}/{name}"),
        )
        return
    with EmbeddedAPIServer().in_thread() as server:
        yield embedded(server)
