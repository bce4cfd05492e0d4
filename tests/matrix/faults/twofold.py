"""A process that stands for two Leases: as an operator for one, by an `Elector` for the other."""

from __future__ import annotations

from pathlib import Path

from kopf_leader.testing.facts import History
from kopf_leader.testing.history import Execution, check
from tests.e2e.stage import LEASES
from tests.matrix.faults.processes import STARTUP, ends_in_order
from tests.matrix.scene import Scene

SECOND = "second"
HANDLERS = str(STARTUP / "second_lease.py")


def two_leases(scene: Scene) -> None:
    """Both Leases are there, and every replica may have both."""
    scene.environment["KOPF_LEADER_SECOND_NAMESPACE"] = scene.namespace
    path = LEASES.format(scene.namespace, "").rstrip("/")
    scene.control_plane.admin.create(path, {"metadata": {"name": SECOND}, "spec": {}})
    for name in ("a", "b", "c"):
        scene.control_plane.grant_lease_rights(f"{scene.namespace}-{name}", scene.namespace, SECOND)


def apart(scene: Scene) -> str:
    """The second Lease is deleted; the leader of the first is ended, and then its successor killed."""
    leader = scene.leader()
    _wait_for_second(scene, 1)
    token = (scene.read_lease() or {})["spec"]["leaseTransitions"]
    scene.control_plane.admin.delete(LEASES.format(scene.namespace, SECOND))
    _wait_for_second(scene, 2)
    assert (scene.read_lease() or {})["spec"]["leaseTransitions"] == token
    assert scene.leader() is leader
    ends_in_order(leader)
    second = scene.leader(other_than=leader)
    scene.start("c", arguments=[HANDLERS])
    scene.standby(second)
    second.kill()
    scene.leader(other_than=second)
    scene.replicas.wait_until(lambda: _at_second(scene)[-1].process.replica == "c", what="c to have both")
    verdict = check(_history(scene))
    assert not verdict.overlaps, verdict.explain()
    assert not verdict.problems, verdict.explain()
    return f"each Lease by itself: {len(verdict.executions)} terms of the second one without an overlap"


def _wait_for_second(scene: Scene, count: int) -> None:
    scene.replicas.wait_until(lambda: len(_at_second(scene)) >= count, what=f"term {count} of the second Lease")


def _at_second(scene: Scene) -> tuple[Execution, ...]:
    return check(_history(scene)).executions


def _history(scene: Scene) -> History:
    """What the work of the second Lease wrote, with the deaths that the replicas' owner knows of."""
    own = History.read(Path(f"{scene.replicas.history_file}.second"))
    deaths = [fact for fact in scene.replicas.history().facts if fact["kind"] == "death"]
    return History((*own.facts, *deaths), own.problems)
