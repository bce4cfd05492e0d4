"""Kubernetes Events, in their two shapes."""

from __future__ import annotations

import pytest


def core(namespace, **more):
    """An Event as kopf posts it: without kind, with both kinds of times."""
    moment = "2026-01-02T03:04:05.123456+00:00"
    return {
        "metadata": {"namespace": namespace, "generateName": "kopf-event-"},
        "action": "Action?",
        "type": "Normal",
        "reason": "Logging",
        "message": "done",
        "reportingComponent": "kopf",
        "reportingInstance": "dev",
        "source": {"component": "kopf"},
        "involvedObject": {"kind": "Lease", "name": "one", "namespace": namespace},
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "eventTime": moment,
        **more,
    }


def modern(**more):
    """An Event of events.k8s.io/v1."""
    return {
        "metadata": {"generateName": "modern-"},
        "action": "Electing",
        "type": "Normal",
        "reason": "LeaderElection",
        "note": "a became leader",
        "reportingController": "kopf-leader",
        "reportingInstance": "a",
        "eventTime": "2026-01-02T03:04:05.123456Z",
        **more,
    }


@pytest.fixture
def paths(namespace):
    """The paths of both shapes."""
    return f"/api/v1/namespaces/{namespace}/events", f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"


async def test_an_event_of_core_v1(api, namespace, paths):
    """Times are cut to what they may hold; the same object is shown under events.k8s.io/v1 with other names."""
    made = (await api.post(paths[0], core(namespace))).ok(201)
    name = made["metadata"]["name"]
    assert name.startswith("kopf-event-")
    assert (made["eventTime"], made["firstTimestamp"]) == ("2026-01-02T03:04:05.123456Z", "2026-01-02T03:04:05Z")
    shown = (await api.get(f"{paths[1]}/{name}")).ok()
    assert (shown["apiVersion"], shown["note"], shown["reportingController"]) == ("events.k8s.io/v1", "done", "kopf")
    assert shown["regarding"] == made["involvedObject"]
    assert shown["deprecatedSource"] == {"component": "kopf"}
    assert shown["deprecatedFirstTimestamp"] == "2026-01-02T03:04:05Z"


async def test_an_event_of_events_v1(api, namespace, paths):
    """And the other way round."""
    body = modern(regarding={"kind": "Lease", "name": "one", "namespace": namespace})
    made = (await api.post(paths[1], body)).ok(201)
    shown = (await api.get(f"{paths[0]}/{made['metadata']['name']}")).ok()
    assert (shown["apiVersion"], shown["message"], shown["source"]) == ("v1", "a became leader", {})
    assert (shown["firstTimestamp"], shown["reportingComponent"]) == (None, "kopf-leader")


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"eventTime": None}, 422),
        ({"eventTime": "2026-01-02T03:04:05Z"}, 400),
        ({"reportingController": ""}, 422),
        ({"reportingInstance": ""}, 422),
        ({"reportingInstance": "x" * 129}, 422),
        ({"action": ""}, 422),
        ({"reason": ""}, 422),
        ({"reason": "x" * 129}, 422),
        ({"type": "Strange"}, 422),
        ({"note": "x" * 1025}, 422),
        ({"regarding": {"kind": "Lease", "name": "one", "namespace": "default"}}, 201),
        ({"regarding": {"kind": "Node", "name": "one"}}, 422),
    ],
)
async def test_what_an_event_must_have(api, namespace, paths, more, status):
    """422 for what is missing or too long."""
    body = modern(regarding={"kind": "Lease", "name": "one", "namespace": namespace}) | more
    assert (await api.post(paths[1], body)).status == status


async def test_selecting_events(api, namespace, paths):
    """By the object they are about, as kubectl describe asks."""
    (await api.post(paths[0], core(namespace))).ok(201)
    other = {"kind": "Lease", "name": "two", "namespace": namespace}
    (await api.post(paths[0], core(namespace, involvedObject=other, reason="Other"))).ok(201)
    for selector in ("involvedObject.name=two", "reason=Other", "involvedObject.name=two,type=Normal"):
        items = (await api.get(paths[0], fieldSelector=selector)).ok()["items"]
        assert [item["reason"] for item in items] == ["Other"]
    assert (await api.get(paths[0], fieldSelector="nothing=1")).status == 400
