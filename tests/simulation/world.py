"""The stage: processes with the real driver, one embedded API server, everything in one virtual time, from a seed."""

import contextlib
import logging
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

from kopf_leader.elector.driver import Driver
from kopf_leader.protocol.settings import Settings
from kopf_leader.protocol.state import State
from kopf_leader.testing.link import Work
from tests.simulation.checker import Checker, Violation
from tests.simulation.coroner import Coroner
from tests.simulation.loop import SimLoop
from tests.simulation.process import Life, Process
from tests.simulation.server import NAME, NAMESPACE, Server

MakeDriver = Callable[..., Driver]


class World:
    """Processes, their server, and what has happened. `lease` is the spec at the beginning; None for no Lease."""

    def __init__(
        self,
        *,
        seed: int = 0,
        lease: Any = None,
        make_driver: MakeDriver = Driver,
        starts_only: bool = False,
        **settings: Any,
    ) -> None:
        logging.getLogger("kopf_leader").setLevel(logging.CRITICAL)
        self.random = Random(seed)
        self.loop = SimLoop()
        self.server = Server(self.loop, self.random, lease)
        self.make_driver = make_driver
        self.settings = Settings(name=NAME, namespace=NAMESPACE, identity="x", **settings)
        self.processes: dict[str, Process] = {}
        self.ghosts: list[Life] = []
        """Lives that are over, as long as something of them may be left."""
        self.violations: list[AssertionError] = []
        self.gone: Callable[[Process, str], None] = lambda process, why: None
        self.log: deque[tuple[float, str, str, Any]] = deque(maxlen=400)
        self.checker = Checker(self, starts_only=starts_only)
        self.coroner = Coroner(self) if self.settings.takeover == "evidence" else None

    @property
    def now(self) -> float:
        """The true time."""
        return self.loop.now

    @property
    def lives(self) -> list[Life]:
        return [process.life for process in self.processes.values() if process.life is not None]

    @property
    def leaders(self) -> list[str]:
        """Who would start a handler now."""
        return [life.process.name for life in self.lives if life.open]

    def join(self, name: str, *, rate: float = 1.0, work: Work | None = None) -> Process:
        """A new candidate; `rate` is how many of its seconds pass in a true one."""
        process = Process(self, name, rate=rate, settings=self.settings, work=work or Work())
        self.processes[name] = process
        return process

    def run_for(self, seconds: float) -> None:
        """Let time pass. Raises Violation."""
        self.run_until(self.loop.now + seconds)

    def run_until(self, moment: float) -> None:
        """Let time pass to this moment, with a look at the promises at least ten times in a lease_duration."""
        while True:
            self.loop.run_until(min(moment, self.loop.now + self.settings.lease_duration / 10))
            self.checker.alone()
            self._complain()
            if self.loop.now >= moment:
                break

    def wait_for(self, condition: Callable[[], Any], *, within: float) -> bool:
        """Let time pass until the condition holds; whether it came to that."""
        end = self.loop.now + within
        while not condition():
            if self.loop.now >= end:
                return False
            self.run_for(min(0.05, self.settings.lease_duration / 100))
        return True

    def note(self, life: Life | None, what: str, detail: Any = "") -> None:
        """Something happened: into the log."""
        self.log.append((self.loop.now, "" if life is None else life.owner.name, what, detail))

    def story(self, last: int = 60) -> str:
        """The last entries of the log, a line each."""
        return "\n".join(
            f"{now:10.3f} {name:5} {what:9} {detail}" for now, name, what, detail in list(self.log)[-last:]
        )

    def bury(self) -> None:
        """What is left of lives that are over must be nothing (L15)."""
        for ghost in self.ghosts:
            left = [task.get_name() for task in ghost.owner.tasks if not task.done()]
            begun = ghost.driver.state != State()  # else it had nothing to close
            if left or ghost.client.pending or (begun and not ghost.client.closed):
                raise Violation(
                    f"L15: of {ghost.owner.name} are left {len(left)} tasks and {ghost.client.pending} requests, and "
                    f"its client is {'' if ghost.client.closed else 'not '}closed\n{self.story()}"
                )
        self.ghosts.clear()

    def abandon(self) -> None:
        """After a failure: end everything without a look at it, so that no coroutine is left half-way."""
        with contextlib.suppress(AssertionError):
            self.end()

    def end(self) -> None:
        """Everybody dies; nothing may be left."""
        for process in self.processes.values():
            process.crash("the end")
        self.loop.run_until(self.loop.now + 1.0)
        self._complain()
        self.bury()
        self.server.close_watches()
        self.loop.run_until(self.loop.now + 1.0)
        if self.server.watching:
            raise Violation(f"L15: {self.server.watching} watches are left open on the server")

    def _complain(self) -> None:
        if self.violations:
            raise self.violations[0]
        if self.loop.failures:
            raise Violation(f"an exception that nobody took: {self.loop.failures[0]}\n{self.story()}")
        for life in self.lives:
            if life.task.done() and not life.driver.state.over and not life.mourned:
                why = "cancelled" if life.task.cancelled() else repr(life.task.exception())
                raise Violation(f"the driver of {life.owner.name} has died: {why}\n{self.story()}")
