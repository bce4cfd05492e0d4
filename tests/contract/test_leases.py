"""Leases: what the API server takes, and what it refuses with which status."""

from __future__ import annotations

import copy

import pytest

from tests.contract.bodies import held, lease

MICRO = "2026-01-02T03:04:05.000000Z"


async def test_an_empty_lease_is_accepted(api, leases):
    """A Lease without a spec (as a chart creates it) is read back with an empty one."""
    created = (await api.post(leases, lease("one"))).ok(201)
    assert created["spec"] == {}
    assert (await api.get(f"{leases}/one")).ok()["spec"] == {}
    assert created["metadata"]["uid"] and created["metadata"]["creationTimestamp"]


@pytest.mark.parametrize(
    ("spec", "kept"),
    [
        ({}, {}),
        ({"holderIdentity": None, "leaseDurationSeconds": None, "renewTime": None, "leaseTransitions": None}, {}),
        ({"holderIdentity": ""}, {"holderIdentity": ""}),
        ({"holderIdentity": "a", "leaseDurationSeconds": None}, {"holderIdentity": "a"}),
        ({"leaseDurationSeconds": 2147483647}, {"leaseDurationSeconds": 2147483647}),
        ({"leaseTransitions": 2147483647}, {"leaseTransitions": 2147483647}),
        ({"leaseTransitions": 0}, {"leaseTransitions": 0}),
        ({"unknown": 1}, {}),
        ({"renewTime": "2026-01-02T05:04:05.000000+02:00"}, {"renewTime": MICRO}),
    ],
)
async def test_what_a_spec_may_be(api, leases, spec, kept):
    """All of these can be met when reading a Lease (L2); null fields are not kept, times are shown in UTC."""
    assert (await api.post(leases, lease("one", spec))).ok(201)["spec"] == kept


@pytest.mark.parametrize(
    ("spec", "field", "sentence"),
    [
        ({"leaseDurationSeconds": 0}, "spec.leaseDurationSeconds", "must be greater than 0"),
        ({"leaseDurationSeconds": -1}, "spec.leaseDurationSeconds", "must be greater than 0"),
        ({"leaseTransitions": -1}, "spec.leaseTransitions", "must be greater than or equal to 0"),
    ],
)
@pytest.mark.parametrize("verb", ["post", "put", "merge"])
async def test_numbers_out_of_bounds(api, leases, spec, field, sentence, verb):
    """422, with the field and the reason."""
    if verb == "post":
        answer = await api.post(leases, lease("one", spec))
    else:
        stored = (await api.post(leases, lease("one", held("a")))).ok(201)
        stored["spec"].update(spec)
        answer = await (api.put if verb == "put" else api.merge)(f"{leases}/one", stored)
    assert (answer.status, answer.reason) == (422, "Invalid")
    assert answer.body["details"]["causes"][0]["field"] == field
    assert sentence in answer.message


@pytest.mark.parametrize(
    "spec",
    [
        {"leaseTransitions": 2147483648},
        {"leaseDurationSeconds": 2147483648},
        {"leaseDurationSeconds": "15"},
        {"leaseDurationSeconds": 1.5},
        {"holderIdentity": 5},
        {"renewTime": "2026-01-02T03:04:05Z"},
        {"renewTime": "2026-01-02T03:04:05.000Z"},
        {"renewTime": "2026-01-02T03:04:05.0000000Z"},
        {"renewTime": "2026-01-02T03:04:05.000000"},
        {"renewTime": "2026-13-02T03:04:05.000000Z"},
        {"acquireTime": "yesterday"},
        {"acquireTime": ""},
        {"acquireTime": 5},
        5,
        [],
    ],
)
async def test_types_out_of_bounds(api, leases, spec):
    """400 for a POST or PUT; transitions of 2147483648 are such, for ever (L3); so is any other time than MicroTime."""
    posted = await api.post(leases, lease("one", spec))
    assert (posted.status, posted.reason) == (400, "BadRequest")
    assert posted.message.startswith('Lease in version "v1" cannot be handled as a Lease: ')
    stored = (await api.post(leases, lease("one"))).ok(201)
    put = await api.put(f"{leases}/one", {**stored, "spec": spec})
    assert (put.status, put.reason) == (400, "BadRequest")


async def test_a_patch_to_a_wrong_type(api, leases):
    """A PATCH whose outcome does not decode is a 422, not a 400."""
    (await api.post(leases, lease("one"))).ok(201)
    answer = await api.merge(f"{leases}/one", {"spec": {"renewTime": "soon"}})
    assert (answer.status, answer.reason) == (422, "Invalid")
    assert answer.body["details"]["causes"][0]["field"] == "patch"


async def test_put_without_version(api, leases):
    """A PUT on an existing Lease needs a resourceVersion: 422."""
    stored = (await api.post(leases, lease("one"))).ok(201)
    del stored["metadata"]["resourceVersion"]
    answer = await api.put(f"{leases}/one", stored)
    assert (answer.status, answer.reason) == (422, "Invalid")
    assert "metadata.resourceVersion: Invalid value: 0: must be specified for an update" in answer.message


async def test_put_on_a_stale_version(api, leases):
    """A PUT on any other version than the stored one is a 409, and changes nothing."""
    first = (await api.post(leases, lease("one", held("a")))).ok(201)
    second = copy.deepcopy(first)
    second["spec"]["holderIdentity"] = "b"
    newest = (await api.put(f"{leases}/one", second)).ok()
    assert int(newest["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])
    second["spec"]["holderIdentity"] = "c"
    answer = await api.put(f"{leases}/one", second)
    assert (answer.status, answer.reason) == (409, "Conflict")
    assert answer.message == (
        'Operation cannot be fulfilled on leases.coordination.k8s.io "one": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    assert answer.body["details"] == {"name": "one", "group": "coordination.k8s.io", "kind": "leases"}
    assert (await api.get(f"{leases}/one")).ok()["spec"]["holderIdentity"] == "b"


async def test_put_with_another_uid(api, leases):
    """An old uid is a 409, even with the current version."""
    stored = (await api.post(leases, lease("one"))).ok(201)
    stored["metadata"]["uid"] = "11111111-2222-3333-4444-555555555555"
    answer = await api.put(f"{leases}/one", stored)
    assert (answer.status, answer.reason) == (409, "Conflict")
    assert "Precondition failed: UID in precondition: 11111111-2222-3333-4444-555555555555" in answer.message


async def test_put_of_a_deleted_lease_with_its_uid(api, leases):
    """409 and never 404: a writer that names the uid can tell a deletion from nothing only by reading (L1)."""
    stored = (await api.post(leases, lease("one"))).ok(201)
    (await api.delete(f"{leases}/one")).ok()
    answer = await api.put(f"{leases}/one", stored)
    assert (answer.status, answer.reason) == (409, "Conflict")
    uid = stored["metadata"]["uid"]
    assert f"Precondition failed: UID in precondition: {uid}, UID in object meta: " in answer.message
    assert (await api.get(f"{leases}/one")).status == 404


async def test_put_of_a_deleted_lease_without_uid(api, leases):
    """201: created anew, whatever resourceVersion it carries (L1)."""
    stored = (await api.post(leases, lease("one", held("a")))).ok(201)
    (await api.delete(f"{leases}/one")).ok()
    uid = stored["metadata"].pop("uid")
    again = (await api.put(f"{leases}/one", stored)).ok(201)
    assert again["metadata"]["uid"] != uid
    assert int(again["metadata"]["resourceVersion"]) > int(stored["metadata"]["resourceVersion"])
    assert again["spec"] == stored["spec"]


async def test_an_identical_put_moves_nothing(api, leases):
    """An identical PUT (or PATCH) is a 200 that moves no version: it fences nothing."""
    stored = (await api.post(leases, lease("one", held("a"), labels={"a": "b"}))).ok(201)
    version = stored["metadata"]["resourceVersion"]
    assert (await api.put(f"{leases}/one", stored)).version == version
    assert (await api.merge(f"{leases}/one", {"spec": {"holderIdentity": "a"}})).version == version
    assert (await api.json_patch(f"{leases}/one", [])).version == version
    assert (await api.get(f"{leases}/one")).version == version


async def test_a_put_replaces_the_spec(api, leases):
    """What a PUT does not name is gone; labels and annotations it carries survive."""
    stored = (await api.post(leases, lease("one", held("a"), labels={"l": "1"}, annotations={"x/y": "z"}))).ok(201)
    stored["spec"] = {"holderIdentity": "", "leaseDurationSeconds": 1}
    after = (await api.put(f"{leases}/one", stored)).ok()
    assert after["spec"] == {"holderIdentity": "", "leaseDurationSeconds": 1}
    assert (after["metadata"]["labels"], after["metadata"]["annotations"]) == ({"l": "1"}, {"x/y": "z"})


async def test_a_lease_has_no_generation_and_no_status(api, leases):
    """Nothing counts the changes of a Lease but its resourceVersion."""
    stored = (await api.post(leases, lease("one"))).ok(201)
    assert "generation" not in stored["metadata"]
    assert (await api.get(f"{leases}/one/status")).status == 404


async def test_a_deletion(api, leases):
    """DELETE answers a Status with the uid; the Lease is gone at once; a second one is a 404."""
    stored = (await api.post(leases, lease("one"))).ok(201)
    status = (await api.delete(f"{leases}/one")).ok()
    assert (status["kind"], status["status"]) == ("Status", "Success")
    assert status["details"]["uid"] == stored["metadata"]["uid"]
    answer = await api.delete(f"{leases}/one")
    assert (answer.status, answer.reason) == (404, "NotFound")
    assert answer.message == 'leases.coordination.k8s.io "one" not found'


@pytest.mark.parametrize("field", ["uid", "resourceVersion"])
async def test_preconditions_of_a_deletion(api, leases, field):
    """A precondition that does not hold is a 409; one that holds lets it pass."""
    stored = (await api.post(leases, lease("one"))).ok(201)
    answer = await api.delete(f"{leases}/one", {"preconditions": {field: "1"}})
    assert (answer.status, answer.reason) == (409, "Conflict")
    assert "in the precondition (1) does not match" in answer.message
    (await api.delete(f"{leases}/one", {"preconditions": {field: stored["metadata"][field]}})).ok()


async def test_one_version_grows_over_all_resources(api, leases, namespace):
    """One counter for everything: a version seen on one resource lies before any later write on another."""
    first = (await api.post(leases, lease("one"))).ok(201)["metadata"]["resourceVersion"]
    maps = f"/api/v1/namespaces/{namespace}/configmaps"
    second = (await api.post(maps, {"metadata": {"name": "map"}, "data": {"a": "b"}})).version
    third = (await api.merge(f"{leases}/one", {"metadata": {"labels": {"x": "y"}}})).version
    listed = (await api.get(leases)).version
    assert int(first) < int(second) < int(third) <= int(listed)
