"""A process in which nothing has been enabled yet, and a kopf that is not started."""

import os
import sys
import types
from pathlib import Path

import kopf._core.reactor.running
import pytest
from click.testing import CliRunner

from kopf_leader.cli.main import main
from kopf_leader.gate import enable
from kopf_leader.testing.apiserver import EmbeddedAPIServer
from tests.cli.leases import Cluster, RealCluster
from tests.controlplane.fixtures import control_plane, shared_control_plane

__all__ = ["control_plane", "shared_control_plane"]

HANDLERS = """
import kopf

@kopf.on.event("configmaps")
def seen(**_): ...
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    """No variable of this machine, a kubeconfig with a namespace, and no service account."""
    for name in [*os.environ]:
        if name.startswith("KOPF_"):
            monkeypatch.delenv(name)
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: here\n"
        "contexts: [{name: here, context: {cluster: here, user: me, namespace: of-the-context}}]\n"
        "clusters: [{name: here, cluster: {server: 'http://127.0.0.1:1'}}]\nusers: [{name: me, user: {}}]\n"
    )
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    # The real control plane is started on first use, under this HOME: its programs are in the cache of the other one.
    monkeypatch.setenv("XDG_CACHE_HOME", os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache"))
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture(autouse=True)
def attached(monkeypatch):
    """What the gate was told, in order; the gate itself stays away from kopf."""
    attached = []
    monkeypatch.setattr(enable, "_process", enable._Process())
    monkeypatch.setattr(enable, "_attach", attached.append)
    yield attached
    sys.modules.pop("kopf_leader.auto", None)


@pytest.fixture
def kopf_run(monkeypatch):
    """The keywords that kopf's operator would have been started with, one entry for each start."""
    starts = []
    monkeypatch.setattr(kopf._core.reactor.running, "run", lambda **given: starts.append(given))
    return starts


@pytest.fixture
def handlers(tmp_path):
    """A function that writes a handlers' file with one more piece of code and returns its path."""

    def write(code=""):
        path = tmp_path / "handlers.py"
        path.write_text(HANDLERS + code)
        return str(path)

    return write


@pytest.fixture
def invoke(kopf_run, attached):
    """A function that runs a command in this process and tells what became of it."""

    def invoke(*arguments, command=main, **variables):
        result = CliRunner().invoke(command, arguments, env=variables, auto_envvar_prefix="KOPF")
        return types.SimpleNamespace(
            result=result,
            status=result.exit_code,
            stderr=result.stderr,
            started=kopf_run[-1] if kopf_run else None,
            options=attached[-1] if attached else None,
        )

    return invoke


@pytest.fixture
def cluster(tmp_path):
    """The embedded API server, and the Lease `default/op` to be on it."""
    with EmbeddedAPIServer().in_thread() as server:
        cluster = Cluster(server, tmp_path)
        yield cluster
        cluster.close()


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.xdist_group("real"))])
def either(request, tmp_path):
    """The same on either API server; on the real one in a namespace of its own."""
    if request.param == "embedded":
        yield request.getfixturevalue("cluster")
        return
    cluster = RealCluster(request.getfixturevalue("control_plane"), tmp_path)
    yield cluster
    cluster.close()


def pytest_configure(config):
    """TLS connections say goodbye to a loop that is gone; found when the garbage is collected, whichever test is on."""
    config.addinivalue_line("filterwarnings", "ignore:[Uu]nclosed:ResourceWarning")
