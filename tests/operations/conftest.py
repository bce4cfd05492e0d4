"""Candidates in virtual time that are looked on at, and servers for what needs HTTP."""

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from kopf_leader.operations.events import EventRecorder
from kopf_leader.operations.health import Health
from kopf_leader.operations.metrics import Metrics
from kopf_leader.operations.view import View
from kopf_leader.testing.apiserver import EmbeddedAPIServer
from tests.controlplane.fixtures import shared_control_plane
from tests.elector.conftest import World, virtually
from tests.operations.looks import Looks, Place

__all__ = ["shared_control_plane", "virtually"]


@pytest.fixture
def watched() -> Callable[[World], dict[str, Looks]]:
    """Have the world's candidates looked on at; what is seen of each, by identity."""

    def watch(world: World) -> dict[str, Looks]:
        every: dict[str, Looks] = {}

        def observe(settings: Any, clock: Any) -> Any:
            view, metrics, health = View(settings, clock), Metrics(), Health(stuck_timeout=300)
            registry = CollectorRegistry()
            metrics.attend(settings, view)
            registry.register(metrics)
            health.view = view
            health.election = Alive(every, settings.identity)
            recorder = EventRecorder(settings, clock)
            every[settings.identity] = Looks(view, metrics, health, registry, recorder)
            return view, metrics, recorder

        world.observe = observe
        return every

    return watch


class Alive:
    """As much of an `Election` as health looks at."""

    def __init__(self, every: dict[str, Looks], identity: str) -> None:
        self._every, self._identity = every, identity

    @property
    def alive(self) -> bool:
        return not self._every[self._identity].view.picture.state.over


@pytest.fixture(params=["embedded", "real"])
def place(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Place]:
    """An API server, a namespace and a way to make users with rights."""
    if request.param == "real":
        plane = request.getfixturevalue("shared_control_plane")
        namespace = plane.namespace("operations")
        yield Place(
            url=plane.url,
            namespace=namespace,
            folder=tmp_path,
            admin=plane.admin,
            add_user=lambda name: (plane.user(name), plane.username(name)),
            write_kubeconfig=lambda path, token: plane.kubeconfig(path, token=token, namespace=namespace),
        )
        return
    import ssl  # noqa: PLC0415 (only here)

    import trustme  # noqa: PLC0415 (likewise)

    from tests.controlplane.api import Api  # noqa: PLC0415 (likewise)

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    with EmbeddedAPIServer(ssl_context=context, ca_file=ca_file).in_thread() as server:
        admin = Api(server.url, ca_file, server.admin_token)
        namespace = f"operations-{secrets.token_hex(4)}"
        admin.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
        yield Place(
            url=server.url,
            namespace=namespace,
            folder=tmp_path,
            admin=admin,
            add_user=lambda name: (server.add_user(name, groups=()), name),
            write_kubeconfig=lambda path, token: server.write_kubeconfig(path, token=token, namespace=namespace),
        )
