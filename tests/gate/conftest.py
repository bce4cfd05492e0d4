"""An API server for all tests of the gate, a namespace for each: embedded, or real with KOPF_LEADER_GATE_ON=real."""

import gc
import logging
import os
import secrets
import ssl

import pytest
import trustme

from kopf_leader.testing.apiserver import EmbeddedAPIServer
from tests.controlplane.api import Api
from tests.controlplane.fixtures import shared_control_plane  # noqa: F401 (a fixture)
from tests.gate.operators import CRD, Cluster, Operator


@pytest.fixture(scope="session")
def admin(request, tmp_path_factory):
    """The API as somebody sees it who may do everything."""
    if os.environ.get("KOPF_LEADER_GATE_ON") == "real":
        plane = request.getfixturevalue("shared_control_plane")
        plane.install(CRD)
        yield plane.admin
        return
    ca_file = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(ca_file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    with EmbeddedAPIServer(ssl_context=context, ca_file=ca_file).in_thread() as server:
        server.create("customresourcedefinitions", CRD)
        yield Api(server.url, ca_file, server.admin_token)


@pytest.fixture
def cluster(admin):
    """A namespace of its own."""
    name = f"gate-{secrets.token_hex(4)}"
    admin.create("/api/v1/namespaces", {"metadata": {"name": name}})
    return Cluster(admin, name)


@pytest.fixture(params=["warm", "cold"])
def standby(request):
    """Which kind of standby the operator is; `cold_only` and `warm_only` are for tests of one of them."""
    return request.param


cold_only = pytest.mark.parametrize("standby", ["cold"], indirect=True)
warm_only = pytest.mark.parametrize("standby", ["warm"], indirect=True)


@pytest.fixture
def operator(cluster, standby):
    """Give an operator that is started by the test, and ended after it."""
    operators = []

    def make(**options):
        operators.append(Operator(cluster, **{"warm_standby": standby == "warm", **options}))
        return operators[-1]

    yield make
    for one in operators:
        one.leave()


def pytest_configure(config):
    """Kopf leaves its sessions open when it is stopped while it explores the cluster; nothing here has sessions.

    For the whole run and not test by test, as they are found when the garbage is collected: at the very end, too, or in
    another test, which may insist that no error is logged.
    """
    config.addinivalue_line("filterwarnings", "ignore:[Uu]nclosed:ResourceWarning")
    logging.getLogger("asyncio").addFilter(lambda record: not record.getMessage().startswith("Unclosed "))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish():
    """Collect the garbage while the filter is in force: at pytest's very end, only those of pyproject.toml are."""
    for _ in range(5):  # as often as pytest does, for what is only freed by freeing something else
        gc.collect()
