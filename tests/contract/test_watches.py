"""Watches: where they begin, what they show, how they end."""

from __future__ import annotations

import secrets

import pytest

from tests.contract.api import eventually
from tests.contract.bodies import custom, held, lease


def named(name: str) -> dict[str, str]:
    """The field selector by which the election watches its one Lease."""
    return {"fieldSelector": f"metadata.name={name}"}


def seen(event):
    """What a test compares of an event."""
    return event["type"], event["object"]["metadata"]["name"]


async def test_changes_after_a_version(api, leases):
    """A watch from a version shows each later change once, in order, as whole objects."""
    first = (await api.post(leases, lease("one", held("a")))).ok(201)
    async with api.watch(leases, **named("one"), resourceVersion=first["metadata"]["resourceVersion"]) as watch:
        second = (await api.merge(f"{leases}/one", {"spec": {"holderIdentity": "b"}})).ok()
        event = await watch.next()
        assert event["type"] == "MODIFIED"
        assert event["object"]["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]
        assert event["object"]["spec"] == second["spec"]
        assert (event["object"]["kind"], event["object"]["apiVersion"]) == ("Lease", "coordination.k8s.io/v1")
        (await api.delete(f"{leases}/one")).ok()
        assert seen(await watch.next()) == ("DELETED", "one")
        (await api.post(leases, lease("one"))).ok(201)
        assert seen(await watch.next()) == ("ADDED", "one")


async def test_missed_changes_are_replayed(api, leases):
    """A watch from a version that lies behind begins with what was missed."""
    version = (await api.get(leases)).version
    (await api.post(leases, lease("one"))).ok(201)
    (await api.merge(f"{leases}/one", {"metadata": {"labels": {"a": "b"}}})).ok()
    (await api.delete(f"{leases}/one")).ok()
    async with api.watch(leases, resourceVersion=version) as watch:
        assert [(await watch.next())["type"] for _ in range(3)] == ["ADDED", "MODIFIED", "DELETED"]


@pytest.mark.parametrize("query", [{}, {"resourceVersion": "0"}])
async def test_without_a_version(api, leases, query):
    """Without a version (or with 0) a watch begins with what exists, as ADDED; changes follow."""
    (await api.post(leases, lease("one"))).ok(201)
    (await api.post(leases, lease("two"))).ok(201)
    async with api.watch(leases, **query) as watch:
        assert {seen(await watch.next()), seen(await watch.next())} == {("ADDED", "one"), ("ADDED", "two")}
        (await api.delete(f"{leases}/one")).ok()
        assert seen(await watch.next()) == ("DELETED", "one")


async def test_a_deletion_carries_its_own_version(api, leases):
    """The DELETED event has the last content and the version of the deletion, above all before (L16)."""
    stored = (await api.post(leases, lease("one", held("a")))).ok(201)
    version = stored["metadata"]["resourceVersion"]
    async with api.watch(leases, resourceVersion=version) as watch:
        (await api.delete(f"{leases}/one")).ok()
        event = await watch.next()
    again = (await api.post(leases, lease("one"))).ok(201)
    assert event["object"]["spec"] == stored["spec"]
    assert event["object"]["metadata"]["uid"] == stored["metadata"]["uid"]
    deleted = int(event["object"]["metadata"]["resourceVersion"])
    assert int(version) < deleted < int(again["metadata"]["resourceVersion"])


async def test_what_changes_nothing_is_not_shown(api, leases):
    """An identical PUT sends no event: the next event is that of the next real change."""
    stored = (await api.post(leases, lease("one", held("a")))).ok(201)
    async with api.watch(leases, resourceVersion=stored["metadata"]["resourceVersion"]) as watch:
        (await api.put(f"{leases}/one", stored)).ok()
        (await api.merge(f"{leases}/one", {"spec": {"holderIdentity": "a"}})).ok()
        changed = (await api.merge(f"{leases}/one", {"spec": {"holderIdentity": "b"}})).ok()
        event = await watch.next()
        assert event["object"]["metadata"]["resourceVersion"] == changed["metadata"]["resourceVersion"]


async def test_a_field_selector(api, leases):
    """Only the object of that name is shown."""
    version = (await api.get(leases)).version
    async with api.watch(leases, **named("two"), resourceVersion=version) as watch:
        (await api.post(leases, lease("one"))).ok(201)
        (await api.post(leases, lease("two"))).ok(201)
        assert seen(await watch.next()) == ("ADDED", "two")


async def test_moving_in_and_out_of_a_label_selector(api, leases):
    """An object that comes to match is ADDED, one that no longer does is DELETED with its last matching content."""
    version = (await api.get(leases)).version
    async with api.watch(leases, labelSelector="app=x", resourceVersion=version) as watch:
        (await api.post(leases, lease("one"))).ok(201)
        (await api.merge(f"{leases}/one", {"metadata": {"labels": {"app": "x"}}})).ok()
        assert seen(await watch.next()) == ("ADDED", "one")
        out = (await api.merge(f"{leases}/one", {"metadata": {"labels": {"app": "y"}}})).ok()
        event = await watch.next()
        assert event["type"] == "DELETED"
        assert event["object"]["metadata"]["labels"] == {"app": "x"}
        assert event["object"]["metadata"]["resourceVersion"] == out["metadata"]["resourceVersion"]
        (await api.delete(f"{leases}/one")).ok()
        (await api.post(leases, lease("two", labels={"app": "x"}))).ok(201)
        assert seen(await watch.next()) == ("ADDED", "two")


async def test_all_namespaces(api, leases, namespace):
    """A watch on the cluster's path shows all namespaces; one on a namespace's path only that."""
    version = (await api.get(leases)).version
    everywhere = "/apis/coordination.k8s.io/v1/leases"
    other = leases.replace(namespace, "default")
    name = f"of-{namespace}"
    async with (
        api.watch(everywhere, **named(name), resourceVersion=version) as wide,
        api.watch(leases, resourceVersion=version) as narrow,
    ):
        (await api.post(other, lease(name))).ok(201)
        assert (await wide.next())["object"]["metadata"]["namespace"] == "default"
        (await api.post(leases, lease(name))).ok(201)
        assert (await wide.next())["object"]["metadata"]["namespace"] == namespace
        assert (await narrow.next())["object"]["metadata"]["namespace"] == namespace
        (await api.delete(f"{other}/{name}")).ok()


async def test_the_end_of_a_watch(api, leases):
    """A watch with timeoutSeconds ends by itself, and is resumed without a loss."""
    version = (await api.post(leases, lease("one"))).version
    async with api.watch(leases, resourceVersion=version, timeoutSeconds=1) as watch:
        assert await watch.rest() == []
    (await api.merge(f"{leases}/one", {"spec": {"holderIdentity": "b"}})).ok()
    async with api.watch(leases, resourceVersion=version, timeoutSeconds=1) as watch:
        assert [event["type"] for event in await watch.rest()] == ["MODIFIED"]


async def test_bookmarks(api, leases):
    """When asked for, a BOOKMARK comes before the end: nothing but kind and version; else none comes."""
    version = (await api.post(leases, lease("one"))).version

    elsewhere = "/apis/coordination.k8s.io/v1/namespaces/default/leases"

    async def marks():
        # The real one promises none: it looks for watches to bookmark once a second, in the last two of each, and tells
        # a version only if something has happened since, wherever.
        other = f"noise-{secrets.token_hex(4)}"
        (await api.post(elsewhere, lease(other))).ok(201)
        (await api.delete(f"{elsewhere}/{other}")).ok()
        async with api.watch(leases, resourceVersion=version, timeoutSeconds=5, allowWatchBookmarks="true") as watch:
            events = await watch.rest()
        assert {event["type"] for event in events} <= {"BOOKMARK"}
        return events

    marked = (await eventually(marks, "a bookmark"))[-1]["object"]
    assert (marked["kind"], marked["apiVersion"]) == ("Lease", "coordination.k8s.io/v1")
    assert int(marked["metadata"]["resourceVersion"]) >= int(version)
    assert not {"name", "uid"} & set(marked["metadata"])
    async with api.watch(leases, resourceVersion=version, timeoutSeconds=4) as watch:
        assert await watch.rest() == []


async def test_streaming_lists(api, leases):
    """With sendInitialEvents the existing objects come as ADDED, and a marked BOOKMARK ends them."""
    (await api.post(leases, lease("one"))).ok(201)
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    async with api.watch(leases, **query) as watch:
        assert seen(await watch.next()) == ("ADDED", "one")
        event = await watch.next()
        assert event["type"] == "BOOKMARK"
        assert event["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        (await api.post(leases, lease("two"))).ok(201)
        assert seen(await watch.next()) == ("ADDED", "two")
    answer = await api.get(leases, watch="true", sendInitialEvents="true")
    assert (answer.status, answer.reason) == (422, "Invalid")


async def test_a_version_that_lies_ahead(api, leases):
    """A watch from a version that does not exist yet is open, and silent about the versions up to it."""
    version = int((await api.get(leases)).version)
    async with api.watch(leases, resourceVersion=version + 1_000_000, timeoutSeconds=2) as watch:
        (await api.post(leases, lease("one"))).ok(201)
        assert await watch.rest() == []


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"resourceVersion": "abc"}, 500),
        ({"timeoutSeconds": "x"}, 400),
        ({"fieldSelector": "spec.x=1"}, 400),
        ({"labelSelector": "(("}, 400),
    ],
)
async def test_watches_that_are_refused(api, leases, query, status):
    """What a watch cannot do is said by the status, before the stream."""
    assert (await api.get(leases, watch="true", **query)).status == status


async def test_custom_resources_are_watched(api, plains):
    """Custom resources may be watched like anything else; objects are whole, kind and all."""
    version = (await api.get(plains)).version
    async with api.watch(plains, resourceVersion=version) as watch:
        made = (await api.post(plains, custom("Plain", "one", spec={"a": 1}))).ok(201)
        event = await watch.next()
        made["metadata"].pop("managedFields", None)
        event["object"]["metadata"].pop("managedFields", None)
        assert event == {"type": "ADDED", "object": made}


async def test_many_watchers_see_the_same(api, leases):
    """Every watch shows every change, in the same order."""
    version = (await api.get(leases)).version
    async with (
        api.watch(leases, resourceVersion=version) as one,
        api.watch(leases, resourceVersion=version) as two,
    ):
        for number in range(20):
            (await api.post(leases, lease(f"n-{number}"))).ok(201)
        expected = [("ADDED", f"n-{number}") for number in range(20)]
        assert [seen(await one.next()) for _ in range(20)] == expected
        assert [seen(await two.next()) for _ in range(20)] == expected


@pytest.mark.xdist_group("uncached")
async def test_a_version_too_old_ends_in_a_gone_event(server, api, leases, uncached):
    """A watch from before the compaction: 410, as an ERROR event inside a 200."""
    version = (await api.post(leases, lease("one"))).version
    for holder in "abc":
        newest = (await api.merge(f"{leases}/one", {"spec": {"holderIdentity": holder}})).version
    server.compact(int(newest))

    async def gone() -> bool:
        async with api.watch(leases, resourceVersion=version, timeoutSeconds=10) as watch:
            event = await watch.next()
        if event["type"] != "ERROR":
            return False
        status = event["object"]
        assert (status["kind"], status["code"], status["reason"]) == ("Status", 410, "Expired")
        return True

    await eventually(gone, "the watch to be refused")
    async with api.watch(leases, resourceVersion=newest) as watch:
        (await api.delete(f"{leases}/one")).ok()
        assert seen(await watch.next()) == ("DELETED", "one")
