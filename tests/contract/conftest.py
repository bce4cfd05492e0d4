"""Fixtures: every test runs on the embedded and on the real API server, in a namespace of its own."""

from __future__ import annotations

import os
import secrets
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
import trustme

from kopf_leader.testing.apiserver import EmbeddedAPIServer
from tests.contract import bodies
from tests.contract.api import Api, eventually
from tests.contract.servers import Embedded, Real, Server, trust
from tests.controlplane.binaries import HOW_TO_GET, locate
from tests.controlplane.fixtures import shared_control_plane
from tests.controlplane.server import RealControlPlane

__all__ = ["shared_control_plane"]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """TLS for the embedded server: its context, and the CA that clients verify it with."""
    folder = tmp_path_factory.mktemp("tls")
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    return context, folder / "ca.pem"


@pytest.fixture(scope="session")
def uncached_control_plane() -> Iterator[RealControlPlane]:
    """A real one without the watch cache, which would remember what etcd has forgotten."""
    binaries = locate()
    if binaries is None:
        if os.environ.get("KOPF_LEADER_REQUIRE_REAL") == "1":
            pytest.fail(f"KOPF_LEADER_REQUIRE_REAL is set and there is {HOW_TO_GET}", pytrace=False)
        pytest.skip(HOW_TO_GET)
    with RealControlPlane(binaries, flags=["--watch-cache=false"]) as plane:
        yield plane


@pytest.fixture(params=["embedded", "real"])
async def server(request: pytest.FixtureRequest, authority: tuple[ssl.SSLContext, Path]) -> AsyncIterator[Server]:
    """The server under test."""
    if request.param == "real":
        name = "uncached_control_plane" if "uncached" in request.fixturenames else "shared_control_plane"
        yield Real(request.getfixturevalue(name))
        return
    context, ca_file = authority
    async with EmbeddedAPIServer(ssl_context=context, ca_file=ca_file) as embedded:
        yield Embedded(embedded, ca_file)


@pytest.fixture
def uncached() -> None:
    """Ask for the real server without the watch cache."""


@pytest.fixture
async def api(server: Server) -> AsyncIterator[Api]:
    """The API as an administrator sees it."""
    async with aiohttp.ClientSession() as session:
        yield Api(session, server.url, trust(server), server.admin_token)


@pytest.fixture
async def namespace(api: Api) -> str:
    """A namespace of the test's own."""
    name = f"contract-{secrets.token_hex(4)}"
    (await api.post("/api/v1/namespaces", {"metadata": {"name": name}})).ok(201)
    return name


@pytest.fixture
def leases(namespace: str) -> str:
    """The path of the Leases in the test's namespace."""
    return f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"


@pytest.fixture
async def widgets(api: Api, namespace: str) -> str:
    """The path of custom resources with a status subresource; their definition is installed once per server."""
    await install(api, bodies.definition(plural="widgets", kind="Widget"))
    return f"/apis/{bodies.GROUP}/v1/namespaces/{namespace}/widgets"


@pytest.fixture
async def plains(api: Api, namespace: str) -> str:
    """The path of custom resources without a status subresource."""
    await install(api, bodies.definition(plural="plains", kind="Plain", status=False))
    return f"/apis/{bodies.GROUP}/v1/namespaces/{namespace}/plains"


async def install(api: Api, definition: dict) -> None:
    """Create a definition unless it is there, and wait until its resource is served."""
    answer = await api.post(bodies.DEFINITIONS, definition)
    assert answer.status in (201, 409), answer.body
    spec = definition["spec"]
    path = f"/apis/{spec['group']}/v1/{spec['names']['plural']}"

    async def served() -> bool:
        return (await api.get(path)).status == 200

    await eventually(served, f"{path} to be served")
