"""The policy of `kopf-leader manifest --fence`, with bound tokens, on the real API server: whose write is refused?"""

from __future__ import annotations

import time

import pytest

from kopf_leader.gate.noise import REFUSED
from tests.controlplane.api import MERGE_PATCH
from tests.controlplane.server import wait_until
from tests.fencing.site import BINDINGS, LEASE, POLICIES, Site, sentence

pytestmark = pytest.mark.xdist_group("real")

OBJECT = {"apiVersion": "kopf.dev/v1", "kind": "KopfExample", "metadata": {"name": "one"}, "spec": {"a": 1}}


def writes(site: Site, api) -> dict[str, int]:
    """Each kind of write, tried once each on objects that are there; the status of each."""
    one = f"{site.objects}/one"
    site.admin.attempt("POST", site.objects, OBJECT)
    there = site.admin.get(one)
    apply = "application/apply-patch+yaml"
    return {
        "update": api.attempt("PUT", one, {**there, "spec": {"a": 1, "z": 1}})[0],
        "patch": api.attempt("PATCH", one, {"spec": {"b": 1}}, content_type=MERGE_PATCH)[0],
        "status": api.attempt("PATCH", f"{one}/status", {"status": {"c": 1}}, content_type=MERGE_PATCH)[0],
        "apply": api.attempt("PATCH", f"{one}?fieldManager=me&force=true", OBJECT, content_type=apply)[0],
        "create": api.attempt("POST", site.objects, {**OBJECT, "metadata": {"generateName": "two-"}})[0],
        "apply anew": api.attempt(
            "PATCH", f"{site.objects}/three?fieldManager=me",
            {**OBJECT, "metadata": {"name": "three"}}, content_type=apply,
        )[0],
        "dry run": api.attempt("PATCH", f"{one}?dryRun=All", {"spec": {"d": 1}}, content_type=MERGE_PATCH)[0],
        "delete": api.attempt("DELETE", one)[0],
    }  # fmt: skip


def test_only_the_holder_s_pod_writes(site: Site):
    """Every way to write is refused to the pod that does not hold the Lease, and none to the one that does."""
    a, b = site.pod("a"), site.pod("ab")
    site.hold("a")
    site.fence()
    site.until_allowed(a)
    assert set(writes(site, a).values()) <= {200, 201}
    assert set(writes(site, b).values()) == {403}, "a name that begins alike is another name"
    site.hold("ab")
    site.until_allowed(b)
    site.until_refused(a)
    assert set(writes(site, a).values()) == {403}
    assert site.admin.get(f"{site.objects}/one")["spec"] == {"a": 1}


def test_a_refusal_says_whose_fault_it_is(site: Site):
    """The sentence names the Lease, the holder and the pod; or that the token is bound to none."""
    b = site.pod("b")
    site.hold("a")
    site.fence()
    holder = site.admin.get(site.lease)["spec"]["holderIdentity"]
    status, answer = site.write(b)
    assert (status, answer["reason"]) == (403, "Forbidden")
    assert f"{REFUSED} {site.namespace}/{LEASE} may write" in sentence(answer), "the gate knows it by these words"
    assert f"the holder is {holder}; this write comes from b" in sentence(answer)
    assert "is by a token that is bound to no pod" in sentence(site.write(site.api(site.token(None)))[1])
    site.hold("")
    wait_until(lambda: "nobody holds it" in sentence(site.write(b)[1]), what="the release to be seen")


def test_reading_is_nobody_s_business(site: Site):
    """A standby lists and watches what is fenced: it must know what to do when it leads."""
    b = site.pod("b")
    site.hold("a")
    site.fence()
    assert b.get(site.objects)["kind"] == "KopfExampleList"
    assert b.get(f"{site.maps}/probe")["data"] is not None


def test_lease_and_events_are_left_alone(site: Site):
    """Who is refused everywhere else may take the Lease, or nobody could take over; and tell Events."""
    b = site.pod("b")
    site.hold("a")
    site.fence()
    found = b.get(site.lease)
    found["spec"]["holderIdentity"] = "b_1"
    assert b.replace(site.lease, found)["spec"]["holderIdentity"] == "b_1"
    event = {
        "metadata": {"generateName": "e-"},
        "involvedObject": {"kind": "Lease", "name": LEASE, "namespace": site.namespace},
        "reason": "LeaderElection",
        "message": "b_1 became leader",
    }
    assert b.create(f"/api/v1/namespaces/{site.namespace}/events", event)["metadata"]["name"]


def test_others_are_never_affected(site: Site):
    """Another user, another account, the admin: with the Lease held, free, and deleted."""
    other = Site(site.plane)
    try:
        theirs = other.pod("a")
        site.hold("a")
        site.fence()
        for state in ("held", "free", "deleted"):
            if state == "free":
                site.hold("")
            if state == "deleted":
                site.admin.delete(site.lease)
            assert site.write(site.admin)[0] == 200, state
            assert other.write(theirs)[0] == 200, state
            made = site.admin.create(site.maps, {"metadata": {"name": f"by-admin-{state}"}})
            site.admin.delete(f"{site.maps}/{made['metadata']['name']}")
    finally:
        other.clear()


def test_what_is_not_named_is_not_fenced(site: Site):
    """Only the resources that the manifest was given."""
    b = site.pod("b")
    site.hold("a")
    site.fence(resources=("configmaps",))
    site.until_refused(b)
    assert b.create(site.objects, OBJECT)["spec"] == {"a": 1}


def test_another_namespace_is_fenced_as_well(site: Site):
    """A cluster-wide operator: what it writes elsewhere is held against the same Lease."""
    elsewhere = site.plane.namespace("fencing-elsewhere")
    a, b = site.pod("a"), site.pod("b")
    site.hold("a")
    site.fence()
    site.until_allowed(a)
    path = f"/apis/kopf.dev/v1/namespaces/{elsewhere}/kopfexamples"
    assert b.attempt("POST", path, OBJECT)[0] == 403
    assert a.attempt("POST", path, OBJECT)[0] == 201


def test_while_there_is_no_lease_the_fence_is_open(site: Site):
    """`allow`, the default: nobody leads then, and nobody else is hurt. With the new Lease the fence stands again."""
    a, b = site.pod("a"), site.pod("b")
    site.hold("a")
    site.fence()
    site.until_allowed(a)
    site.admin.delete(site.lease)
    site.until_allowed(b)
    site.apply(*(each for each in site.manifest() if each["kind"] == "Lease"))
    site.until_refused(a)
    site.until_refused(b)
    site.hold("b")
    site.until_allowed(b)
    assert site.write(a)[0] == 403


def test_or_nobody_writes_at_all(site: Site):
    """`deny`: without the Lease the operator's pods are refused, and so is everybody else, as the API server is."""
    a, b = site.pod("a"), site.pod("b")
    site.hold("a")
    site.fence("--fence-when-missing=deny")
    site.until_allowed(a)
    assert site.write(site.admin)[0] == 200
    site.admin.delete(site.lease)
    wait_until(lambda: site.write(a)[0] == 422, what="the deletion to be seen")
    assert [site.write(api)[0] for api in (b, site.admin)] == [422, 422]
    assert "no params found" in sentence(site.write(b)[1])
    site.apply(*(each for each in site.manifest() if each["kind"] == "Lease"))
    wait_until(lambda: site.write(site.admin)[0] == 200, what="others to write again")
    site.until_refused(a)


def test_switched_off_in_an_emergency(site: Site):
    """Deleting the binding is enough; to switch it on, applying the manifest again; it goes by the holder of then."""
    a, b = site.pod("a"), site.pod("b")
    site.hold("a")
    site.fence()
    site.until_allowed(a)
    site.until_refused(b)
    site.unfence()
    assert site.write(b)[0] == 200
    time.sleep(2.5)  # the API server looks each second whether anybody still goes by Leases
    site.hold("b")
    site.fence()
    site.until_allowed(b)
    site.until_refused(a)


def test_an_api_server_that_starts_anew(site: Site):
    """After a restart the fence stands from the first request on, and others are let through from the first on."""
    a, b = site.pod("a"), site.pod("b")
    site.hold("a")
    site.fence()
    site.until_allowed(a)
    site.plane.restart()
    assert [site.write(api)[0] for api in (b, site.admin, a)] == [403, 200, 200]


def test_the_policy_is_sound(site: Site):
    """Applied a second time, it changes nothing; and each name is taken, the longest as well."""
    site.fence()
    before = [site.admin.get(f"{path}/{site.policy}") for path in (POLICIES, BINDINGS)]
    site.fence()
    assert [site.admin.get(f"{path}/{site.policy}") for path in (POLICIES, BINDINGS)] == before
    for lease in ("x" * 253, "1e5", "a.b-c"):
        site.dry_run(*site.manifest("--fence", "--fence-resource=a.b/c", "--fence-resource=c", lease=lease))
