"""L12, L15: the gate at every one of its suspensions: the operator cancelled, or a task of it struck by an error.

The operator is kopf's in its shortest form (streams that wait for the pause to end, a worker for each event), the
election is the ring `gate`'s fake on the virtual clock, and everything between them is the shipped gate.
"""

import asyncio
import contextvars
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import kopf
import pytest
from kopf._cogs.aiokits import aiotoggles

from kopf_leader.elector import waiting
from kopf_leader.gate import closing, conductor, exits, stuck
from kopf_leader.gate.gate import Gate
from kopf_leader.gate.hooks import Hook, Kind, register
from kopf_leader.gate.rules import Rules
from kopf_leader.gate.tenure import Tenure
from kopf_leader.protocol.state import Exit, Reason
from kopf_leader.testing.virtualtime import LoopClock
from tests.gate.elections import FakeElection
from tests.simulation.loop import Owner, SimLoop
from tests.simulation.suspension import Counter, Injected, Probe

STEP = 4  # test cases, each of which takes every STEP-th suspension
SLACK = 5.0


class Scripted(FakeElection):
    """The fake election without a thread of its own: its calls are made by the loop, one after the other."""

    def __post_init__(self) -> None:
        super().__post_init__()
        loop = self.clock._loop
        self.calls = SimpleNamespace(put=loop.call_soon)  # type: ignore[assignment]
        self.active: Callable[[], int] = lambda: 0
        self.early: list[str] = []

    def start(self) -> None:
        self.note("start")
        self.started.set()

    def drained(self, token: int) -> None:
        if self.active():
            self.early.append(f"{self.active()} handlers run when the term {token} is said to be drained")
        super().drained(token)

    def join(self, timeout: float | None = None) -> bool:
        return self.ended.is_set()

    def _stop(self, reason: Reason, cancel_in: float, exit_in: float) -> None:
        super()._stop(reason, cancel_in, exit_in)
        if self.term is not None:
            token = self.term.token
            self.clock._loop.call_later(exit_in, self._exit, token, reason)

    def _exit(self, token: int, reason: Reason) -> None:
        if self.term is not None and self.term.token == token:
            self.follower.exit_process(Exit(token, reason))


class LoopThread:
    """A thread that waits for the end of the election, as long as it takes on the virtual clock."""

    def __init__(self, *, target: Callable[[], None], **_: Any) -> None:
        self.target = target

    def start(self) -> None:
        asyncio.get_running_loop().call_later(1.0, self.target)


class Scene:
    """One operator, through two terms and its end, with something done at the n-th suspension."""

    def __init__(self, n: int, act: Callable[["Scene", Probe], Any]) -> None:
        self.loop = SimLoop()
        self.owner = Owner("operator")
        self.counter = Counter(n, lambda probe: act(self, probe))
        self.loop.wrap = self.counter.wrap
        self.left: list[str] = []
        self.leaving = False
        self.errors: list[BaseException] = []
        self.running = self.handled = 0
        self.election: Any = None
        rules = Rules(drain_timeout=3.0, slack=SLACK, stuck_timeout=float("inf"), warm_standby=False)
        self.gate = Gate(make_election=self._make_election, rules=rules)
        self.paused = aiotoggles.ToggleSet(any)
        self.parts: Any = SimpleNamespace(
            settings=kopf.OperatorSettings(),
            registry=kopf.OperatorRegistry(),
            attempt=self._attempt,
            login=None,
            paused=self.paused,
            make_toggle=lambda: self.paused.make_toggle(True, name="not the leader"),
            steady_killer=lambda **_: None,
            stop_daemons=lambda: 0,
            reset_memories=lambda: None,
            keeps_patch=self._false,
            processor=self._process,
            forget=self._false,
        )
        for kind in (Kind.STARTED, Kind.STOPPED):
            register(Hook(kind=kind, function=lambda **_: None, id=kind.value), self.parts.registry)
        context = self.owner.context.copy()
        self.task = context.run(lambda: self.loop.create_task(self._operate(), context=contextvars.copy_context()))

        self.task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        """The process would exit now."""
        if self.election is not None and not self.election.released.is_set():
            self.election.early.append("the operator ends before its term is said to be drained")
        if self.running:
            self.election.early.append("the operator ends while handlers run")

    def _make_election(self, follower: Any, login: Any) -> Any:
        self.election = Scripted(follower, login, drain=3.0, clock=LoopClock(self.loop))  # type: ignore[arg-type]
        self.election.active = lambda: self.running
        return self.election

    async def _operate(self) -> None:
        streams = self.gate.orchestrate(self.parts, self._orchestrate)

        async def original() -> None:
            try:
                await streams
            finally:
                streams.close()

        await self.gate.run_tasks(original)

    async def _orchestrate(self, processor: Callable[..., Any]) -> None:
        workers: set[asyncio.Task[Any]] = set()
        try:
            while True:
                await self.paused.wait_for(False)
                event = {"type": "MODIFIED", "object": {"metadata": {"uid": "u"}}}
                worker = asyncio.create_task(self._work(processor, event))
                workers.add(worker)
                worker.add_done_callback(workers.discard)
                await asyncio.sleep(0.4)
        finally:
            for worker in workers:
                worker.cancel()
            while workers:
                await asyncio.wait(set(workers))

    async def _work(self, processor: Callable[..., Any], event: Any) -> None:
        try:
            await processor(raw_event=event, resource=None)
        except Exception as error:  # kopf logs and throttles
            self.errors.append(error)

    async def _process(self, *, raw_event: Any, **_: Any) -> None:
        """A handler: it waits, uses a thread, waits again; cancelled, it takes a moment to clean up."""
        self.running += 1
        try:
            await asyncio.sleep(0.3)
            await asyncio.get_running_loop().run_in_executor(None, lambda: None)
            await asyncio.sleep(0.3)
            self.handled += 1
        except asyncio.CancelledError:
            await asyncio.sleep(0.2)
            raise
        finally:
            self.running -= 1

    async def _attempt(self, hook: Hook, **_: Any) -> Any:
        """A hook of the term, as kopf calls it: it logs what goes wrong, and says so."""
        try:
            await asyncio.sleep(0.05)
        except Exception as error:
            self.errors.append(error)
            return SimpleNamespace(final=True, exception=error, delay=None)
        return SimpleNamespace(final=True, exception=None, delay=None)

    async def _false(self, *_: Any) -> bool:
        return False

    # The script

    def run(self) -> None:
        """Two terms: the first ends by a rival, the second by the end of the operator."""
        for act, seconds in (
            (lambda: None, 0.5),
            (lambda: self.election.lead(seconds=100.0), 1.5),
            (lambda: self.election.stop(Reason.RIVAL, cancel_in=0.0, exit_in=1.0), 1.5),
            (lambda: self.election.lead(seconds=100.0), 1.5),
            (self._leave, 10.0),
        ):
            if not self.counter.where and not self.task.done():
                act()
            self.loop.run_until(self.loop.now + seconds)

    def _leave(self) -> None:
        self.leaving = True
        self.task.cancel()

    def over(self) -> None:
        """Nothing is left behind: no task, no open gate, no handler, and the Lease is given back or was never held."""
        where = self.counter.where
        if not self.task.done():
            self.task.cancel()
        self.loop.run_until(self.loop.now + 60.0)
        assert self.task.done(), where
        assert not [task for task in self.owner.tasks if not task.done()], where
        assert not self.loop.failures, (where, self.loop.failures)
        assert self.running == 0, where
        assert not self.gate.running, where
        assert self.gate.term is None, where
        assert self.loop.get_task_factory() is None, where
        assert not self.left, (where, self.left)
        if self.election is None:
            return
        assert not self.election.early, (where, self.election.early)
        assert self.election.released.is_set(), where
        assert "leave" in self.election.said or not self.election.started.is_set(), where


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """No threads, and no end of this process."""
    left: list[str] = []
    monkeypatch.setattr(waiting, "threading", SimpleNamespace(Thread=LoopThread))
    monkeypatch.setattr(stuck, "guarding", lambda *_, **__: nullcontext())
    monkeypatch.setattr(exits, "leave", lambda why, *_, **__: left.append(why))
    yield left


def all_points(act: Callable[[Scene, Probe], Any], share: int, left: list[str]) -> Iterator[Scene]:
    """The scene again and again, until its n-th suspension does not come."""
    n = share + 1
    while True:
        scene = Scene(n, act)
        scene.left = left
        scene.run()
        scene.over()
        if not scene.counter.where:
            assert scene.handled > 2
            assert n > 40, "the scene has many suspensions"
            return
        yield scene
        n += STEP


@pytest.fixture(params=range(STEP))
def share(request: Any) -> int:
    return int(request.param)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_cancelled_it_leaves_nothing_behind(share: int, times: int, alone: list[str]) -> None:
    """The operator cancelled at any suspension, once or again and again: closed, drained, released, in this order."""

    def cancel(scene: Scene, probe: Probe) -> None:
        for number in range(times):
            scene.loop.after(number * 0.1, scene.task.cancel)

    for scene in all_points(cancel, share, alone):
        assert scene.task.cancelled() or scene.task.exception() is None, scene.counter.where


def test_an_error_is_heard(share: int, alone: list[str]) -> None:
    """An error at any suspension of any task ends the operator, or is its handler's own.

    On the way out it may come beside a cancellation, which then is what comes out; asyncio reports the error.
    """

    def strike(scene: Scene, probe: Probe) -> None:
        probe.error = Injected()

    for scene in all_points(strike, share, alone):
        if "announce" in scene.counter.where:
            continue  # nobody waits for the announcer of new leaders: it ends, and asyncio reports the error
        if scene.task.cancelled():
            assert scene.leaving or any(isinstance(error, Injected) for error in scene.errors), scene.counter.where
        else:
            heard = (scene.task.exception(), *scene.errors)
            assert any(isinstance(error, Injected) for error in heard), scene.counter.where


def test_a_stray_cancellation_harms_nothing(share: int, alone: list[str]) -> None:
    """A CancelledError that nobody has asked for, as kopf's own errors behind a closed gate are, at any suspension."""

    def strike(scene: Scene, probe: Probe) -> None:
        probe.error = asyncio.CancelledError()

    for scene in all_points(strike, share, alone):
        assert not scene.errors, scene.counter.where


async def impatient(futures: Any) -> None:
    """Waits until it is cancelled, and no longer."""
    await asyncio.gather(*futures, return_exceptions=True)


async def no_drain(tenure: Tenure, **_: Any) -> None:
    """Does not wait for what runs."""
    tenure.finish()


def hasty(tenure: Tenure) -> bool:
    """Says that all is drained while something runs."""
    if tenure.shut and not tenure.over:
        tenure.over = True
        tenure._ended()
    return tenure.over


@pytest.mark.parametrize(
    ("place", "name", "flaw"),
    [(conductor, "all_done", impatient), (closing, "drain", no_drain), (Tenure, "finish", hasty)],
    ids=["impatient", "no drain", "hasty"],
)
def test_the_harness_finds_flaws(monkeypatch: Any, alone: list[str], place: Any, name: str, flaw: Any) -> None:
    """A gate that waits badly does not get through it."""
    scenes: list[Scene] = []

    def cancel(scene: Scene, probe: Probe) -> None:
        scenes.append(scene)
        for number in range(3):
            scene.loop.after(number * 0.1, scene.task.cancel)

    with monkeypatch.context() as flawed, pytest.raises(AssertionError):
        flawed.setattr(place, name, flaw)
        for share in range(STEP):
            for _ in all_points(cancel, share, alone):
                pass
    for task in list(scenes[-1].owner.tasks):
        task.cancel()
    scenes[-1].loop.run_until(scenes[-1].loop.now + 60.0)
    assert not scenes[-1].owner.tasks
