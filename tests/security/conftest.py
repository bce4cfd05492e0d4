"""A Lease on an API server of its own, as in the ring of the command line; and the real control plane."""

import os

import pytest

from kopf_leader.testing.apiserver import EmbeddedAPIServer
from tests.cli.leases import Cluster
from tests.controlplane.fixtures import control_plane, shared_control_plane

__all__ = ["control_plane", "shared_control_plane"]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """No variable and no proxy of this machine."""
    for name in [*os.environ]:
        if name.startswith(("KOPF_RUN", "KUBERNETES_SERVICE")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def cluster(tmp_path):
    """The embedded API server, and the Lease `default/op` to be on it."""
    with EmbeddedAPIServer().in_thread() as server:
        cluster = Cluster(server, tmp_path)
        yield cluster
        cluster.close()


def pytest_configure(config):
    """TLS connections say goodbye to a loop that is gone; found when the garbage is collected, whichever test is on."""
    config.addinivalue_line("filterwarnings", "ignore:[Uu]nclosed:ResourceWarning")
