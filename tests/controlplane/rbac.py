"""The RBAC an operator with an election needs, exactly as the documentation states it."""

from __future__ import annotations

from typing import Any

from tests.controlplane.api import Api, APIError

GROUP = "rbac.authorization.k8s.io"


def lease_rules(lease: str) -> list[dict[str, Any]]:
    """The election: get, watch and update the one Lease; create takes no name (the API server cannot know it)."""
    leases = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"]}
    return [
        {**leases, "resourceNames": [lease], "verbs": ["get", "watch", "update"]},
        {**leases, "verbs": ["create"]},
    ]


def operator_rules() -> list[dict[str, Any]]:
    """What a kopf operator of kopfexamples asks for, election or not."""
    return [
        {
            "apiGroups": ["apiextensions.k8s.io"],
            "resources": ["customresourcedefinitions"],
            "verbs": ["get", "list", "watch"],
        },
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
        {
            "apiGroups": ["kopf.dev"],
            "resources": ["kopfexamples", "kopfexamples/status"],
            "verbs": ["get", "list", "watch", "patch"],
        },
    ]


def grant(api: Api, user: str, name: str, rules: list[dict[str, Any]], *, namespace: str | None = None) -> None:
    """Give ``user`` these rules, in one namespace or in the whole cluster. Safe to repeat; the last rules count."""
    kind, plural = ("ClusterRole", "clusterroles") if namespace is None else ("Role", "roles")
    where = f"/apis/{GROUP}/v1" if namespace is None else f"/apis/{GROUP}/v1/namespaces/{namespace}"
    meta = {"name": name}
    _put(api, f"{where}/{plural}", {"metadata": meta, "rules": rules})
    _put(
        api,
        f"{where}/{plural[:-1]}bindings",
        {
            "metadata": meta,
            "roleRef": {"apiGroup": GROUP, "kind": kind, "name": name},
            "subjects": [{"apiGroup": GROUP, "kind": "User", "name": user}],
        },
    )


def revoke(api: Api, name: str, *, namespace: str | None = None) -> None:
    """Take a grant back by its name."""
    plural = "clusterrole" if namespace is None else "role"
    where = f"/apis/{GROUP}/v1" if namespace is None else f"/apis/{GROUP}/v1/namespaces/{namespace}"
    api.delete(f"{where}/{plural}bindings/{name}")
    api.delete(f"{where}/{plural}s/{name}")


def allowed(api: Api, *, verb: str, group: str, resource: str, namespace: str = "", name: str = "") -> bool:
    """Ask the API server whether the user of ``api`` may do it (RBAC reaches the authorizer with a delay)."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {
            "resourceAttributes": {
                "verb": verb,
                "group": group,
                "resource": resource,
                "namespace": namespace,
                "name": name,
            }
        },
    }
    answer = api.create("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
    return bool(answer["status"]["allowed"])


def _put(api: Api, collection: str, body: dict[str, Any]) -> None:
    try:
        api.create(collection, body)
    except APIError as error:
        if error.status != 409:
            raise
        api.replace(f"{collection}/{body['metadata']['name']}", body)
