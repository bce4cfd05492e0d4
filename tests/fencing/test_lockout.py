"""A leader that the fence lets write nothing gives the Lease back, says why, and stands back (docs/fencing.md)."""

from __future__ import annotations

import pytest

from kopf_leader.testing.processes import Replica
from tests.fencing.replicas import Operator
from tests.fencing.site import Site

pytestmark = pytest.mark.xdist_group("real")


def said(replica: Replica) -> str:
    """The line in which it says that it is locked out, if it has."""
    lines = replica.log.read_text().splitlines()
    return next((line for line in lines if "Locked out by the API server's fence" in line), "")


def done_by(operator: Operator, path: str) -> object:
    """Whose handler's result stands in the object's status."""
    return (operator.site.admin.get(path).get("status") or {}).get("create")


def test_one_that_is_locked_out_makes_way_for_one_that_is_not(site: Site, operator: Operator):
    """A foreign identity: it names the pod that its token is of, and the other replica does the work."""
    site.fence()
    one = operator.start("a", handlers="plain.py", environment={"POD_NAME": "foreign"})
    operator.wait_for_holder("foreign")
    operator.start("b", handlers="plain.py")
    path = operator.create()
    operator.replicas.wait_until(lambda: done_by(operator, path) == "b", what="the work done by the other one")
    line = said(one)
    assert "all writes were refused (PATCH kopfexamples.kopf.dev); fencing: only the pod that holds" in line
    assert "set POD_NAME to a, by the downward API. Standing again in 4 s." in line
    assert not said(operator.replicas["b"])


def test_when_nobody_is_left_it_stays_a_candidate(site: Site, operator: Operator):
    """A policy for another Lease: it says so, in its log and by an Event; when it is mended, the work is done."""
    site.fence_wrongly()
    one = operator.start("a", handlers="plain.py")
    path = operator.create()
    operator.replicas.wait_until(lambda: said(one), what="it to be locked out")
    assert f"the policy goes by another Lease than this operator's, {site.namespace}/op: make it anew" in said(one)
    assert done_by(operator, path) is None

    def told() -> bool:
        events = site.admin.get(f"/api/v1/namespaces/{site.namespace}/events")["items"]
        warnings = [each["message"] for each in events if each["type"] == "Warning"]
        return any("stopped leading: the API server's fence refuses its writes" in message for message in warnings)

    operator.replicas.wait_until(told, what="an Event")
    site.unfence(site.wrong_policy)
    operator.replicas.wait_until(lambda: done_by(operator, path), what="the work done")
