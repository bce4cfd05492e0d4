"""What the real API server says of the chart's objects and of the rights that they give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.chart.conftest import each_helm
from tests.chart.helm import CHART, CI, LEAST, helm, of_kind, render, the
from tests.cluster.release import DEPLOYMENT, RESTRICTED, Release
from tests.controlplane.api import Api
from tests.controlplane.rbac import allowed
from tests.controlplane.server import RealControlPlane

__all__ = ["each_helm"]
OTHERS = ("PodMonitor", "PrometheusRule")
"""Kinds whose definitions are not in this cluster."""
CLUSTER_WIDE = ("ClusterRole", "ClusterRoleBinding", "FlowSchema")
STRICT = "?dryRun=All&fieldValidation=Strict"


def _where(object_: dict[str, Any]) -> str:
    group, _, version = object_["apiVersion"].rpartition("/")
    base = f"/apis/{group}/{version}" if group else f"/api/{version}"
    namespace = object_["metadata"].get("namespace")
    kind = object_["kind"].lower()
    plural = kind.removesuffix("y") + "ies" if kind.endswith("y") else kind + ("es" if kind.endswith("s") else "s")
    return f"{base}/namespaces/{namespace}/{plural}" if namespace else f"{base}/{plural}"


@pytest.mark.parametrize("path", CI, ids=lambda path: path.stem)
def test_the_server_takes_every_object_strictly(control_plane: RealControlPlane, path: Path):
    """A strict dry run: no unknown field, in a namespace with the restricted Pod Security Standard enforced."""
    namespace = control_plane.namespace("dry")
    control_plane.admin.patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": RESTRICTED}})
    objects = [object_ for object_ in render(path, namespace=namespace) if object_["kind"] not in OTHERS]
    for object_ in objects:
        if object_["kind"] not in CLUSTER_WIDE:  # those of other namespaces too, which are not here
            object_["metadata"]["namespace"] = namespace
        control_plane.admin.create(_where(object_) + STRICT, object_)
    template = the(objects, "Deployment")["spec"]["template"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "pod", **template["metadata"]},
        "spec": template["spec"],
    }
    control_plane.admin.create(f"/api/v1/namespaces/{namespace}/pods{STRICT}", pod)


def test_an_unrestricted_pod_is_refused(control_plane: RealControlPlane):
    """The check above can fail: the same pod without its security contexts is forbidden."""
    namespace = control_plane.namespace("dry")
    control_plane.admin.patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": RESTRICTED}})
    objects = render(also={"securityContext": {"allowPrivilegeEscalation": True}})
    spec = the(objects, "Deployment")["spec"]["template"]["spec"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": spec}
    status, answer = control_plane.admin.attempt("POST", f"/api/v1/namespaces/{namespace}/pods{STRICT}", pod)
    assert status == 403
    assert "allowPrivilegeEscalation" in answer["message"]


def test_the_account_may_do_what_it_must_and_no_more(release: Release):
    """By the service account's real token: its own Lease by name, its resources, events; nothing else."""
    release.install()
    body = release.api.create(
        f"/api/v1/namespaces/{release.namespace}/serviceaccounts/{DEPLOYMENT}/token", {"spec": {}}
    )
    plane = release.cluster.control_plane
    api = Api(plane.url, plane.ca_file, body["status"]["token"])

    def may(verb: str, resource: str, *, group: str = "", name: str = "", namespace: str | None = None) -> bool:
        where = release.namespace if namespace is None else namespace
        return allowed(api, verb=verb, group=group, resource=resource, namespace=where, name=name)

    leases = {"group": "coordination.k8s.io"}
    assert [may(verb, "leases", name=DEPLOYMENT, **leases) for verb in ("get", "watch", "update")] == [True] * 3
    assert [may(verb, "leases", name="other", **leases) for verb in ("get", "watch", "update")] == [False] * 3
    assert not any(may(verb, "leases", name=DEPLOYMENT, **leases) for verb in ("delete", "patch", "list"))
    assert not may("update", "leases", name=DEPLOYMENT, namespace="default", **leases)
    assert may("create", "events")
    assert not may("list", "secrets")
    assert [may(verb, "kopfexamples", group="kopf.dev") for verb in ("list", "watch", "patch")] == [True] * 3
    assert not may("list", "kopfexamples", group="kopf.dev", namespace="default")


def test_an_image_with_a_stock_kopf_command(release: Release):
    """The image's own command, a plain `kopf run`: the environment alone makes the replicas elect."""
    handlers = "/image/project/tests/e2e/operator/handlers.py"
    release.install(operator={"handlers": None, "command": ["kopf", "run", handlers]})
    release.create(2)
    _, leader = release.leader()
    assert release.ready() == 2
    with release.handover("deleted, a stock `kopf run`"):
        release.delete(leader)
        release.create(2)
        release.leader(other_than=leader)
    release.conclude()


def test_no_object_is_left_out(control_plane: RealControlPlane):
    """The kinds that this file leaves out of the dry run are those of other projects, and only those."""
    kinds = {object_["kind"] for path in CI for object_ in render(path)}
    assert set(OTHERS) < kinds
    assert len(of_kind(render(CI[1]), "PodMonitor")) == 1


@pytest.mark.usefixtures("each_helm")
def test_the_life_of_a_release(control_plane: RealControlPlane, tmp_path: Path):
    """Installed, changed, without an election, rolled back, uninstalled: a holder is left alone, and nothing stays."""
    namespace = control_plane.namespace("life")
    kubeconfig = control_plane.kubeconfig(tmp_path / "kubeconfig", token=control_plane.admin_token, namespace=namespace)
    api = control_plane.admin
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{DEPLOYMENT}"
    deployment = f"/apis/apps/v1/namespaces/{namespace}/deployments/{DEPLOYMENT}"

    def do(verb: str, *arguments: str, **values: Any) -> None:
        if verb in ("install", "upgrade"):
            path = tmp_path / "values.json"
            path.write_text(json.dumps({**LEAST, **values}))
            arguments = (str(CHART), "-f", str(path))
        helm(verb, "op", *arguments, "--namespace", namespace, "--kubeconfig", str(kubeconfig))

    do("install")
    assert "spec" not in api.get(lease) or not api.get(lease)["spec"]
    held = {"holderIdentity": "pod_1", "leaseDurationSeconds": 15, "leaseTransitions": 1}
    api.patch(lease, {"spec": held})
    do("upgrade", podAnnotations={"on": "true"}, replicaCount=3, networkPolicy={"enabled": True})
    assert api.get(lease)["spec"] == held
    assert api.get(deployment)["spec"]["replicas"] == 3
    do("upgrade", replicaCount=1, leaderElection={"enabled": False})
    assert api.get(deployment)["spec"]["strategy"] == {"type": "Recreate"}
    assert api.attempt("GET", lease)[0] == 404
    do("rollback", "2")
    assert api.get(deployment)["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert not api.get(lease).get("spec")
    do("uninstall")
    rbac = "rbac.authorization.k8s.io"
    listed = [f"{plural}.{rbac}" for plural in ("roles", "rolebindings")]
    listed += ["deployments.apps", "leases.coordination.k8s.io", "poddisruptionbudgets.policy"]
    listed += ["networkpolicies.networking.k8s.io", "serviceaccounts", "configmaps", "secrets"]
    for name in listed:
        plural, _, group = name.partition(".")
        base = f"/apis/{group}/v1" if group else "/api/v1"
        items = api.get(f"{base}/namespaces/{namespace}/{plural}")["items"]
        assert {item["metadata"]["name"] for item in items} <= {"default", "kube-root-ca.crt"}
    for plural in ("clusterroles", "clusterrolebindings"):
        items = api.get(f"/apis/{rbac}/v1/{plural}")["items"]
        assert not [item for item in items if namespace in item["metadata"]["name"]]
