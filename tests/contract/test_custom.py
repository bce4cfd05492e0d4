"""CustomResourceDefinitions and custom resources."""

from __future__ import annotations

import secrets

import pytest

from tests.contract.api import eventually
from tests.contract.bodies import DEFINITIONS, custom, definition
from tests.contract.conftest import install


async def test_generation(api, widgets):
    """It begins with 1 and moves with everything but metadata and status; nobody can set it."""
    path = f"{widgets}/one"
    made = (await api.post(widgets, custom("Widget", "one", spec={"a": 1}, extra=1, metadata={"generation": 7}))).ok(
        201
    )
    assert made["metadata"]["generation"] == 1
    steps = [
        ({"spec": {"a": 2}}, 2),
        ({"metadata": {"labels": {"a": "b"}}}, 2),
        ({"extra": 2}, 3),
        ({"metadata": {"generation": 77}}, 3),
        ({"status": {"a": 1}}, 3),
        ({"spec": {"a": None}}, 4),
    ]
    for patch, generation in steps:
        assert (await api.merge(path, patch)).ok()["metadata"]["generation"] == generation, patch
    status = (await api.merge(f"{path}/status", {"status": {"a": 1}})).ok()
    assert status["metadata"]["generation"] == 4


async def test_the_status_subresource(api, widgets):
    """With it, the main path never writes the status, and the status' path writes nothing else."""
    path = f"{widgets}/one"
    made = (await api.post(widgets, custom("Widget", "one", spec={"a": 1}, status={"b": 1}))).ok(201)
    assert "status" not in made
    same = (await api.merge(path, {"status": {"b": 1}})).ok()
    assert same["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    patch = {"status": {"b": 2}, "spec": {"a": 2}, "metadata": {"labels": {"a": "b"}}}
    after = (await api.merge(f"{path}/status", patch)).ok()
    assert (after["status"], after["spec"], "labels" in after["metadata"]) == ({"b": 2}, {"a": 1}, False)
    assert (await api.get(f"{path}/status")).ok() == after
    put = (await api.put(path, {**after, "spec": {"a": 3}, "status": {"b": 3}})).ok()
    assert (put["spec"], put["status"]) == ({"a": 3}, {"b": 2})
    put = (await api.put(f"{path}/status", {**put, "spec": {"a": 4}, "status": {"b": 4}})).ok()
    assert (put["spec"], put["status"]) == ({"a": 3}, {"b": 4})
    stale = await api.merge(f"{path}/status", {"metadata": {"resourceVersion": "1"}, "status": {"b": 5}})
    assert (stale.status, stale.reason) == (409, "Conflict")
    operations = [{"op": "add", "path": "/status/c", "value": 1}, {"op": "add", "path": "/spec/c", "value": 1}]
    patched = (await api.json_patch(f"{path}/status", operations)).ok()
    assert (patched["spec"], patched["status"]) == ({"a": 3}, {"b": 4, "c": 1})


async def test_without_a_status_subresource(api, plains):
    """The status is a field like any other, and its path does not exist."""
    path = f"{plains}/one"
    made = (await api.post(plains, custom("Plain", "one", status={"a": 1}))).ok(201)
    assert made["status"] == {"a": 1}
    after = (await api.merge(path, {"status": {"a": 2}})).ok()
    assert (after["status"], after["metadata"]["generation"]) == ({"a": 2}, 2)
    assert (await api.merge(f"{path}/status", {"status": {"a": 3}})).status == 404


async def test_finalizers(api, widgets):
    """DELETE marks an object that has finalizers, and the last finalizer taken away takes the object away."""
    path = f"{widgets}/one"
    two = {"finalizers": ["x.y/a", "x.y/b"]}
    made = (await api.post(widgets, custom("Widget", "one", spec={"a": 1}, metadata=two))).ok(201)
    async with api.watch(widgets, resourceVersion=made["metadata"]["resourceVersion"]) as watch:
        marked = (await api.delete(path)).ok()
        meta = marked["metadata"]
        assert (marked["kind"], meta["deletionGracePeriodSeconds"], meta["generation"]) == ("Widget", 0, 2)
        assert meta["deletionTimestamp"]
        assert (await api.delete(path)).ok()["metadata"] == meta
        again = await api.post(widgets, custom("Widget", "one"))
        assert (again.status, again.reason) == (409, "AlreadyExists")
        assert again.message.startswith("object is being deleted: ")
        more = await api.merge(path, {"metadata": {"finalizers": ["x.y/a", "x.y/b", "x.y/c"]}})
        assert (more.status, more.reason) == (422, "Invalid")
        assert "no new finalizers can be added if the object is being deleted" in more.message
        kept = (await api.merge(path, {"metadata": {"deletionTimestamp": None}, "spec": {"a": 2}})).ok()
        assert kept["metadata"]["deletionTimestamp"] == meta["deletionTimestamp"]
        less = (await api.merge(path, {"metadata": {"finalizers": ["x.y/b"]}})).ok()
        version = less["metadata"]["resourceVersion"]
        operations = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": version},
            {"op": "remove", "path": "/metadata/finalizers/0"},
        ]
        last = (await api.json_patch(path, operations)).ok()
        assert "finalizers" not in last["metadata"]
        assert (await api.get(path)).status == 404
        assert [(await watch.next())["type"] for _ in range(3)] == ["MODIFIED"] * 3
        event = await watch.next()
    assert event["type"] == "DELETED"
    assert event["object"]["metadata"]["finalizers"] == ["x.y/b"]
    assert int(event["object"]["metadata"]["resourceVersion"]) > int(version)


async def test_finalizers_of_leases(api, leases):
    """The same for built-in kinds."""
    (await api.post(leases, {"metadata": {"name": "one", "finalizers": ["x.y/a"]}})).ok(201)
    marked = (await api.delete(f"{leases}/one")).ok()
    assert marked["metadata"]["deletionTimestamp"]
    (await api.merge(f"{leases}/one", {"metadata": {"finalizers": None}})).ok()
    assert (await api.get(f"{leases}/one")).status == 404


async def test_what_is_kept_of_a_body(api, widgets):
    """Where unknown fields are preserved, so are nulls; a whole number is an integer; metadata is pruned."""
    spec = {"n": None, "f": 1.0, "deep": {"list": [{"a": None}]}, "half": 0.5}
    made = (await api.post(widgets, custom("Widget", "one", spec=spec, metadata={"unknown": 1}))).ok(201)
    assert made["spec"] == spec
    assert isinstance(made["spec"]["f"], int)
    assert "unknown" not in made["metadata"]


async def test_a_new_definition(api, namespace):
    """Posting a definition makes its resource served and discovered, established by a later change of it."""
    group = f"g{secrets.token_hex(4)}.kopf-leader.dev"
    body = definition(plural="things", kind="Thing", group=group)
    body["spec"]["names"]["shortNames"] = ["th"]
    made = (await api.post(DEFINITIONS, body)).ok(201)
    assert made["spec"]["names"] == {
        "plural": "things",
        "singular": "thing",
        "kind": "Thing",
        "listKind": "ThingList",
        "shortNames": ["th"],
    }
    assert made["metadata"]["generation"] == 1
    query = {"fieldSelector": f"metadata.name=things.{group}", "resourceVersion": made["metadata"]["resourceVersion"]}
    async with api.watch(DEFINITIONS, **query) as watch:
        while True:
            shown = (await watch.next())["object"]
            conditions = {c["type"]: c["status"] for c in shown["status"]["conditions"] or []}
            if conditions.get("Established") == "True":
                break
    assert conditions["NamesAccepted"] == "True"
    assert shown["status"]["acceptedNames"] == shown["spec"]["names"]
    assert shown["status"]["storedVersions"] == ["v1"]
    path = f"/apis/{group}/v1/namespaces/{namespace}/things"

    async def served():
        return (await api.get(path)).status == 200

    await eventually(served, "things to be served")
    resources = (await api.get(f"/apis/{group}/v1")).ok()["resources"]
    assert {r["name"]: r["shortNames"] for r in resources if "/" not in r["name"]} == {"things": ["th"]}
    (await api.post(path, custom("Thing", "one", group=group))).ok(201)
    (await api.delete(f"{DEFINITIONS}/things.{group}")).ok()

    async def gone():
        listed = await api.get(path)
        described = await api.get(f"{DEFINITIONS}/things.{group}")
        groups = [g["name"] for g in (await api.get("/apis")).ok()["groups"]]
        return listed.status == described.status == 404 and group not in groups

    await eventually(gone, "the definition to be gone, with its objects")


async def test_definitions_that_are_refused(api):
    """The name must fit, and each version needs a schema: 422."""
    misnamed = definition(plural="bads", kind="Bad")
    misnamed["metadata"]["name"] = "x"
    formless = definition(plural="bads", kind="Bad")
    del formless["spec"]["versions"][0]["schema"]
    for body, field in ((misnamed, "metadata.name"), (formless, "spec.versions[0].schema.openAPIV3Schema")):
        answer = await api.post(DEFINITIONS, body)
        assert (answer.status, answer.reason) == (422, "Invalid")
        assert answer.body["details"]["causes"][0]["field"] == field


SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["a"],
            "properties": {
                "a": {"type": "integer", "minimum": 0, "maximum": 9},
                "word": {"type": "string", "default": "none", "enum": ["none", "some"]},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "map": {"type": "object", "additionalProperties": {"type": "string"}},
                "list": {"type": "array", "items": {"type": "object", "properties": {"b": {"type": "boolean"}}}},
                "either": {"x-kubernetes-int-or-string": True},
                "nothing": {"type": "string", "nullable": True},
            },
        },
    },
}


@pytest.fixture
async def stricts(api, namespace):
    """The path of custom resources with a schema."""
    await install(api, definition(plural="stricts", kind="Strict", schema=SCHEMA))
    return f"/apis/contract.kopf-leader.dev/v1/namespaces/{namespace}/stricts"


async def test_a_schema_prunes_and_fills(api, stricts):
    """Unknown fields are dropped, defaults filled in, at every depth."""
    spec = {
        "a": 1,
        "unknown": 1,
        "free": {"any": {"thing": None}},
        "map": {"k": "v"},
        "list": [{"b": True, "unknown": 1}],
        "either": "5%",
        "nothing": None,
    }
    made = (await api.post(stricts, custom("Strict", "one", spec=spec, status={"x": 1}, extra=1))).ok(201)
    assert made["spec"] == {
        "a": 1,
        "word": "none",
        "free": {"any": {"thing": None}},
        "map": {"k": "v"},
        "list": [{"b": True}],
        "either": "5%",
        "nothing": None,
    }
    assert not {"status", "extra"} & set(made)
    version = made["metadata"]["resourceVersion"]
    assert (await api.merge(f"{stricts}/one/status", {"status": {"x": 1}})).version == version


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({}, "spec.a"),
        ({"a": "1"}, "spec.a"),
        ({"a": -1}, "spec.a"),
        ({"a": 10}, "spec.a"),
        ({"a": 1, "word": "other"}, "spec.word"),
        ({"a": 1, "map": {"k": 5}}, "spec.map.k"),
        ({"a": 1, "list": [{"b": 1}]}, "spec.list[0].b"),
        ({"a": 1, "list": {}}, "spec.list"),
        ({"a": 1, "either": True}, "spec.either"),
    ],
)
async def test_a_schema_refuses(api, stricts, spec, field):
    """422 with the field, for a POST and a PATCH alike."""
    answer = await api.post(stricts, custom("Strict", "one", spec=spec))
    assert (answer.status, answer.reason) == (422, "Invalid")
    assert field in {cause["field"] for cause in answer.body["details"]["causes"]}
    (await api.post(stricts, custom("Strict", "one", spec={"a": 1}))).ok(201)
    if spec:
        assert (await api.merge(f"{stricts}/one", {"spec": spec})).status == 422


async def test_cluster_wide_resources(api, namespace):
    """Cluster-scoped custom resources live on the group's path only."""
    await install(api, definition(plural="globs", kind="Glob", scope="Cluster"))
    path, name = "/apis/contract.kopf-leader.dev/v1/globs", f"of-{namespace}"
    made = (await api.post(path, custom("Glob", name))).ok(201)
    assert "namespace" not in made["metadata"]
    assert (await api.get(f"/apis/contract.kopf-leader.dev/v1/namespaces/{namespace}/globs/{name}")).status == 404
    (await api.delete(f"{path}/{name}")).ok()


async def test_two_versions_of_one_kind(api, namespace):
    """Without a conversion both versions show the same objects, under their own apiVersion."""
    group = f"g{secrets.token_hex(4)}.kopf-leader.dev"
    body = definition(plural="twos", kind="Two", group=group)
    body["spec"]["versions"].append({**body["spec"]["versions"][0], "name": "v2beta1", "storage": False})
    await install(api, body)
    paths = {v: f"/apis/{group}/{v}/namespaces/{namespace}/twos" for v in ("v1", "v2beta1")}

    async def served():
        return (await api.get(paths["v2beta1"])).status == 200

    await eventually(served, "the second version to be served")
    (await api.post(paths["v1"], custom("Two", "one", group=group, spec={"a": 1}))).ok(201)
    shown = (await api.get(f"{paths['v2beta1']}/one")).ok()
    assert (shown["apiVersion"], shown["spec"]) == (f"{group}/v2beta1", {"a": 1})
    found = next(g for g in (await api.get("/apis")).ok()["groups"] if g["name"] == group)
    assert [v["version"] for v in found["versions"]] == ["v1", "v2beta1"]
    assert found["preferredVersion"]["version"] == "v1"
    (await api.delete(f"{DEFINITIONS}/twos.{group}")).ok()
