"""L15: the driver at every one of its suspensions: cancelled, asked to leave, robbed of a task, or struck by an error.

The life in which it happens has every kind of wait in it: it acquires, is refused its credentials and logs in, loses a
reply, a request and its watch, is told to wait by the server, drains slowly, releases, and ends.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kopf_leader.testing.link import Fate, Work
from tests.simulation.loop import OWNER
from tests.simulation.play import DEFAULT
from tests.simulation.suspension import Counter, Injected, Probe
from tests.simulation.world import World

STEP = 4  # test cases, each of which takes every STEP-th suspension
LEASE = 15.0


class Scene:
    """One life of `a` beside a standby `b`, with something done at the n-th suspension of `a`."""

    def __init__(self, n: int, act: Callable[["Scene", Probe], Any]) -> None:
        self.world = World(seed=3, lease={}, **DEFAULT)
        self.counter = Counter(n, lambda probe: act(self, probe))
        self.world.loop.wrap = lambda coro: self.counter.wrap(coro) if self._mine() else coro
        self.life: Any = None
        self.life = self.world.join("a", work=Work(finish=1.0)).life
        self.client = self.life.client
        self.life.mourned = True  # its death is what is looked at
        self.life.task.add_done_callback(lambda _: self.life.died())

    def _mine(self) -> bool:
        owner = OWNER.get()
        return owner is not None and owner.name == "a1"

    def run(self) -> None:
        """The life, as far as it goes."""
        for happen in (
            lambda: self.world.run_for(1.2),
            lambda: self.world.join("b"),
            lambda: self.world.run_for(1.0),
            lambda: self.world.server.embedded.revoke_token(self.client.token),
            lambda: self.world.run_for(2.5),
            lambda: self.client.line.fates.append(Fate(reply=None)),
            lambda: self.world.run_for(7.0),
            self.client.break_watch,
            lambda: setattr(self.client.line, "refuse", True),
            lambda: self.world.run_for(2.5),
            lambda: setattr(self.client.line, "refuse", False),
            lambda: (setattr(self.client.line, "status", 429), setattr(self.client.line, "retry_after", 1.5)),
            lambda: self.world.run_for(3.0),
            lambda: setattr(self.client.line, "status", None),
            lambda: self.world.run_for(4.0),
            lambda: self.life.process.resign(leave=True),
            lambda: self.world.run_for(3.0),
        ):
            if self.counter.where and not self.goes_on:
                return
            happen()

    @property
    def goes_on(self) -> bool:
        """Whether its driver is at work."""
        return not self.life.task.done()

    def nothing_left(self) -> None:
        """No task, no connection, no unheard error, and no claim longer than the last renewal gives."""
        where, life = self.counter.where, self.life
        assert not [task for task in life.owner.tasks if not task.done()], where
        assert self.client.pending == 0, where
        assert self.client.closed, where
        assert life.term is None or life.term.remaining() <= life.settings.renew_deadline, where
        assert not self.world.loop.failures, (where, self.world.loop.failures)

    def b_leads(self, *, within: float) -> None:
        """The claim and the hold run out, if they were not given back; never two at once meanwhile."""
        if "b" not in self.world.processes:
            self.world.join("b")
        assert self.world.wait_for(lambda: self.world.leaders == ["b"], within=within), self.counter.where
        assert not self.life.open
        assert self.life.term is None or not self.life.term.valid, self.counter.where


def all_points(act: Callable[[Scene, Probe], Any], share: int) -> Iterator[Scene]:
    """The scene again and again, until its n-th suspension does not come; ended after each use."""
    n = share + 1
    while True:
        scene = Scene(n, act)
        try:
            scene.run()
            if not scene.counter.where:
                assert n > 100, "the scene has many suspensions"
                return
            yield scene
        finally:
            scene.world.abandon()
        n += STEP


@pytest.fixture(params=range(STEP))
def share(request: Any) -> int:
    return int(request.param)


def test_cancelled_it_leaves_nothing_behind(share: int) -> None:
    """Cancelled at any suspension, once more while it cleans up, or both: nothing is left, and others take over."""

    def cancel(scene: Scene, probe: Probe) -> None:
        scene.life.task.cancel()
        if scene.counter.n % 2:
            scene.world.loop.after(0.0, scene.life.task.cancel)

    for scene in all_points(cancel, share):
        scene.world.loop.run_until(scene.world.now + 1.0)
        assert scene.life.task.done(), scene.counter.where
        assert scene.life.task.cancelled() or scene.life.driver.state.over, scene.counter.where
        scene.nothing_left()
        scene.b_leads(within=1.5 * LEASE + 0.1)


def test_asked_to_leave_it_gives_back_what_it_holds(share: int) -> None:
    """Asked to leave at any suspension: the Lease is released or was never held, whatever was under way."""

    def leave(scene: Scene, probe: Probe) -> None:
        scene.world.loop.after(0.0, lambda: scene.life.process.resign(leave=True))

    for scene in all_points(leave, share):
        scene.client.line.refuse, scene.client.line.status = False, None
        assert scene.world.wait_for(lambda life=scene.life: life.task.done(), within=2 * LEASE), scene.counter.where
        assert scene.life.task.exception() is None
        scene.world.run_for(0.5)
        scene.nothing_left()
        assert scene.world.server.spec.get("holderIdentity") != "a_1", scene.counter.where
        scene.b_leads(within=2.5)


@pytest.mark.parametrize("strike", ["cancelled", "raised"])
def test_struck_in_any_task_it_goes_on_or_dies_aloud(share: int, strike: str) -> None:
    """A cancellation or an error that nobody has asked for, at any suspension of any of its tasks.

    Either it is an outcome like any other, and the election goes on as if nothing had happened, or `run` ends with it:
    a candidate that has lost a task and stays would hold up nobody, and never lead again.
    """

    def act(scene: Scene, probe: Probe) -> None:
        probe.error = asyncio.CancelledError() if strike == "cancelled" else Injected()

    for scene in all_points(act, share):
        scene.client.line.refuse, scene.client.line.status = False, None
        scene.world.loop.run_until(scene.world.now + 1.0)
        if scene.goes_on:
            scene.life.process.resign(leave=False)
            assert scene.world.wait_for(lambda world=scene.world: world.leaders, within=1.5 * LEASE + 5)
            scene.world.processes["a"].resign(leave=True)
            assert scene.world.wait_for(lambda life=scene.life: life.task.done(), within=2 * LEASE), scene.counter.where
            scene.world.run_for(0.5)
            scene.nothing_left()
            scene.b_leads(within=2.5 * LEASE)
            continue
        ended_well = scene.life.driver.state.over
        assert ended_well or scene.life.task.cancelled() or scene.life.task.exception() is not None
        scene.nothing_left()
        scene.b_leads(within=1.5 * LEASE + 0.1)
