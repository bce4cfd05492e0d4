"""On the user's own cluster: it asks first, touches nothing that it did not make, and removes what it made."""

import json

import pytest

from kopf_leader.cli.demonstration import widgets
from kopf_leader.testing.apiserver import EmbeddedAPIServer, Rule

GROUP = "apiextensions.k8s.io"


@pytest.fixture
def server():
    with EmbeddedAPIServer().in_thread() as server:
        yield server


def state(server):
    """All that a demo could leave behind."""
    plurals = ("namespaces", "leases", "customresourcedefinitions")
    return {plural: [item["metadata"]["name"] for item in server.objects(plural)] for plural in plurals}


def test_ctrl_c(demo, server, tmp_path):
    """Ctrl-C in the middle: the namespace, the definition and the Lease are removed, and it says so."""
    before = state(server)
    run = demo("--kubeconfig", server.write_kubeconfig(tmp_path / "config"))
    run.wait_for(" leads (pid ")
    assert any(name.startswith(run.prefix) for name in state(server)["namespaces"])
    run.press_ctrl_c()
    assert run.wait() == 130, run.output
    assert "Nothing is left in the cluster." in run.output
    assert state(server) == before
    assert run.left() == []


def test_missing_rights(demo, server, tmp_path):
    """Rights are asked for before anything is done: exit status 2, with what is missing."""
    token = server.add_user("reader", rules=[Rule(verbs=("get", "list", "watch"))])
    before = state(server)
    run = demo("--kubeconfig", server.write_kubeconfig(tmp_path / "config", token=token))
    assert run.wait() == 2
    assert "may not do what the demo needs" in run.output
    assert "create, delete namespaces" in run.output
    assert state(server) == before


def test_wrong_credentials(demo, server, tmp_path):
    """A token that nobody has: exit status 2, one sentence."""
    run = demo("--kubeconfig", server.write_kubeconfig(tmp_path / "config", token="wrong"))
    assert run.wait() == 2
    assert "does not accept this kubeconfig's credentials" in run.output


def test_nobody_there(demo, server, tmp_path):
    """No API server behind the kubeconfig: exit status 2, one sentence."""
    path = server.write_kubeconfig(tmp_path / "config", url="http://127.0.0.1:1")
    run = demo("--kubeconfig", path)
    assert run.wait() == 2
    assert "cannot be reached" in run.output
    assert "Traceback" not in run.output


def test_somebody_elses_definition(demo, server, tmp_path):
    """A definition of that name that the demo did not make: it refuses, and the definition stays."""
    theirs = widgets.definition()
    theirs["metadata"]["labels"] = {}
    server.create("customresourcedefinitions", theirs)
    before = state(server)
    run = demo("--kubeconfig", server.write_kubeconfig(tmp_path / "config"))
    assert run.wait() == 2
    assert "the demo did not make it" in run.output
    assert state(server) == before


def test_whole_run_on_the_real_api_server(demo, control_plane, tmp_path):
    """All of it through TLS on kube-apiserver: every promise kept, and nothing left but a terminating namespace.

    There is no controller manager here, so nobody finishes a namespace; the demo says that this is left to it.
    """
    kubeconfig = control_plane.kubeconfig(tmp_path / "config", token=control_plane.admin_token)
    run = demo("--kubeconfig", kubeconfig)
    assert run.wait() == 0, run.output
    assert "Every promise was kept" in run.output
    assert "left to the cluster's controller manager" in run.output.replace("\n", " ")
    definitions = control_plane.admin.get(f"/apis/{GROUP}/v1/customresourcedefinitions")["items"]
    assert widgets.DEFINITION not in [item["metadata"]["name"] for item in definitions]
    spaces = control_plane.admin.get("/api/v1/namespaces")["items"]
    (mine,) = [item for item in spaces if item["metadata"]["name"].startswith(run.prefix)]
    assert mine["status"]["phase"] == "Terminating"
    leases = control_plane.admin.get("/apis/coordination.k8s.io/v1/leases")["items"]
    assert not [item for item in leases if item["metadata"]["namespace"].startswith(run.prefix)], json.dumps(leases)
    assert run.left() == []
