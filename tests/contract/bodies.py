"""Bodies that the tests send."""

from __future__ import annotations

from typing import Any

GROUP = "contract.kopf-leader.dev"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def lease(name: str, spec: Any = None, **metadata: Any) -> dict[str, Any]:
    """A Lease; without a spec when there is none."""
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name, **metadata}}
    return body if spec is None else {**body, "spec": spec}


def held(holder: str, **spec: Any) -> dict[str, Any]:
    """The spec of a Lease that somebody holds."""
    moment = "2026-01-02T03:04:05.000000Z"
    return {
        "holderIdentity": holder,
        "leaseDurationSeconds": 15,
        "acquireTime": moment,
        "renewTime": moment,
        "leaseTransitions": 0,
        **spec,
    }


def custom(kind: str, name: str, *, group: str = GROUP, metadata: dict[str, Any] | None = None, **rest: Any) -> Any:
    """A custom resource."""
    return {"apiVersion": f"{group}/v1", "kind": kind, "metadata": {"name": name, **(metadata or {})}, **rest}


def definition(
    *,
    plural: str,
    kind: str,
    group: str = GROUP,
    scope: str = "Namespaced",
    status: bool = True,
    schema: Any = ANYTHING,
) -> dict[str, Any]:
    """A CustomResourceDefinition of one version."""
    version: dict[str, Any] = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    if status:
        version["subresources"] = {"status": {}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "scope": scope, "names": {"plural": plural, "kind": kind}, "versions": [version]},
    }
