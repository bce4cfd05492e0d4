"""Writing any object: names, kinds, namespaces, patches, conflicts."""

from __future__ import annotations

import asyncio
import copy

import pytest

from tests.contract.bodies import custom, held, lease


async def test_a_second_post(api, leases):
    """409 AlreadyExists."""
    (await api.post(leases, lease("one"))).ok(201)
    answer = await api.post(leases, lease("one"))
    assert (answer.status, answer.reason) == (409, "AlreadyExists")
    assert answer.message == 'leases.coordination.k8s.io "one" already exists'


async def test_a_post_with_a_version(api, leases):
    """The server decides versions: refused, with 500 as it happens."""
    answer = await api.post(leases, lease("one", resourceVersion="5"))
    assert answer.status == 500
    assert answer.message == "resourceVersion should not be set on objects to be created"


async def test_what_the_server_decides(api, leases):
    """A uid and a creationTimestamp in a POST are ignored; a generation is not, of kinds that have none."""
    mine = {"uid": "x", "creationTimestamp": "2001-01-01T00:00:00Z", "generation": 7}
    meta = (await api.post(leases, lease("one", **mine))).ok(201)["metadata"]
    assert meta["uid"] != "x"
    assert not meta["creationTimestamp"].startswith("2001")
    assert meta["generation"] == 7


async def test_generated_names(api, leases):
    """A generateName gives a fresh name that starts with it."""
    names = set()
    for _ in range(3):
        meta = (await api.post(leases, {"metadata": {"generateName": "gen-"}})).ok(201)["metadata"]
        assert meta["name"].startswith("gen-") and len(meta["name"]) == len("gen-") + 5
        names.add(meta["name"])
    assert len(names) == 3
    answer = await api.post(leases, {"metadata": {}})
    assert (answer.status, answer.reason) == (422, "Invalid")
    assert "metadata.name: Required value: name or generateName is required" in answer.message


@pytest.mark.parametrize("name", ["C_", "-a", "a..b", "a" * 254])
async def test_bad_names(api, leases, name):
    """422: names are DNS-1123 subdomains."""
    answer = await api.post(leases, lease(name))
    assert (answer.status, answer.reason) == (422, "Invalid")
    assert answer.body["details"]["causes"][0]["field"] == "metadata.name"


@pytest.mark.parametrize(
    ("metadata", "status"),
    [
        ({"labels": {"a b": "c"}}, 422),
        ({"labels": {"a": "b c"}}, 422),
        ({"annotations": {"a b": "c"}}, 422),
        ({"annotations": {"a": "any thing"}}, 201),
        ({"finalizers": ["with space"]}, 422),
        ({"labels": {"a": 5}}, 400),
        ({"labels": None, "annotations": {}, "finalizers": [], "unknown": 1}, 201),
    ],
)
async def test_metadata(api, leases, metadata, status):
    """Labels, annotations and finalizers are checked; wrong types are 400, empty and unknown fields are dropped."""
    answer = await api.post(leases, lease("one", **metadata))
    assert answer.status == status
    if "unknown" in metadata:
        assert not {"labels", "annotations", "finalizers", "unknown"} & set(answer.body["metadata"])


async def test_other_kinds(api, leases):
    """A body of another kind or version is a 400; one without them is taken as what the path says."""
    for kind, version in (("Foo", "coordination.k8s.io/v1"), ("Lease", "v1")):
        answer = await api.post(leases, {"kind": kind, "apiVersion": version, "metadata": {"name": "one"}})
        assert (answer.status, answer.reason) == (400, "BadRequest")
    assert (await api.post(leases, {"metadata": {"name": "one"}})).ok(201)["kind"] == "Lease"


async def test_custom_resources_name_their_kind(api, widgets):
    """A custom resource without kind and apiVersion, or with another version, is a 400."""
    whole = custom("Widget", "one")
    for missing in ("kind", "apiVersion"):
        assert (await api.post(widgets, {k: v for k, v in whole.items() if k != missing})).status == 400
    assert (await api.post(widgets, {**whole, "apiVersion": "contract.kopf-leader.dev/v2"})).status == 400


@pytest.mark.parametrize("raw", [b"{nonsense", b"", b"[]", b"5"])
async def test_bodies_that_are_none(api, leases, raw):
    """400."""
    answer = await api.post(leases, raw)
    assert (answer.status, answer.reason) == (400, "BadRequest")


async def test_content_types(api, leases):
    """415 for what is no JSON; patches need their own types."""
    assert (await api.request("POST", leases, lease("one"), content_type="text/plain")).status == 415
    (await api.post(leases, lease("one"))).ok(201)
    assert (await api.request("PATCH", f"{leases}/one", {}, content_type="application/json")).status == 415


async def test_namespaces_of_objects(api, leases, namespace):
    """A namespace in the body must be the path's; one that does not exist is a 404."""
    assert (await api.post(leases, lease("one", namespace="default"))).status == 400
    (await api.post(leases, lease("one", namespace=namespace))).ok(201)
    absent = await api.post(leases.replace(namespace, "absent"), lease("one"))
    assert (absent.status, absent.message) == (404, 'namespaces "absent" not found')
    assert (await api.get(f"{leases.replace(namespace, 'absent')}/one")).reason == "NotFound"
    assert (await api.get(leases.replace(namespace, "absent"))).ok()["items"] == []


async def test_a_namespace(api, namespace):
    """Namespaces have a phase and a label with their name; their names are DNS-1123 labels."""
    stored = (await api.get(f"/api/v1/namespaces/{namespace}")).ok()
    assert stored["status"] == {"phase": "Active"}
    assert stored["metadata"]["labels"] == {"kubernetes.io/metadata.name": namespace}
    assert (await api.post("/api/v1/namespaces", {"metadata": {"name": "a.b"}})).status == 422
    gone = (await api.delete(f"/api/v1/namespaces/{namespace}")).ok()
    assert gone["status"] == {"phase": "Terminating"} and gone["metadata"]["deletionTimestamp"]


async def test_the_name_in_the_body_of_a_put(api, leases):
    """It must be the path's: 400."""
    stored = (await api.post(leases, lease("one"))).ok(201)
    for name in ("two", ""):
        other = copy.deepcopy(stored)
        other["metadata"]["name"] = name
        answer = await api.put(f"{leases}/one", other)
        assert (answer.status, answer.reason) == (400, "BadRequest")
    without = copy.deepcopy(stored)
    del without["metadata"]["namespace"]
    without["metadata"]["creationTimestamp"] = "2001-01-01T00:00:00Z"
    assert (await api.put(f"{leases}/one", without)).ok() == stored


@pytest.mark.parametrize(
    ("metadata", "status"),
    [
        ({"resourceVersion": "1"}, 409),
        ({"resourceVersion": None}, 422),
        ({"uid": "x"}, 422),
        ({"uid": None}, 200),
        ({"name": "two"}, 400),
        ({"namespace": "default"}, 400),
        ({"deletionTimestamp": "2026-01-02T03:04:05Z"}, 422),
        ({"creationTimestamp": "2001-01-01T00:00:00Z"}, 200),
        ({"generation": 9}, 200),
    ],
)
async def test_what_a_patch_may_not_change(api, leases, metadata, status):
    """A version that is not the stored one is a 409; uid and name are immutable; other fields are ignored."""
    stored = (await api.post(leases, lease("one"))).ok(201)
    answer = await api.merge(f"{leases}/one", {"metadata": metadata})
    assert answer.status == status
    if status == 200:
        assert answer.body == stored
    if status == 409:
        assert (answer.reason, "the object has been modified" in answer.message) == ("Conflict", True)


async def test_a_merge_patch_with_the_current_version(api, leases):
    """A patch that carries the stored version passes, and moves it."""
    stored = (await api.post(leases, lease("one", held("a")))).ok(201)
    version = stored["metadata"]["resourceVersion"]
    answer = await api.merge(
        f"{leases}/one", {"metadata": {"resourceVersion": version, "labels": {"a": "b"}}, "spec": {"renewTime": None}}
    )
    after = answer.ok()
    assert after["metadata"]["labels"] == {"a": "b"} and "renewTime" not in after["spec"]
    assert int(after["metadata"]["resourceVersion"]) > int(version)


async def test_json_patches(api, widgets):
    """RFC 6902, with lists by index."""
    (await api.post(widgets, custom("Widget", "one", spec={"list": [1, 2, 3], "gone": True}))).ok(201)
    operations = [
        {"op": "test", "path": "/spec/gone", "value": True},
        {"op": "remove", "path": "/spec/gone"},
        {"op": "add", "path": "/spec/list/-", "value": 4},
        {"op": "replace", "path": "/spec/list/0", "value": 0},
        {"op": "add", "path": "/metadata/labels", "value": {"a/b": "c"}},
        {"op": "replace", "path": "/metadata/labels/a~1b", "value": "d"},
    ]
    after = (await api.json_patch(f"{widgets}/one", operations)).ok()
    assert after["spec"] == {"list": [0, 2, 3, 4]}
    assert after["metadata"]["labels"] == {"a/b": "d"}


@pytest.mark.parametrize(
    ("operations", "status"),
    [
        ([{"op": "test", "path": "/metadata/resourceVersion", "value": "1"}], 422),
        ([{"op": "test", "path": "/metadata/nothing", "value": "1"}], 422),
        ([{"op": "remove", "path": "/metadata/nothing"}], 422),
        ([{"op": "add", "path": "/nothing/at/all", "value": 1}], 422),
        ([{"op": "what", "path": "/spec"}], 422),
        ({"op": "remove", "path": "/spec"}, 400),
        (b"[nonsense", 400),
    ],
)
async def test_json_patches_that_fail(api, widgets, operations, status):
    """An operation that fails is a 422 (kopf counts on it), a patch that is none a 400; nothing is changed."""
    stored = (await api.post(widgets, custom("Widget", "one", spec={"a": 1}))).ok(201)
    first = {"op": "add", "path": "/spec/b", "value": 2}
    sent = [first, *operations] if isinstance(operations, list) else operations
    assert (await api.json_patch(f"{widgets}/one", sent)).status == status
    assert (await api.get(f"{widgets}/one")).ok() == stored


@pytest.mark.parametrize("raw", [b"{nonsense", b"[]", b"5"])
async def test_merge_patches_that_are_none(api, leases, raw):
    """400."""
    (await api.post(leases, lease("one"))).ok(201)
    assert (await api.merge(f"{leases}/one", raw)).status == 400


async def test_patches_create_nothing(api, leases):
    """404, for Leases too."""
    answer = await api.merge(f"{leases}/one", {"spec": {}})
    assert (answer.status, answer.reason) == (404, "NotFound")


async def test_puts_create_leases_and_events_only(api, widgets, namespace):
    """A PUT on nothing is a 404 for most kinds."""
    answer = await api.put(f"{widgets}/one", custom("Widget", "one"))
    assert (answer.status, answer.reason) == (404, "NotFound")
    maps = f"/api/v1/namespaces/{namespace}/configmaps"
    assert (await api.put(f"{maps}/one", {"metadata": {"name": "one"}})).status == 404


async def test_unconditional_puts(api, namespace, widgets):
    """A ConfigMap may be PUT without a version, a custom resource may not."""
    maps = f"/api/v1/namespaces/{namespace}/configmaps"
    (await api.post(maps, {"metadata": {"name": "one"}, "data": {"a": "1"}})).ok(201)
    after = (await api.put(f"{maps}/one", {"metadata": {"name": "one"}, "data": {"a": "2"}})).ok()
    assert after["data"] == {"a": "2"}
    (await api.post(widgets, custom("Widget", "one"))).ok(201)
    assert (await api.put(f"{widgets}/one", custom("Widget", "one", spec={"a": 1}))).status == 422


async def test_a_version_that_is_no_number(api, leases):
    """500, as it happens."""
    (await api.post(leases, lease("one"))).ok(201)
    assert (await api.put(f"{leases}/one", lease("one", resourceVersion="abc"))).status == 500


async def test_methods(api, leases):
    """405 for a method that a path does not have."""
    for method, path in (("POST", f"{leases}/one"), ("PUT", leases), ("PATCH", leases)):
        assert (await api.request(method, path, {}, content_type="application/merge-patch+json")).status == 405
    assert (await api.post("/apis/coordination.k8s.io/v1/leases", lease("one"))).status == 405


async def test_dry_runs(api, leases):
    """dryRun=All answers what would be, and changes nothing."""
    (await api.post(leases, lease("one"), dryRun="All")).ok(201)
    assert (await api.get(f"{leases}/one")).status == 404
    stored = (await api.post(leases, lease("one", held("a")))).ok(201)
    patched = (await api.merge(f"{leases}/one", {"spec": {"holderIdentity": "b"}}, dryRun="All")).ok()
    assert patched["spec"]["holderIdentity"] == "b"
    (await api.delete(f"{leases}/one", dryRun="All")).ok()
    assert (await api.get(f"{leases}/one")).ok() == stored


async def test_concurrent_writers_are_serialised(api, leases):
    """Of many PUTs on one version exactly one is accepted."""
    stored = (await api.post(leases, lease("one", held("nobody")))).ok(201)

    def body(number):
        return {**stored, "spec": {**stored["spec"], "holderIdentity": f"writer-{number}"}}

    answers = await asyncio.gather(*(api.put(f"{leases}/one", body(number)) for number in range(10)))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 9
    winner = next(answer for answer in answers if answer.status == 200)
    assert (await api.get(f"{leases}/one")).ok() == winner.body
