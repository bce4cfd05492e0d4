"""A small world for the machine alone: candidates, one Lease, and a network with faults, in virtual time.

There is no I/O and no asyncio: what the driver does with each action of the machine is done here in a few lines, so
that a schedule of faults can be written down as a trace, or drawn from a seed. Everything is deterministic.

    world = World(seed=1)
    a, b = world.add("a"), world.add("b")
    world.run_for(1)            # one of them leads
    a.link.cut()                # a half-open connection: nothing arrives, nobody is told
    world.run_for(20)           # the other one leads

Times are true seconds unless called local. Whoever wants to know what happens (a checker) is put into `observers`.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from kopf_leader.protocol import machine
from kopf_leader.protocol.settings import Settings
from kopf_leader.protocol.state import Action, Event, Instant, State
from kopf_leader.testing.candidate import Candidate
from kopf_leader.testing.clock import LocalClock, VirtualClock
from kopf_leader.testing.leasestore import LeaseStore
from kopf_leader.testing.link import Work

Step = Callable[[Settings, State, Instant, Event], tuple[State, tuple[Action, ...]]]
Observer = Callable[[Candidate, str, Any], None]

EMPTY: Mapping[str, Any] = {}
WALL = 1_767_323_045_000_000  # 2026-01-02T03:04:05Z


class World:
    """The true time, the Lease, and the candidates for it.

    `lease` is the spec that exists at the beginning: empty like the chart's, or None for no Lease at all. `step` is
    the machine; a test may pass one with a flaw in it.
    """

    def __init__(
        self, *, seed: int = 0, lease: Mapping[str, Any] | None = EMPTY, step: Step = machine.step, **settings: Any
    ) -> None:
        self.clock = VirtualClock()
        self.rng = random.Random(seed)  # noqa: S311 (no secret: the seed is the point)
        self.store = LeaseStore()
        self.step = step
        self.settings = settings
        self.candidates: dict[str, Candidate] = {}
        self.observers: list[Observer] = []
        self.log: deque[tuple[float, str, str, Any]] = deque(maxlen=2000)
        if lease is not None:
            self.store.restore(lease)

    @property
    def now(self) -> float:
        """The true time."""
        return self.clock.now

    @property
    def leaders(self) -> list[str]:
        """Who has an open gate now."""
        return [name for name, candidate in self.candidates.items() if candidate.open]

    def add(
        self, name: str, *, rate: float = 1.0, work: Work | None = None, start: bool = True, **settings: Any
    ) -> Candidate:
        """A new candidate; `rate` is how many of its seconds pass in a true one."""
        wall = WALL + self.rng.randrange(-3_600_000_000, 3_600_000_000)
        clock = LocalClock(self.clock, origin=self.rng.uniform(1e4, 1e6), rate=rate, wall=wall)
        chosen = {"name": "election", "namespace": "tests", "identity": f"{name}_0", **self.settings, **settings}
        candidate = Candidate(self, name, Settings(**chosen), clock)
        candidate.work = work or Work()
        self.candidates[name] = candidate
        if start:
            candidate.start()
        return candidate

    def run_until(self, moment: float) -> None:
        """Let time pass to `moment`."""
        self.clock.run_until(moment)

    def run_for(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self.clock.run_until(self.clock.now + seconds)

    def wait_for(self, condition: Callable[[], bool], *, within: float, step: float = 0.01) -> float:
        """Let time pass until `condition` holds; the seconds that took. Raises TimeoutError after `within`."""
        begun = self.now
        while not condition():
            if self.now - begun >= within:
                raise TimeoutError(f"{condition!r} did not come true within {within} s of virtual time.")
            self.run_for(step)
        return self.now - begun

    def note(self, candidate: Candidate, what: str, detail: Any = None) -> None:
        """Something happened: into the log, and to every observer."""
        self.log.append((self.now, candidate.name, what, detail))
        for observer in self.observers:
            observer(candidate, what, detail)

    def story(self, last: int = 60) -> str:
        """The last entries of the log, a line each, for a failure's message."""
        lines = [f"{now:10.3f} {name:4} {what:8} {_short(detail)}" for now, name, what, detail in self.log]
        return "\n".join(lines[-last:])


def _short(detail: Any) -> str:
    if isinstance(detail, tuple):
        return " ".join(_short(part) for part in detail)
    kind, record = getattr(detail, "kind", None), getattr(detail, "record", None)
    if kind is not None and record is not None:
        return f"{type(detail).__name__} {kind.value} over {detail.over} at {record.renew_time}"
    write, sight = getattr(detail, "write", None), getattr(detail, "sight", None)
    if write is not None:
        return f"{type(detail).__name__}({_short(write)})"
    if sight is not None:
        record = sight.record
        return f"{type(detail).__name__} v{sight.version} holder={record.holder!r} at {record.renew_time}"
    return "" if detail is None else str(detail)
