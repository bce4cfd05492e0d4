"""The network between the leader (or the standby) and the API server; see ``kopf_leader.testing.proxy``."""

from __future__ import annotations

from collections.abc import Callable

from kopf_leader.testing.proxy import Proxy
from tests.e2e.stage import LEASE, RENEW
from tests.matrix.scene import Scene, pause


def leader_behind(fault: Callable[[Proxy], None]) -> Callable[[Scene], None]:
    """The leader's network has this fault until somebody else leads, while the leader is at something long."""

    def inject(scene: Scene) -> None:
        leader = scene.leader()
        scene.long_work(leader, seconds=30)
        fault(scene.proxy(leader))
        scene.leader(other_than=leader)
        scene.proxy(leader).heal()
        assert leader.alive

    return inject


def slow_reply_then_cut(scene: Scene) -> None:
    leader = scene.leader()
    proxy = scene.proxy(leader)
    proxy.slow_reply()
    pause(RENEW * 0.4)  # shorter than the request's time-out
    proxy.reply_then_cut()
    scene.leader(other_than=leader)
    proxy.heal()


def no_replies(scene: Scene) -> None:
    leader = scene.leader()
    scene.proxy(leader).slow_reply()
    pause(2 * LEASE)
    scene.proxy(leader).heal()
    scene.leader()


def slow(scene: Scene) -> None:
    leader = scene.leader()
    scene.proxy(leader).delay(0.15)
    pause(LEASE + 1)
    scene.proxy(leader).heal()
    assert scene.leader() is leader


def standby_cut(scene: Scene) -> None:
    leader = scene.leader()
    standby = scene.standby(leader)
    scene.proxy(standby).cut()
    pause(LEASE + 2)
    scene.proxy(standby).heal()
    pause(2)
    assert scene.leader() is leader


def flapping(scene: Scene) -> None:
    """Cut and healed every second: some renewals pass."""
    leader = scene.leader()
    for _ in range(2 * LEASE):
        scene.proxy(leader).cut(lose=True)
        pause(0.7)
        scene.proxy(leader).heal()
        pause(0.7)
    scene.leader()


def everybody_cut(scene: Scene) -> None:
    scene.leader()
    for proxy in scene.proxies.values():
        proxy.cut()
    pause(LEASE + 2)
    for proxy in scene.proxies.values():
        proxy.heal()
    scene.leader()
