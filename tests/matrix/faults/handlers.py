"""Handlers that block: a thread, the event loop, the whole interpreter."""

from __future__ import annotations

from collections.abc import Callable

from tests.e2e.stage import LEASE
from tests.matrix.faults.processes import ends_hard
from tests.matrix.scene import Scene, pause


def blocked_loop(scene: Scene) -> None:
    """For longer than the lease: the lead is kept."""
    leader = scene.leader()
    lease = scene.read_lease() or {}
    scene.create(block=LEASE + 2, only=leader.name)
    pause(LEASE + 1)
    scene.wait_until_handled()
    after = scene.read_lease() or {}
    assert after["spec"]["leaseTransitions"] == lease["spec"]["leaseTransitions"]
    assert leader.alive


def cut_off_with(**work: float) -> Callable[[Scene], None]:
    """Cut off while something runs that cannot be cancelled: the process ends before anybody else begins."""

    def inject(scene: Scene) -> None:
        leader = scene.leader()
        scene.long_work(leader, **work)
        scene.proxy(leader).cut()
        ends_hard(scene, leader)
        scene.leader(other_than=leader)

    return inject


def stuck(scene: Scene) -> None:
    """With --leader-election-stuck-timeout: the leader is given up though it renews."""
    leader = scene.leader()
    scene.long_work(leader, block=120)
    assert leader.wait() != 0
    scene.leader(other_than=leader)


def short_gil(scene: Scene) -> None:
    leader = scene.leader()
    scene.create(gil=1.5, only=leader.name)
    pause(3)
    scene.wait_until_handled()
    assert scene.leader() is leader


def long_gil(scene: Scene) -> str:
    """Nothing of the process can act, its exit point included; the others wait out its lease."""
    leader = scene.leader()
    scene.long_work(leader, gil=3 * LEASE)
    scene.leader(other_than=leader)
    scene.replicas.wait_until(lambda: not leader.alive or not scene.at_work(leader), what="end of the old work")
    return "it stands by again once the call has returned" if leader.alive else "it exits once the call has returned"
