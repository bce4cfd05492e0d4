"""Lists: their shape, pages, selectors and versions."""

from __future__ import annotations

import pytest

from tests.contract.api import eventually
from tests.contract.bodies import custom, lease


@pytest.fixture
async def five(api, leases):
    """Five Leases with labels; the path."""
    for number in range(5):
        labels = {"app": "x" if number % 2 else "y", "n": str(number)}
        (await api.post(leases, lease(f"p{number}", labels=labels))).ok(201)
    (await api.post(leases, lease("bare"))).ok(201)
    return leases


def names(answer):
    """The names in a list, in its order."""
    return [item["metadata"]["name"] for item in answer.ok()["items"]]


async def test_the_shape_of_a_list(api, five, widgets):
    """Sorted by name, with a version; items of built-in kinds do not repeat their kind, custom resources do."""
    listed = (await api.get(five)).ok()
    assert (listed["kind"], listed["apiVersion"]) == ("LeaseList", "coordination.k8s.io/v1")
    assert int(listed["metadata"]["resourceVersion"]) > 0
    assert [item["metadata"]["name"] for item in listed["items"]] == ["bare", "p0", "p1", "p2", "p3", "p4"]
    assert not {"kind", "apiVersion"} & set(listed["items"][0])
    (await api.post(widgets, custom("Widget", "one"))).ok(201)
    listed = (await api.get(widgets)).ok()
    assert listed["kind"] == "WidgetList"
    assert listed["items"][0]["kind"] == "Widget"


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("app=x", "p1 p3"),
        ("app==x", "p1 p3"),
        ("app!=x", "bare p0 p2 p4"),
        ("n in (1,2)", "p1 p2"),
        ("n notin (1,2)", "bare p0 p3 p4"),
        ("n", "p0 p1 p2 p3 p4"),
        ("!n", "bare"),
        ("n>2", "p3 p4"),
        ("n<2,app", "p0 p1"),
        ("app in (x),n notin (1)", "p3"),
        ("app=", ""),
    ],
)
async def test_label_selectors(api, five, selector, expected):
    """Equality, sets, existence, numbers, and all of them joined by commas."""
    assert names(await api.get(five, labelSelector=selector)) == expected.split()


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("metadata.name=p1", "p1"),
        ("metadata.name==p1", "p1"),
        ("metadata.name!=p1", "bare p0 p2 p3 p4"),
        ("metadata.namespace=elsewhere", ""),
        ("metadata.name=p1,metadata.name=p2", ""),
    ],
)
async def test_field_selectors(api, five, selector, expected):
    """By name and namespace."""
    assert names(await api.get(five, fieldSelector=selector)) == expected.split()


async def test_field_selectors_of_other_fields(api, five, widgets):
    """400 for a field that cannot be selected by, and for what is no selector."""
    for path in (five, widgets):
        for selector in ("spec.x=1", "nonsense"):
            answer = await api.get(path, fieldSelector=selector)
            assert (answer.status, answer.reason) == (400, "BadRequest")
    for selector in ("((", "a b", "a in"):
        assert (await api.get(five, labelSelector=selector)).status == 400


async def test_pages(api, five):
    """A list in pages: each says how many remain, all show the version of the first, whatever happens between."""
    first = (await api.get(five, limit=2)).ok()
    assert [item["metadata"]["name"] for item in first["items"]] == ["bare", "p0"]
    assert first["metadata"]["remainingItemCount"] == 4
    (await api.delete(f"{five}/p1")).ok()
    (await api.post(five, lease("p15"))).ok(201)
    second = (await api.get(five, **{"limit": 2, "continue": first["metadata"]["continue"]})).ok()
    assert [item["metadata"]["name"] for item in second["items"]] == ["p1", "p2"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    third = (await api.get(five, **{"limit": 5, "continue": second["metadata"]["continue"]})).ok()
    assert [item["metadata"]["name"] for item in third["items"]] == ["p3", "p4"]
    assert not third["metadata"].get("continue")
    assert names(await api.get(five)) == ["bare", "p0", "p15", "p2", "p3", "p4"]


async def test_pages_that_are_refused(api, five):
    """400 for a continue token or a limit that is none."""
    for query in ({"limit": 2, "continue": "garbage"}, {"limit": "abc"}):
        assert (await api.get(five, **query)).status == 400


async def test_versions_of_lists(api, five):
    """Exact shows the past; a version not reached yet is a 504; the others show what is there now."""
    listed = (await api.get(five)).ok()
    version = listed["metadata"]["resourceVersion"]
    (await api.delete(f"{five}/p1")).ok()
    (await api.merge(f"{five}/p2", {"metadata": {"labels": {"app": "z"}}})).ok()
    past = (await api.get(five, resourceVersion=version, resourceVersionMatch="Exact")).ok()
    assert past == listed
    for query in ({"resourceVersion": "0"}, {"resourceVersion": version}, {}):
        assert "bare" in names(await api.get(five, **query))
    assert names(await api.get(five)) == ["bare", "p0", "p2", "p3", "p4"]
    answer = await api.get(five, resourceVersion=int(version) + 1_000_000)
    assert (answer.status, answer.reason) == (504, "Timeout")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"resourceVersion": "abc"}, 400),
        ({"resourceVersionMatch": "Exact"}, 422),
        ({"resourceVersion": "1", "resourceVersionMatch": "Foo"}, 422),
    ],
)
async def test_versions_that_are_refused(api, leases, query, status):
    """Options that make no sense."""
    assert (await api.get(leases, **query)).status == status


async def test_deleting_many(api, five):
    """DELETE on the collection takes a selector, and answers what it deleted."""
    assert names(await api.delete(five, labelSelector="app=x")) == ["p1", "p3"]
    assert names(await api.get(five)) == ["bare", "p0", "p2", "p4"]


@pytest.mark.xdist_group("uncached")
async def test_a_list_of_the_forgotten_past(server, api, five, uncached):
    """After a compaction an exact list is a 410, and so is the next page of an old one, with a token to go on."""
    first = (await api.get(five, limit=2)).ok()
    version = first["metadata"]["resourceVersion"]
    (await api.delete(f"{five}/p1")).ok()
    newest = (await api.get(five)).version
    server.compact(int(newest))

    async def gone():
        answer = await api.get(five, resourceVersion=version, resourceVersionMatch="Exact")
        return answer.status == 410 and answer.reason == "Expired"

    await eventually(gone, "the version to be gone")
    answer = await api.get(five, **{"limit": 2, "continue": first["metadata"]["continue"]})
    assert (answer.status, answer.reason) == (410, "Expired")
    rest = await api.get(five, **{"limit": 9, "continue": answer.body["metadata"]["continue"]})
    assert names(rest) == ["p2", "p3", "p4"]
