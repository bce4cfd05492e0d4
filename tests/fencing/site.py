"""The site of a test of fencing: a namespace, an account, pods with bound tokens, a Lease that moves, the manifest.

The pods are objects only. The API server binds a token to them all the same, and that is what fencing goes by.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner

from kopf_leader.cli.main import main
from tests.controlplane import rbac
from tests.controlplane.api import Api
from tests.controlplane.server import RealControlPlane, wait_until

CRD = Path(__file__).parents[1] / "e2e" / "operator" / "crd.yaml"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
POLICIES = f"{ADMISSION}/validatingadmissionpolicies"
BINDINGS = f"{ADMISSION}/validatingadmissionpolicybindings"
PATHS = {
    "Lease": "/apis/coordination.k8s.io/v1/namespaces/{}/leases",
    "Role": f"/apis/{rbac.GROUP}/v1/namespaces/{{}}/roles",
    "RoleBinding": f"/apis/{rbac.GROUP}/v1/namespaces/{{}}/rolebindings",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "ValidatingAdmissionPolicy": POLICIES,
    "ValidatingAdmissionPolicyBinding": BINDINGS,
}
RESOURCES = ("kopf.dev/kopfexamples", "configmaps")
LEASE = "op"
WRONG_LEASE = "other"


class Site:
    """One operator's place. Its name stands for the account and for the Lease alike."""

    def __init__(self, plane: RealControlPlane) -> None:
        self.plane = plane
        self.admin = plane.admin
        self.namespace = plane.namespace("fencing")
        self.policy = f"{self.namespace}.{LEASE}.fencing"
        self.wrong_policy = f"{self.namespace}.{WRONG_LEASE}.fencing"
        self.objects = f"/apis/kopf.dev/v1/namespaces/{self.namespace}/kopfexamples"
        self.pods = f"/api/v1/namespaces/{self.namespace}/pods"
        self.maps = f"/api/v1/namespaces/{self.namespace}/configmaps"
        self.lease = f"{PATHS['Lease'].format(self.namespace)}/{LEASE}"
        plane.install(yaml.safe_load(CRD.read_text()))
        self.apply(*self.manifest())
        self._grant()

    def clear(self) -> None:
        """Policies are the cluster's: what is left of them would stay for other tests."""
        for path in (BINDINGS, POLICIES):
            for policy in (self.policy, self.wrong_policy):
                self.admin.attempt("DELETE", f"{path}/{policy}")
        self.admin.attempt("DELETE", f"/apis/{rbac.GROUP}/v1/clusterrolebindings/{self.namespace}")
        self.admin.attempt("DELETE", f"/apis/{rbac.GROUP}/v1/clusterroles/{self.namespace}")

    # The manifest.

    def manifest(self, *arguments: str, lease: str = LEASE) -> list[dict[str, Any]]:
        """What `kopf-leader manifest` prints."""
        command = ["manifest", lease, "-n", self.namespace, "--create-service-account", *arguments]
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 0, result.output
        return list(yaml.safe_load_all(result.stdout))

    def dry_run(self, *bodies: dict[str, Any]) -> None:
        """See whether the API server would take it."""
        self.apply(*bodies, flags="&dryRun=All")

    def apply(self, *bodies: dict[str, Any], flags: str = "") -> None:
        """As `kubectl apply --server-side` does it, with strict validation."""
        for body in bodies:
            path = f"{PATHS[body['kind']].format(body['metadata'].get('namespace'))}/{body['metadata']['name']}"
            query = f"?fieldManager=kubectl&fieldValidation=Strict{flags}"
            self.admin.request("PATCH", path + query, body, content_type="application/apply-patch+yaml")

    def fence(self, *arguments: str, resources: tuple[str, ...] = RESOURCES) -> None:
        """Apply the manifest with fencing; returns when it is in force: a token bound to no pod is refused."""
        named = [f"--fence-resource={each}" for each in resources]
        self.apply(*self.manifest("--fence", *named, *arguments))
        unbound = self.api(self.token(None))
        wait_until(lambda: self.write(unbound)[0] == 403, what="the fence to stand")

    def fence_wrongly(self) -> None:
        """As `fence()`, by a policy for this operator's account that goes by another Lease, which is there."""
        named = [f"--fence-resource={each}" for each in RESOURCES]
        self.apply(*self.manifest("--fence", *named, f"--service-account={LEASE}", lease=WRONG_LEASE))
        unbound = self.api(self.token(None))
        wait_until(lambda: self.write(unbound)[0] == 403, what="the fence to stand")

    def unfence(self, policy: str | None = None) -> None:
        """What the documentation says for an emergency; returns when it has taken effect."""
        self.admin.delete(f"{BINDINGS}/{policy or self.policy}")
        unbound = self.api(self.token(None))
        wait_until(lambda: self.write(unbound)[0] == 200, what="the fence to be gone")

    # Who writes.

    def pod(self, name: str) -> Api:
        """A pod object, and the API by a token bound to it."""
        body = {
            "metadata": {"name": name},
            "spec": {"serviceAccountName": LEASE, "containers": [{"name": "operator", "image": "none"}]},
        }
        made = self.admin.create(self.pods, body)
        return self.api(self.token(made["metadata"]))

    def token(self, pod: dict[str, Any] | None) -> str:
        """A token of the account, as the kubelet gets it for a pod; or bound to nothing."""
        spec: dict[str, Any] = {"expirationSeconds": 3600}
        if pod is not None:
            spec["boundObjectRef"] = {"kind": "Pod", "apiVersion": "v1", "name": pod["name"], "uid": pod["uid"]}
        path = f"{PATHS['ServiceAccount'].format(self.namespace)}/{LEASE}/token"
        return str(self.admin.create(path, {"spec": spec})["status"]["token"])

    def api(self, token: str) -> Api:
        """The API by this token."""
        return replace(self.admin, token=token)

    def _grant(self) -> None:
        """What the operator's handlers may write, in the whole cluster, so that only fencing stands in their way."""
        rules = rbac.operator_rules()
        everything = ["get", "list", "watch", "create", "update", "patch", "delete"]
        rules.append({"apiGroups": ["kopf.dev"], "resources": ["kopfexamples", "kopfexamples/status"],
                      "verbs": everything})  # fmt: skip
        rules.append({"apiGroups": [""], "resources": ["configmaps"], "verbs": everything})
        user = f"system:serviceaccount:{self.namespace}:{LEASE}"
        rbac.grant(self.admin, user, self.namespace, rules)
        ask = {"verb": "patch", "group": "", "resource": "configmaps", "namespace": self.namespace}
        asked = self.api(self.token(None))
        self.admin.create(self.maps, {"metadata": {"name": "probe"}})
        wait_until(lambda: rbac.allowed(asked, **ask), what="the rights of the account")

    # What is done.

    def hold(self, pod: str) -> None:
        """Let the Lease name a process of this pod as its holder; nobody, where it is empty."""
        spec = {"holderIdentity": f"{pod}_{secrets.token_hex(4)}" if pod else "", "leaseDurationSeconds": 15}
        self.admin.patch(self.lease, {"spec": spec})

    def write(self, api: Api, name: str = "probe") -> tuple[int, Any]:
        """Try to change a ConfigMap; status and answer."""
        body = {"data": {"by": secrets.token_hex(4)}}
        return api.attempt("PATCH", f"{self.maps}/{name}", body, content_type="application/merge-patch+json")

    def until_allowed(self, api: Api) -> None:
        """Wait until this one may write: the API server learns of the holder by a watch of its own."""
        wait_until(lambda: self.write(api)[0] == 200, what="the holder to be allowed")

    def until_refused(self, api: Api) -> None:
        """Wait until this one may not write."""
        wait_until(lambda: self.write(api)[0] == 403, what="the other one to be refused")


def sentence(answer: Any) -> str:
    """What a refusal says."""
    return answer["message"] if isinstance(answer, dict) else json.dumps(answer)
