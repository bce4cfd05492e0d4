"""The control plane does what the rings on top of it take for granted."""

from __future__ import annotations

import ssl
from http.client import HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from tests.controlplane.api import Api
from tests.controlplane.server import RealControlPlane, wait_until

LEASES = "/apis/coordination.k8s.io/v1/namespaces/{}/leases"


def lease(name: str) -> dict[str, object]:
    return {"metadata": {"name": name}, "spec": {"holderIdentity": "me", "leaseDurationSeconds": 15}}


def test_it_is_a_real_api_server_of_the_pinned_version(control_plane: RealControlPlane) -> None:
    """What answers is kube-apiserver, and it says its version (without the stamp it would say v0.0.0)."""
    version = control_plane.admin.get("/version")
    assert version["gitVersion"].startswith("v1.")
    assert version["gitVersion"] != "v0.0.0"


def test_the_certificate_is_verified_not_skipped(control_plane: RealControlPlane) -> None:
    """A client that does not know our authority refuses the server; one that does accepts it for 127.0.0.1."""
    parts = urlsplit(control_plane.url)
    stranger = HTTPSConnection(parts.hostname or "", parts.port, context=ssl.create_default_context(), timeout=60)
    with pytest.raises(ssl.SSLCertVerificationError):
        stranger.request("GET", "/version")
    stranger.close()
    assert control_plane.admin.attempt("GET", "/readyz")[0] == 200


def test_a_restart_keeps_port_data_and_tokens(control_plane: RealControlPlane) -> None:
    """The API server comes back at the same address, with the same objects, users and rights."""
    namespace = control_plane.namespace()
    control_plane.grant_lease_rights("restarted", namespace, "kept")
    client = control_plane.as_user("restarted")
    before = client.create(LEASES.format(namespace), lease("kept"))
    control_plane.restart(hard=True)
    assert client.get(LEASES.format(namespace) + "/kept")["metadata"]["uid"] == before["metadata"]["uid"]


def test_an_unknown_token_is_401_and_an_ungranted_user_403(control_plane: RealControlPlane) -> None:
    """RBAC is on: nobody can do anything that was not granted."""
    path = LEASES.format("default")
    assert Api(control_plane.url, control_plane.ca_file, "no-such-token").attempt("GET", path)[0] == 401
    assert control_plane.as_user("nobody").attempt("GET", path)[0] == 403


def test_the_documented_lease_rule_is_enough_and_no_more(control_plane: RealControlPlane) -> None:
    """get, watch and update by name, and create: the election's requests pass, everything beside them is refused."""
    namespace = control_plane.namespace()
    control_plane.grant_lease_rights("elector", namespace, "mine")
    client, path = control_plane.as_user("elector"), LEASES.format(namespace)
    created = client.create(path, lease("mine"))
    created["spec"]["holderIdentity"] = "you"
    assert client.replace(f"{path}/mine", created)["spec"]["holderIdentity"] == "you"
    watch = f"{path}?watch=1&fieldSelector=metadata.name%3Dmine&timeoutSeconds=1"
    assert client.attempt("GET", watch)[0] == 200
    assert client.attempt("GET", path)[0] == 403
    assert client.attempt("GET", f"{path}/other")[0] == 403
    assert client.attempt("DELETE", f"{path}/mine")[0] == 403
    control_plane.revoke_lease_rights("elector", namespace, "mine")
    assert client.attempt("GET", f"{path}/mine")[0] == 403


def test_the_audit_log_counts_requests_per_replica(control_plane: RealControlPlane) -> None:
    """Requests are counted per user and verb, since a moment of one's choice."""
    namespace = control_plane.namespace()
    for user in ("counted-a", "counted-b"):
        control_plane.grant_lease_rights(user, namespace, "op")
    mark = len(control_plane.audit_log.requests())
    control_plane.as_user("counted-a").create(LEASES.format(namespace), lease("op"))
    for _ in range(3):
        control_plane.as_user("counted-b").get(LEASES.format(namespace) + "/op")

    def counts() -> tuple[dict[str, int], ...]:
        users = ("counted-a", "counted-b")
        return tuple(dict(control_plane.requests(user, resource="leases", skip=mark)) for user in users)

    wait_until(lambda: sum(sum(one.values()) for one in counts()) >= 4, what="the audit log")
    assert counts() == ({"create": 1}, {"get": 3})


def test_a_frozen_api_server_is_silent_and_comes_back(control_plane: RealControlPlane) -> None:
    """SIGSTOP keeps the port open and answers nothing; after SIGCONT requests are served again."""
    impatient = Api(control_plane.url, control_plane.ca_file, control_plane.admin_token, timeout=0.5)
    control_plane.pause()
    with pytest.raises(TimeoutError):
        impatient.attempt("GET", "/version")
    control_plane.resume()
    control_plane.revive()
    assert control_plane.admin.get("/version")["major"] == "1"


def test_revive_repairs_whatever_was_killed(control_plane: RealControlPlane) -> None:
    """A test may kill either part: the next one finds both running, with the data."""
    namespace = control_plane.namespace()
    control_plane.kill("apiserver")
    control_plane.kill("etcd")
    control_plane.revive()
    assert control_plane.admin.get(f"/api/v1/namespaces/{namespace}")["metadata"]["name"] == namespace


def test_the_kubeconfig_names_the_certificate_and_one_user(control_plane: RealControlPlane, tmp_path: Path) -> None:
    """What kubectl and kopf need, and no insecure-skip-tls-verify."""
    path = control_plane.kubeconfig(tmp_path / "config", token="t", namespace="ns", url="https://127.0.0.1:1")
    config = yaml.safe_load(path.read_text())
    cluster = config["clusters"][0]["cluster"]
    assert cluster == {"server": "https://127.0.0.1:1", "certificate-authority": str(control_plane.ca_file)}
    assert config["contexts"][0]["context"]["namespace"] == "ns"
    assert config["users"][0]["user"] == {"token": "t"}


def test_a_client_certificate_carries_name_and_group(control_plane: RealControlPlane, tmp_path: Path) -> None:
    """A user by certificate, in a group of the test's choice."""
    certificate, key = control_plane.client_certificate(tmp_path, "carol", ["system:masters"])
    parts = urlsplit(control_plane.url)
    context = ssl.create_default_context(cafile=str(control_plane.ca_file))
    context.load_cert_chain(certificate, key)
    connection = HTTPSConnection(parts.hostname or "", parts.port, context=context, timeout=60)
    connection.request("GET", "/api/v1/namespaces")
    assert connection.getresponse().status == 200
    connection.close()
