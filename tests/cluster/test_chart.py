"""The chart end to end: installed by Helm on real controllers; its pods are processes with what the chart gave them."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.real import NODES
from tests.cluster.release import DEPLOYMENT, NAME, Release

pytestmark = pytest.mark.timeout(480)


@contextlib.contextmanager
def created_all_along(release: Release) -> Iterator[None]:
    """Objects are created while something happens; none may be lost."""
    done = threading.Event()
    errors: list[BaseException] = []

    def run() -> None:
        try:
            while not done.wait(0.2):
                release.create(seconds=0.05)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    assert not errors, errors


def test_installed_it_runs_as_the_chart_says(release: Release):
    """Two ready replicas, one of which leads; restricted user, sealed root; `helm test` passes."""
    release.install()
    release.create(3)
    _, leader = release.leader()
    assert release.ready() == 2
    status = Path(f"/proc/{leader.pid}/status").read_text()
    assert "Uid:\t65532\t65532" in status
    assert "CapEff:\t0000000000000000" in status
    with pytest.raises(OSError, match="Read-only file system"):
        Path(f"/proc/{leader.pid}/root/new").mkdir()
    report = release.helm("test", NAME)
    assert "Phase:          Succeeded" in report
    release.conclude()


def test_a_killed_leader_is_replaced(release: Release):
    """Killed hard: the other replica takes over, the container is restarted and stands by."""
    release.install()
    release.create(2)
    _, leader = release.leader()
    standby = release.standby(leader)
    with release.handover("killed"):
        leader.kill()
        release.create(3)
        _, successor = release.leader(other_than=leader)
    assert successor is standby
    release.wait_until(lambda: release.ready() == 2, "the restarted container to be ready")
    release.conclude()


@pytest.mark.skipif(os.environ.get(NODES) != "kubelet", reason="only a real kubelet reports last words")
def test_a_killed_leader_is_replaced_on_proof_of_its_death(release: Release):
    """L6: with takeover=evidence and a Lease of two minutes, the kubelet's report is enough."""
    timings = {"leaseDuration": "120s", "renewDeadline": "100s", "retryPeriod": "1s", "drainTimeout": "3s"}
    release.install(leaderElection={**timings, "takeover": "evidence"})
    release.create(2)
    for _ in range(2):
        _, leader = release.leader()
        release.wait_until(lambda: release.ready() == 2, "both to be ready")
        with release.handover("killed, on proof of death"):
            leader.kill()
            release.create(3)
            release.leader(other_than=leader)
    release.conclude()


def test_an_evicted_leader_hands_over_and_the_budget_is_kept(release: Release):
    """An eviction is an orderly handover; a second one is refused until the replacement is ready."""
    release.install()
    release.create(2)
    _, leader = release.leader()
    standby = release.standby(leader)
    with release.handover("evicted"):
        assert release.evict(leader.name) == 201
        assert release.evict(standby.name) == 429
        release.create(3)
        _, successor = release.leader(other_than=leader)
    assert successor is standby
    release.wait_until(lambda: leader.gone, "the leader's end")
    release.wait_until(lambda: release.ready() == 2, "the replacement")
    release.wait_until(lambda: release.evict(standby.name) == 201, "the budget to allow the next eviction")
    release.wait_until(lambda: release.ready() == 2, "the next replacement")
    release.conclude()
    assert not leader.killed_hard


def test_a_drained_node_hands_over(release: Release):
    """The leader's node is cordoned and drained: the lead moves, and the replacement comes up elsewhere."""
    release.install()
    release.create(2)
    node, leader = release.leader()
    path = f"/api/v1/nodes/{node.name}"
    release.api.patch(path, {"spec": {"unschedulable": True}})
    try:
        here = [pod for where, pod in release.cluster.pods(release.namespace) if where is node]
        with created_all_along(release), release.handover("its node drained"):
            for pod in here:
                release.wait_until(lambda pod=pod: release.evict(pod.name) in (201, 404), "the eviction")
            release.leader(other_than=leader)
            release.wait_until(lambda: release.ready() == 2, "the replacement")
        assert not [pod for where, pod in release.cluster.pods(release.namespace) if where is node]
        release.conclude()
    finally:
        release.api.patch(path, {"spec": {"unschedulable": False}})


def test_a_new_version_rolls_out_while_objects_are_created(release: Release):
    """Readiness never blocks the rollout, no object is lost, never are two replicas at work; then back again."""
    release.install()
    release.create(2)
    _, leader = release.leader()
    with created_all_along(release):
        with release.handover("a new version rolled out"):
            release.upgrade(podAnnotations={"version": "two"})
            release.leader(other_than=leader)
        with release.handover("rolled back"):
            release.helm("rollback", NAME, "1", "--wait", "--timeout", "180s")
            release.leader()
    deployment = release.get(f"apps/v1/deployments/{DEPLOYMENT}")
    assert deployment["status"]["readyReplicas"] == deployment["status"]["replicas"] == 2
    assert "version" not in deployment["spec"]["template"]["metadata"]["annotations"]
    release.conclude()


def test_a_silent_node_loses_nothing(release: Release):
    """A node's agent hangs while its pods run on: the leader there leads on; cut off too, it is replaced in time."""
    release.install()
    release.create(2)
    node, leader = release.leader()
    release.standby(leader)
    node.silence()
    release.wait_until(lambda: _taints(release, node.name), "the node to be noticed as gone")
    release.create(3)
    release.wait_until_handled()
    assert release.holder() == leader.name
    with release.handover("its node silent, then cut off"):
        leader.cut()
        release.create(3)
        release.leader(other_than=leader)
    release.conclude()
    leader.heal()
    node.speak()


def test_uninstalled_nothing_is_left(release: Release):
    """After `helm uninstall` there is nothing of the release, in the namespace or outside of it."""
    release.install()
    release.helm("uninstall", NAME, "--wait")
    release.wait_until(lambda: not [*release.cluster.pods(release.namespace)], "the pods to end")
    left = []
    for path in (
        "apps/v1/deployments",
        "apps/v1/replicasets",
        "v1/pods",
        "v1/configmaps",
        "coordination.k8s.io/v1/leases",
        "policy/v1/poddisruptionbudgets",
        "rbac.authorization.k8s.io/v1/roles",
        "rbac.authorization.k8s.io/v1/rolebindings",
        "v1/serviceaccounts",
    ):
        release.wait_until(lambda path=path: not _ours(release, path), f"{path} to be empty")
        left += _ours(release, path)
    assert left == []
    for kind in ("clusterroles", "clusterrolebindings"):
        items = release.api.get(f"/apis/rbac.authorization.k8s.io/v1/{kind}")["items"]
        assert [item for item in items if release.namespace in item["metadata"]["name"]] == []
    release._installed = False


def _ours(release: Release, path: str) -> list[str]:
    system = {"kube-root-ca.crt", "default"}
    return [item["metadata"]["name"] for item in release.get(path)["items"] if item["metadata"]["name"] not in system]


def _taints(release: Release, node: str) -> list[object]:
    return release.api.get(f"/api/v1/nodes/{node}")["spec"].get("taints", [])  # type: ignore[no-any-return]
