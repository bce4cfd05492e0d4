"""The API server restarts, or somebody lays hands on the Lease."""

from __future__ import annotations

import time

import pytest

from tests.e2e.stage import LEASE, LEASES, Stage, Workload


@pytest.mark.parametrize("hard", [False, True], ids=["SIGTERM", "SIGKILL"])
def test_the_api_server_restarts(stage: Stage, hard: bool) -> None:
    """A few seconds without an API server: whoever leads afterwards, nothing overlaps and nothing is lost."""
    stage.start("a", "b", "c")
    with Workload(stage, seconds=0.2, daemon=True):
        stage.leader()
        stage.control_plane.restart(hard=hard)
        stage.leader()
        stage.create(3)
        stage.wait_until_handled()
    stage.conclude()


def test_the_api_server_is_gone_for_longer_than_the_lease(stage: Stage) -> None:
    """Everybody stops; when it is back there is one leader again, and no process had to be restarted."""
    stage.start("a", "b", "c")
    with Workload(stage, seconds=0.2, daemon=True):
        stage.leader()
        stage.control_plane.kill()
        time.sleep(LEASE + 3)
        stage.control_plane.revive()
        stage.leader()
        stage.create(3)
        stage.wait_until_handled()
    assert len(list(stage.replicas)) == 3
    stage.conclude()


@pytest.mark.parametrize("part", ["apiserver", "etcd"])
def test_the_control_plane_is_frozen_for_longer_than_the_lease(stage: Stage, part: str) -> None:
    """Connections stay open and nobody answers, then everything comes at once."""
    stage.start("a", "b", "c")
    with Workload(stage, seconds=0.2, daemon=True):
        stage.leader()
        stage.control_plane.pause(part)
        time.sleep(LEASE + 3)
        stage.control_plane.resume(part)
        stage.leader()
        stage.create(3)
        stage.wait_until_handled()
    stage.conclude()


def test_the_lease_is_deleted(stage: Stage) -> None:
    """L8, L11: the term ends at once; the Lease is made anew, and one replica leads, without an overlap."""
    stage.start("a", "b", "c")
    with Workload(stage, seconds=0.2, daemon=True):
        stage.leader()
        before = stage.read_lease()
        stage.control_plane.admin.delete(LEASES.format(stage.namespace, stage.lease))
        stage.replicas.wait_until(stage.read_lease, what="the Lease to be made anew")
        stage.leader()
        stage.create(3)
        stage.wait_until_handled()
        after = stage.read_lease()
    assert before is not None
    assert after is not None
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    stage.conclude()


def test_somebody_else_is_written_into_the_lease(stage: Stage) -> None:
    """L8: another holder was seen, so the leader stops at once; the stranger is waited out."""
    stage.start("a", "b", "c")
    with Workload(stage, seconds=0.2, daemon=True):
        stage.leader()
        path = LEASES.format(stage.namespace, stage.lease)
        stage.control_plane.admin.patch(path, {"spec": {"holderIdentity": "a-stranger"}})
        stage.replicas.wait_until(lambda: stage.holder() in {"a", "b", "c"}, what="a leader after the stranger")
        stage.leader()
        stage.create(3)
        stage.wait_until_handled()
        lease = stage.read_lease()
    verdict = stage.conclude()
    assert lease is not None
    assert lease["spec"]["leaseTransitions"] >= 1
    stopped = [run.outcome for run in verdict.executions if run.handler == "daemon"]
    assert stopped  # daemons were told to stop, and started again


@pytest.mark.parametrize(
    "spec",
    [
        {"leaseDurationSeconds": None},
        {"renewTime": None, "acquireTime": None},
        {"leaseTransitions": 2147483647},
    ],
    ids=["no duration", "no times", "transitions at the end"],
)
def test_nonsense_in_the_lease_is_survived(stage: Stage, spec: dict[str, object]) -> None:
    """A Lease that somebody filled with nonsense is handled by the laws: one leader, nothing lost."""
    stage.start("a", "b")
    with Workload(stage, seconds=0.2):
        stage.leader()
        stage.control_plane.admin.patch(LEASES.format(stage.namespace, stage.lease), {"spec": spec})
        time.sleep(LEASE)
        stage.leader()
        stage.create(3)
        stage.wait_until_handled()
    stage.conclude()


def test_missing_rights_keep_a_standby_up_until_they_are_there(stage: Stage) -> None:
    """No RBAC: it stays up, names the missing rule, and goes on by itself once the rule is there."""
    stage.create(2)
    stage.start("a", granted=False)
    stage.replicas.wait_until(lambda: "leases" in stage.replicas["a"].text(), what="the message about the rule")
    assert not stage.verdict().executions
    stage.grant("a")
    stage.leader()
    stage.wait_until_handled()
    stage.conclude()


def test_rights_that_are_taken_away_end_the_term(stage: Stage) -> None:
    """L8: a lasting 403 ends the term; the other replica, whose rights are whole, takes over."""
    stage.start("a", "b")
    with Workload(stage, seconds=0.2, daemon=True):
        leader = stage.leader()
        stage.control_plane.revoke_lease_rights(f"{stage.namespace}-{leader.name}", stage.namespace, stage.lease)
        stage.leader(other_than=leader)
        assert leader.alive
    stage.conclude()
