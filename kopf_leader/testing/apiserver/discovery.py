"""Discovery: what is served, in the classic documents and in the aggregated one.

Clients find resources by it (kopf, kubectl, client-go), so a resource that is not in here does not exist for them.
"""

from __future__ import annotations

from kopf_leader.testing.apiserver.resources import Registry, Resource
from kopf_leader.testing.apiserver.statuses import Body, PageNotFound, no_such_resource

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
STATUS_VERBS = ["get", "patch", "update"]

VERSION: Body = {
    "major": "1",
    "minor": "37",
    "gitVersion": "v1.37.2-kopf-leader",
    "gitCommit": "",
    "gitTreeState": "",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "python",
}


def wants_aggregated(accept: str) -> bool:
    """Whether the client prefers the aggregated document."""
    for offer in accept.split(","):
        parts = {part.strip() for part in offer.split(";")}
        if {"g=apidiscovery.k8s.io", "v=v2", "as=APIGroupDiscoveryList"} <= parts:
            return True
        if parts & {"application/json", "*/*"} and len(parts) == 1:
            return False
    return False


def core_versions(address: str) -> Body:
    """``/api``."""
    cidrs = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": cidrs}


def group_list(registry: Registry) -> Body:
    """``/apis``."""
    groups = [_group(registry, name) for name in registry.groups() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group(registry: Registry, name: str) -> Body:
    """``/apis/GROUP``."""
    if not name or name not in registry.groups():
        raise PageNotFound
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(registry, name)}


def _group(registry: Registry, name: str) -> Body:
    versions = [{"groupVersion": f"{name}/{version}", "version": version} for version in registry.versions(name)]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def resource_list(registry: Registry, group: str, version: str) -> Body:
    """``/api/v1`` and ``/apis/GROUP/VERSION``."""
    resources = registry.of(group=group, version=version)
    if not resources:
        raise PageNotFound if group else no_such_resource()
    shown: list[Body] = []
    for resource in sorted(resources, key=lambda r: r.plural):
        shown.append(_classic(resource))
        if resource.status:
            status = {"name": f"{resource.plural}/status", "singularName": "", "namespaced": resource.namespaced}
            shown.append({**status, "kind": resource.kind, "verbs": STATUS_VERBS})
    group_version = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": shown}


def _classic(resource: Resource) -> Body:
    shown: Body = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    return {**shown, **_names(resource)}


def _names(resource: Resource) -> Body:
    names: Body = {}
    if resource.short_names:
        names["shortNames"] = list(resource.short_names)
    if resource.categories:
        names["categories"] = list(resource.categories)
    return names


def aggregated(registry: Registry, *, core: bool) -> Body:
    """``/api`` or ``/apis``, when asked for the aggregated document: everything in one answer."""
    items = []
    for name in registry.groups():
        if bool(name) is core:
            continue
        versions = [
            {
                "version": version,
                "resources": [_modern(resource) for resource in registry.of(group=name, version=version)],
                "freshness": "Current",
            }
            for version in registry.versions(name)
        ]
        items.append({"metadata": {"name": name} if name else {}, "versions": versions})
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _modern(resource: Resource) -> Body:
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    shown: Body = {
        "resource": resource.plural,
        "responseKind": kind,
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
        **_names(resource),
    }
    if resource.status:
        shown["subresources"] = [{"subresource": "status", "responseKind": kind, "verbs": STATUS_VERBS}]
    return shown
