"""Discovery and the paths that are no resources."""

from __future__ import annotations

import pytest

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
LEASE_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


async def test_the_core_group(api):
    """/api names the versions of the core group, /api/v1 its resources."""
    shown = (await api.get("/api")).ok()
    assert (shown["kind"], shown["versions"]) == ("APIVersions", ["v1"])
    listed = (await api.get("/api/v1")).ok()
    assert (listed["kind"], listed["groupVersion"]) == ("APIResourceList", "v1")
    resources = {resource["name"]: resource for resource in listed["resources"]}
    namespaces = resources["namespaces"]
    assert (namespaces["kind"], namespaces["namespaced"], namespaces["shortNames"]) == ("Namespace", False, ["ns"])
    assert resources["events"]["namespaced"]
    assert resources["pods/status"]["verbs"] == ["get", "patch", "update"]


async def test_the_groups(api):
    """/apis names all other groups with their versions; a group and a version have documents of their own."""
    groups = {group["name"]: group for group in (await api.get("/apis")).ok()["groups"]}
    version = {"groupVersion": "coordination.k8s.io/v1", "version": "v1"}
    assert version in groups["coordination.k8s.io"]["versions"]
    assert groups["coordination.k8s.io"]["preferredVersion"] == version
    assert {"events.k8s.io", "apiextensions.k8s.io", "rbac.authorization.k8s.io"} <= set(groups)
    group = (await api.get("/apis/coordination.k8s.io")).ok()
    assert (group["kind"], group["name"], group["preferredVersion"]) == ("APIGroup", "coordination.k8s.io", version)
    listed = (await api.get("/apis/coordination.k8s.io/v1")).ok()
    lease = next(resource for resource in listed["resources"] if resource["name"] == "leases")
    assert (lease["kind"], lease["namespaced"], lease["singularName"]) == ("Lease", True, "lease")
    assert sorted(lease["verbs"]) == LEASE_VERBS


async def test_custom_resources_are_discovered(api, widgets, plains):
    """With their status subresource, when they have one."""
    listed = (await api.get("/apis/contract.kopf-leader.dev/v1")).ok()
    resources = {resource["name"]: resource for resource in listed["resources"]}
    assert resources["widgets"]["kind"] == "Widget"
    assert resources["widgets/status"]["verbs"] == ["get", "patch", "update"]
    assert "plains" in resources and "plains/status" not in resources


@pytest.mark.parametrize(("path", "group"), [("/api", ""), ("/apis", "contract.kopf-leader.dev")])
async def test_aggregated_discovery(api, widgets, path, group):
    """All resources in one document, for clients that accept it (kubectl, client-go)."""
    answer = await api.get(path, accept=f"{AGGREGATED},application/json")
    shown = answer.ok()
    assert answer.content_type == AGGREGATED
    assert (shown["kind"], shown["apiVersion"]) == ("APIGroupDiscoveryList", "apidiscovery.k8s.io/v2")
    found = next(item for item in shown["items"] if item["metadata"].get("name", "") == group)
    assert [version["version"] for version in found["versions"]] == ["v1"]
    resources = {resource["resource"]: resource for resource in found["versions"][0]["resources"]}
    if group:
        assert resources["widgets"]["responseKind"] == {"group": group, "version": "v1", "kind": "Widget"}
        assert resources["widgets"]["scope"] == "Namespaced"
        assert [sub["subresource"] for sub in resources["widgets"]["subresources"]] == ["status"]
    else:
        assert resources["namespaces"]["scope"] == "Cluster"


async def test_classic_documents_are_the_default(api):
    """Also for clients that accept anything."""
    for accept in ("application/json", "*/*"):
        assert (await api.get("/apis", accept=accept)).ok()["kind"] == "APIGroupList"


@pytest.mark.parametrize("path", ["/version", "/healthz", "/livez", "/readyz"])
async def test_paths_for_everybody(api, path):
    """Health and version need no token."""
    answer = await api.as_user(None).get(path)
    assert answer.status == 200
    assert answer.body == "ok" or answer.body["major"] == "1"


async def test_paths_that_lead_nowhere(api, leases):
    """Plain text for unknown paths and groups, a Status for unknown resources of a group that is served."""
    for path in ("/nope", "/apis/nope.io", "/apis/nope.io/v1", "/apis/nope.io/v1/things"):
        answer = await api.get(path)
        assert (answer.status, answer.body) == (404, "404 page not found\n")
    for path in (
        "/api/v7",
        "/apis/coordination.k8s.io/v1/nopes",
        leases.replace("leases", "nopes"),
        f"{leases}/one/nope",
    ):
        answer = await api.get(path)
        assert (answer.status, answer.reason) == (404, "NotFound")
