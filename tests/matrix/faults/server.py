"""The API server and etcd themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from tests.e2e.stage import LEASE
from tests.matrix.scene import Scene, pause


def restarted(*, hard: bool) -> Callable[[Scene], None]:
    def inject(scene: Scene) -> None:
        scene.control_plane.restart(hard=hard)
        scene.leader()

    return inject


def gone(scene: Scene) -> None:
    """No process may have to be restarted for it."""
    before = [one.pid for one in scene.replicas]
    scene.control_plane.kill()
    pause(3 * LEASE)
    scene.control_plane.revive()
    scene.leader()
    assert [one.pid for one in scene.replicas] == before


def frozen(part: Literal["etcd", "apiserver"]) -> Callable[[Scene], None]:
    def inject(scene: Scene) -> None:
        scene.control_plane.pause(part)
        pause(LEASE + 3)
        scene.control_plane.resume(part)
        scene.leader()

    return inject


def etcd_killed(scene: Scene) -> None:
    scene.control_plane.kill("etcd")
    pause(LEASE + 1)
    scene.control_plane.revive()
    scene.leader()


def no_space(scene: Scene) -> None:
    """Reads pass, writes are refused with a 500; meanwhile etcd restarts, so its leader is lost and elected again."""
    scene.control_plane.alarm(on=True)
    try:
        pause(LEASE)
        scene.control_plane.kill("etcd")
        scene.control_plane.revive()
        pause(LEASE)
    finally:
        scene.control_plane.alarm(on=False)
    scene.leader()
