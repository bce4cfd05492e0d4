"""The kinds that are served without any CustomResourceDefinition: a table."""

from __future__ import annotations

from dataclasses import replace

from kopf_leader.testing.apiserver import events, schemas, validation
from kopf_leader.testing.apiserver.resources import Resource
from kopf_leader.testing.apiserver.statuses import Body


def namespace_fields(body: Body) -> dict[str, str]:
    """What namespaces may be selected by."""
    return {"status.phase": body.get("status", {}).get("phase", "")}


def pod_fields(body: Body) -> dict[str, str]:
    """What pods may be selected by."""
    spec, status = body.get("spec", {}), body.get("status", {})
    return {"spec.nodeName": spec.get("nodeName", ""), "status.phase": status.get("phase", "")}


core = Resource(group="", version="v1", plural="", kind="")
rbac = replace(core, group="rbac.authorization.k8s.io", name_rule=validation.path_segment)

NAMESPACES = replace(
    core,
    plural="namespaces",
    kind="Namespace",
    singular="namespace",
    namespaced=False,
    short_names=("ns",),
    status=True,
    unconditional_update=False,
    name_rule=validation.label,
    selectable=namespace_fields,
)
PODS = replace(
    core,
    plural="pods",
    kind="Pod",
    singular="pod",
    short_names=("po",),
    categories=("all",),
    status=True,
    selectable=pod_fields,
)
EVENTS = replace(
    core,
    plural="events",
    kind="Event",
    singular="event",
    short_names=("ev",),
    create_on_update=True,
    check=events.check_core,
    validate=events.validate_core,
    selectable=events.selectable,
)
NEW_EVENTS = replace(
    EVENTS,
    group="events.k8s.io",
    stored_in=EVENTS.collection,
    check=events.check_new,
    to_storage=events.to_core,
    from_storage=events.from_core,
    validate=events.validate_new,
)
LEASES = replace(
    core,
    group="coordination.k8s.io",
    plural="leases",
    kind="Lease",
    singular="lease",
    create_on_update=True,
    unconditional_update=False,
    check=validation.check_lease,
    validate=validation.validate_lease,
)
DEFINITIONS = replace(
    core,
    group="apiextensions.k8s.io",
    plural="customresourcedefinitions",
    kind="CustomResourceDefinition",
    singular="customresourcedefinition",
    namespaced=False,
    short_names=("crd", "crds"),
    categories=("api-extensions",),
    status=True,
    generation=True,
    unconditional_update=False,
    check=schemas.fill_definition,
    validate=schemas.validate_definition,
)
ACCOUNTS = replace(
    core,
    plural="serviceaccounts",
    kind="ServiceAccount",
    singular="serviceaccount",
    short_names=("sa",),
    unconditional_update=False,
)
BINDINGS = replace(rbac, plural="rolebindings", kind="RoleBinding", singular="rolebinding")

BUILTIN = (
    NAMESPACES,
    EVENTS,
    replace(core, plural="configmaps", kind="ConfigMap", singular="configmap", short_names=("cm",)),
    replace(core, plural="secrets", kind="Secret", singular="secret"),
    ACCOUNTS,
    PODS,
    LEASES,
    NEW_EVENTS,
    DEFINITIONS,
    replace(rbac, plural="roles", kind="Role", singular="role"),
    BINDINGS,
    replace(rbac, plural="clusterroles", kind="ClusterRole", singular="clusterrole", namespaced=False),
    replace(
        BINDINGS,
        plural="clusterrolebindings",
        kind="ClusterRoleBinding",
        singular="clusterrolebinding",
        namespaced=False,
    ),
)
