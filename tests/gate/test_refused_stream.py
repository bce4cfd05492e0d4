"""Two resources, of which one may not be watched: what becomes of the other one, and of the Lease."""

import functools
import inspect

import kopf
import pytest
from kopf._cogs.clients import errors, watching
from kopf._core.reactor import orchestration

from kopf_leader.gate import hold
from tests.gate.conftest import warm_only
from tests.gate.operators import PLURAL, wait_for

pytestmark = warm_only


def forbid(monkeypatch, plural):
    """Have the API server refuse this resource; how often it did."""
    monkeypatch.setattr(hold, "RETRY", 0.05)
    original = watching.continuous_watch
    refused = []

    @functools.wraps(original)
    def watch(**kwargs):
        if kwargs["resource"].plural != plural or "lifted" in refused:
            return original(**kwargs)
        refused.append(plural)
        return fail()

    async def fail():
        raise errors.APIForbiddenError({"message": "no"}, status=403, headers={})
        yield

    monkeypatch.setattr(watching, "continuous_watch", watch)
    return refused


def make(operator):
    op = operator()

    @kopf.index(PLURAL, id="names", **op.on)
    def names(name, **_):
        return {name: True}

    @kopf.on.create(PLURAL, **op.on)
    def created(name, **_):
        op.count(name)

    @kopf.on.event("leases", **op.on)
    def event(**_):
        op.count("lease")

    return op


def test_a_standby_goes_on_with_the_other_resource(operator, cluster, monkeypatch):
    """A refused resource takes nothing from another one's index; promoted after it was allowed, both are handled."""
    refused = forbid(monkeypatch, "leases")
    op = make(operator)
    cluster.api.create(
        f"/apis/coordination.k8s.io/v1/namespaces/{cluster.namespace}/leases",
        {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "one"}, "spec": {}},
    )
    cluster.create("a")
    op.start()
    wait_for(lambda: len(refused) > 2, "it to be tried again")
    assert op.gate.unwatched == ["leases.v1.coordination.k8s.io"], "readiness depends on it"
    cluster.create("b")
    wait_for(lambda: sorted(op.conductor.parts.indexers.indices["names"]) == ["a", "b"], "the index to follow")
    refused.append("lifted")
    wait_for(lambda: not op.gate.unwatched, "it to be watched")
    op.lead()
    wait_for(lambda: op.counted["a"] and op.counted["b"] and op.counted["lease"], "the handlers")
    op.stop()
    assert op.failure is None


def test_a_leader_stops_and_gives_the_lease_back(operator, cluster, monkeypatch):
    """Whoever may not watch what it has to handle stops when it is to lead, as plain kopf does at its start."""
    if "reraise" not in inspect.getsource(orchestration.orchestrator):
        pytest.skip("this kopf does not look at the end of its streams: it goes on without them")
    refused = forbid(monkeypatch, "leases")
    op = make(operator)
    cluster.create("a")
    op.start()
    wait_for(lambda: len(refused) > 2, "it to be tried again")
    op.election.lead()
    op.join()
    assert isinstance(op.failure, errors.APIForbiddenError)
    assert op.election.released.is_set()
    assert "leave" in op.election.said
