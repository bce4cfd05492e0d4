"""Somebody lays hands on the Lease."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.e2e.stage import LEASE
from tests.matrix.scene import Scene, pause


def deleted(scene: Scene) -> None:
    scene.control_plane.admin.delete(scene.lease_path)
    scene.replicas.wait_until(scene.read_lease, what="the Lease to be made anew")
    scene.leader()


def edited(**spec: Any) -> Callable[[Scene], None]:
    """Some of its fields, once."""

    def inject(scene: Scene) -> None:
        scene.leader()
        scene.edit_lease(**spec)
        pause(LEASE)
        scene.leader()

    return inject


def stranger_once(scene: Scene) -> None:
    scene.edit_lease(holderIdentity="a-stranger")
    scene.replicas.wait_until(lambda: scene.holder() in {"a", "b"}, what="a leader after the stranger")
    scene.leader()


def stolen(scene: Scene) -> None:
    """A stranger takes it while it is held, renews it for two lease durations, and falls silent."""
    leader = scene.leader()
    for number in range(2 * LEASE):
        scene.edit_lease(holderIdentity="a-thief", renewTime=f"2026-01-01T00:00:{number:02}.000000Z")
        pause(1)
    assert not scene.at_work(leader)
    scene.replicas.wait_until(lambda: scene.holder() in {"a", "b"}, what="a leader after the thief")
    scene.leader()


def identity_clash(scene: Scene) -> None:
    """A second process under the leader's identity (L10): it waits, and leads when the first is gone."""
    leader = scene.leader()
    lease = scene.read_lease() or {}
    scene.start("c", arguments=[f"--leader-election-identity={lease['spec']['holderIdentity']}"])
    third = scene.replicas["c"]
    scene.wait_for_log(third, "in a write that it did not make")
    scene.other(leader).stop()
    scene.wait_for_work(leader)
    leader.kill()
    scene.wait_for_work(third)


def released_by_hand(scene: Scene) -> None:
    """While its leader cannot see it."""
    leader = scene.leader()
    scene.standby(leader)
    scene.proxy(leader).cut()
    scene.edit_lease(holderIdentity="", leaseDurationSeconds=1)
    scene.leader(other_than=leader)
    scene.proxy(leader).heal()
    assert leader.alive


def replaced_by_an_empty_one(scene: Scene) -> None:
    """Deleted and created with an empty spec, while its leader cannot see it; a newcomer takes it at once."""
    leader = scene.leader()
    scene.proxy(leader).cut()
    scene.control_plane.admin.delete(scene.lease_path)
    scene.create_lease()
    scene.start("c")
    scene.leader(other_than=leader)
    scene.proxy(leader).heal()
    assert leader.alive


def put_back(scene: Scene) -> None:
    """A's last record comes back while B, its successor, leads and is cut off: A must not take it for its own hold."""
    first = scene.leader()
    scene.standby(first)
    saved = (scene.read_lease() or {})["spec"]
    scene.proxy(first).cut(lose=True)
    second = scene.leader(other_than=first)
    scene.proxy(first).heal()
    scene.wait_for_log(first, f"{second.name}_")
    scene.proxy(second).cut()
    scene.edit_lease(**saved)
    scene.leader(other_than=second)
    scene.proxy(second).heal()
    assert second.alive
