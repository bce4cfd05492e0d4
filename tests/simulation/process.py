"""A process that stands for the Lease: the real driver, and a gate whose handlers run, finish, obey or are stuck."""

import contextvars
from dataclasses import replace
from math import inf
from random import Random
from typing import TYPE_CHECKING, Any

from kopf_leader.elector.driver import LEADERS_NAP, Driver
from kopf_leader.elector.observer import Observer
from kopf_leader.protocol.settings import Settings
from kopf_leader.protocol.state import Drained, Exit, Instant, Resign, State, StopLeading
from kopf_leader.protocol.term import Term
from kopf_leader.testing.clock import LocalClock
from kopf_leader.testing.link import Work
from tests.simulation.loop import Owner
from tests.simulation.wire import Line, SimClient

if TYPE_CHECKING:
    from tests.simulation.world import World

ROUNDING = 1e-5  # seconds that a timer may ring late
WALL = 1_767_323_045_000_000  # 2026-01-02T03:04:05Z


class Life(Observer):
    """One life of a process, from its start to its end: follower and observer of its driver."""

    def __init__(self, process: "Process", number: int) -> None:
        world, self.process, self.number = process.world, process, number
        self.world, random = world, world.random
        origin = random.uniform(1e4, 1e6)
        self.owner = Owner(f"{process.name}{number}", rate=process.rate, origin=origin)
        self.clock: Any = LocalClock(world.loop, origin=origin, rate=process.rate, wall=process.wall)
        self.settings = replace(process.settings, identity=process.borrowed or f"{process.name}_{number}")
        self.client = SimClient(world.loop, world.server, random, process.line)
        self.dead = False
        self.term: Term | None = None
        self.gate_open = False
        self.token: int | None = None
        """The term whose handlers run, if any do."""
        self.exempt_until = -inf
        """True time until when what was running at a freeze is exempt; see the claim in the README."""
        self.waking = False
        """Thawed, and has not looked at its clock yet."""
        self.mourned = False
        """Whether it is known, and no violation, that its driver may die."""
        self._end: Any = None
        self.driver: Driver = world.make_driver(
            settings=self.settings,
            client=self.client,
            follower=self,
            clock=self.clock,
            observers=[self],
            random=Random(random.random()),
        )
        if world.coroner is not None:
            self.driver._witness = world.coroner.witness(self)
        world.checker.follow(self)
        context = self.owner.context.copy()
        self.task = context.run(lambda: world.loop.create_task(self.driver.run(), context=contextvars.copy_context()))

    # What can be seen of it.

    @property
    def open(self) -> bool:
        """Whether a handler would be started now: by the gate, and by the clock (L7)."""
        return not self.dead and self.gate_open and not self.owner.frozen and self.term is not None and self.term.valid

    @property
    def running(self) -> bool:
        """Whether handlers run now."""
        return not self.dead and self.token is not None and not self.owner.frozen

    @property
    def exempt(self) -> bool:
        return self.world.loop.now < self.exempt_until + ROUNDING

    # Follower

    def start_leading(self, term: Term) -> None:
        if self.dead:
            return
        self.term, self.token, self.gate_open = term, term.token, True
        self.world.note(self, "starts", term.token)
        self.world.checker.started(self, term)

    def stop_leading(self, stop: StopLeading) -> None:
        if self.dead:
            return
        self.gate_open = False
        self.world.note(self, "stops", stop.reason.name)
        if self._end is not None:
            self._end.cancel()
        if self.token != stop.token:
            self.driver.post(Drained(stop.token))
            return
        now, work = self.clock.time(), self.process.work
        end = min(now + work.finish, max(stop.cancel_at, now) + work.obey)
        if end < inf:
            self._end = self.world.loop.call_later(end - now, self._ended, stop.token)

    def exit_process(self, exit_: Exit) -> None:
        if self.dead:
            return
        if self.token == exit_.token:
            self.process.crash("exit", self)
        else:
            self.driver.post(Drained(exit_.token))

    def new_leader(self, holder: str) -> None:
        pass

    def died(self) -> None:
        """Its driver is no more: the gate ends the handlers by its own look at the clock when the claim has run out."""
        if self.term is not None and self.token is not None:
            token, left = self.token, self.term.remaining()
            self.world.loop.after(left / self.process.rate, lambda: self._ended(token))

    def _ended(self, token: int) -> None:
        if not self.dead and self.token == token:
            self.token = None
            self.world.note(self, "drained", token)
            self.driver.post(Drained(token))
            self.world.checker.alone()

    # Observer

    def stepped(self, before: State, after: State, now: Instant) -> None:
        if self.dead:
            return
        if self.waking:
            self.waking = False
            self.exempt_until = -inf if after.closing is None else self.clock.true(after.closing.exit_at)
        try:
            self.world.checker.stepped(self, before, after, now)
        except AssertionError as error:  # observers must not disturb the election, so the loop is told
            self.world.violations.append(error)
        if after.over:
            self.world.loop.after(0.0, lambda: self.process.crash("finished", self))


class Process:
    """A replica: one life after the other."""

    def __init__(self, world: "World", name: str, *, rate: float, settings: Settings, work: Work) -> None:
        self.world, self.name, self.rate, self.settings, self.work = world, name, rate, settings, work
        self.line = Line()
        self.wall = WALL + world.random.randrange(-3_600_000_000, 3_600_000_000)
        self.lives = 0
        self.borrowed = ""
        """Somebody else's identity, for the next life (L10)."""
        self.life: Life | None = None
        self.start()

    @property
    def alive(self) -> bool:
        return self.life is not None

    def start(self) -> None:
        if self.life is None:
            self.lives += 1
            self.life = Life(self, self.lives)

    def crash(self, why: str = "killed", life: Life | None = None) -> None:
        """It is gone at once; what is on the wire arrives all the same. What is left of it must clean up."""
        mine = self.life
        if mine is None or (life is not None and life is not mine):
            return
        mine.dead, self.life, mine.client.dead = True, None, True
        self.world.note(mine, "gone", why)
        self.world.ghosts.append(mine)
        mine.task.cancel()
        self.world.loop.thaw(mine.owner)
        if self.world.coroner is not None:
            self.world.coroner.dies(mine)
        self.world.gone(self, why)

    def restart(self) -> None:
        self.crash()
        self.start()

    def freeze(self, *, suspend: bool = False) -> None:
        """SIGSTOP or a paused VM; with `suspend` the timers' clock stands still meanwhile (L5)."""
        if self.life is not None:
            self.world.note(self.life, "frozen", "suspended" if suspend else "")
            self.world.loop.freeze(self.life.owner, suspend=suspend)

    def thaw(self) -> None:
        if self.life is not None and self.life.owner.frozen:
            self.world.note(self.life, "thawed")
            self.life.waking = True
            self.life.exempt_until = self.world.now + (LEADERS_NAP + 0.05) / self.rate
            self.world.loop.thaw(self.life.owner)
            self.world.loop.at(self.life.exempt_until + 2 * ROUNDING, self.world.checker.alone)
            self.world.checker.alone()

    def resign(self, *, leave: bool) -> None:
        if self.life is not None:
            self.world.note(self.life, "asked", "to leave" if leave else "to step down")
            self.life.driver.post(Resign(leave=leave))

    def heal(self, line: Line | None = None) -> None:
        """The line works again."""
        self.line = line or Line()
        if self.life is not None:
            self.life.client.line = self.line
            self.life.client.deliver()
