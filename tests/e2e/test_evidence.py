"""Takeover on proof of death: real processes in namespaces, a real API server, statuses as a kubelet writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kopf_leader.protocol.evidence import life_in
from tests.controlplane.server import RealControlPlane
from tests.e2e.container import Container, possible
from tests.e2e.yard import Yard, now

LONG = {"lease_duration": "120", "renew_deadline": "100"}  # nobody waits for an expiry here
SHORT = {"lease_duration": "9", "renew_deadline": "5", "retry_period": "1"}
SECOND = 1_000_000_000


@pytest.fixture
def yard(control_plane: RealControlPlane, tmp_path: Path) -> Any:
    """Makes a yard; ends it."""
    if not possible():
        pytest.skip("containers get namespaces of their own, which this machine does not allow")
    yards: list[Yard] = []

    def make(**how: Any) -> Yard:
        yards.append(Yard(control_plane, tmp_path, **how))
        return yards[-1]

    yield make
    for each in yards:
        each.__exit__()


def test_a_killed_leader_is_taken_over_from_when_its_kubelet_tells(yard: Callable[..., Yard]) -> None:
    """L6: SIGKILL; the kubelet reads the last words; another pod leads at once, with a Lease of two minutes."""
    place = yard(**LONG)
    lease = place.lease("op")
    leader = place.start("a", lease)
    first = place.leader(lease)
    standby = place.start("b", lease)
    place.standing_by(lease, standby.name)
    leader.kill()
    second = place.leader(lease, since=leader.killed_at)
    assert second.by.startswith(f"{standby.name}_")
    assert second.token > first.token
    assert "the kubelet tells that its container has ended" in standby.log()


def test_a_container_that_is_started_anew_needs_no_right(yard: Callable[..., Yard]) -> None:
    """L6: without the rule for pods, a later run of the same container takes over from itself; another pod waits."""
    place = yard(pods=False, **LONG)
    lease = place.lease("op")
    leader = place.start("a", lease, restart=True)
    first = place.leader(lease)
    standby = place.start("b", lease)
    place.standing_by(lease, standby.name)
    leader.kill()
    second = place.leader(lease, since=leader.killed_at)
    before, after = life_in(first.by), life_in(second.by)
    assert before is not None
    assert after is not None
    assert (before[0], before[1].place) == (after[0], after[1].place) == (leader.name, before[1].place)
    assert before[1].run != after[1].run
    assert "it was an earlier run of this container" in leader.log()
    assert standby.log().count("has to wait for expiries") == 1
    assert 'resources: ["pods"], verbs: ["get", "watch"]' in standby.log()


def forced(container: Container) -> None:
    """`kubectl delete --force --grace-period=0`."""
    container.forget()


def failed(container: Container) -> None:
    """The pod garbage collector and the node lifecycle controller: the phase, and nothing of the container."""
    container.report({"running": {"startedAt": "2026-01-01T00:00:00Z"}}, phase="Failed", reason="NodeLost")


def unknown(container: Container) -> None:
    """A kubelet that has lost the container (kubelet_pods.go, convertStatusToAPIStatus)."""
    message = "The container could not be located when the pod was terminated"
    terminated = {"exitCode": 137, "reason": "ContainerStatusUnknown", "message": message}
    container.report({"terminated": terminated}, phase="Failed")


def test_what_is_no_proof_is_waited_for(yard: Callable[..., Yard]) -> None:
    """L6: a leader that is alive and silent is not taken over from before its Lease expires, whatever its pod says."""
    place = yard(**SHORT)
    lies = (forced, failed, unknown)
    leases = {lie: place.lease(lie.__name__) for lie in lies}
    leaders = {lie: place.start(lie.__name__, leases[lie], kubelet=False) for lie in lies}
    for lie in lies:
        place.leader(leases[lie])
        leaders[lie].report({"running": {"startedAt": "2026-01-01T00:00:00Z"}})
    standby = place.start("b", *leases.values(), kubelet=False)
    for lease in leases.values():
        place.standing_by(lease, standby.name)
    frozen = now()
    for lie, leader in leaders.items():
        leader.freeze()
        lie(leader)
    for lease in leases.values():
        taken = place.leader(lease, since=frozen)
        assert taken.t - frozen > 2 * SECOND  # nine after the last renewal
        assert taken.by.startswith(f"{standby.name}_")
    assert "is dead" not in standby.log()
