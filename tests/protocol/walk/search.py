"""The frontier: worlds reached and not yet left; and the story of how one was reached."""

import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

from kopf_leader.protocol.machine import step
from kopf_leader.testing.world import Step
from tests.protocol.walk import faults, network, passing
from tests.protocol.walk.fold import Fold
from tests.protocol.walk.ground import Ground
from tests.protocol.walk.laws import check
from tests.protocol.walk.liveness import Liveness
from tests.protocol.walk.values import Broken, Plan, World


@dataclass
class Outcome:
    """What a walk came to."""

    plan: Plan
    states: int = 0
    moves: int = 0
    depth: int = 0
    exhausted: bool = False
    seconds: float = 0.0
    """Of the processor: the machine may be busy."""
    asked: int = 0
    """Worlds that were asked for their way to a leader."""
    slowest: float = 0.0
    """The longest such way, in lease_durations."""
    broken: Broken | None = None
    trace: list[str] = field(default_factory=list)

    def sentence(self) -> str:
        end = "exhausted" if self.exhausted else "not exhausted"
        line = f"{self.plan.name}: {self.states} states, {self.moves} moves, depth {self.depth}, {end}"
        line += f", {self.seconds:.0f} s"
        if self.asked:
            line += f"; a leader within {self.slowest:.2f} lease_durations from each of {self.asked}"
        return line if self.broken is None else f"{line}; BROKEN {self.broken}"


def moves(ground: Ground, world: World) -> Iterator[tuple[str, World]]:
    """Everything that may happen in a world, each with a word for it."""
    busy = list(network.deliveries(ground, world))
    yield from busy
    if not busy or ground.plan.anywhere:
        yield from faults.strike(ground, world)
        yield from faults.late(ground, world)
    if not busy:
        yield from faults.happenings(ground, world)


def beginning(ground: Ground) -> World:
    """All have just been started; after some calm ticks, in one order, one of them leads."""
    world, plan = ground.beginning(), ground.plan
    while world.now < plan.calm * plan.tick:
        busy = next(network.deliveries(ground, world), None)
        world = busy[1] if busy is not None else passing.advance(ground, world)
    while busy := next(network.deliveries(ground, world), None) if plan.calm else None:
        world = busy[1]
    return world._replace(faults=plan.faults)


class Walk:
    """One breadth-first walk. Worlds are known again by 64 bits of their key: ten million of them share one by chance
    with a probability of 3 in a million.
    """

    def __init__(self, plan: Plan, machine: Step = step, *, fold: bool = True) -> None:
        self.plan, self.ground = plan, Ground(plan, machine)
        self.key = Fold(self.ground).key if fold else (lambda world: world)
        self.liveness = Liveness(self.ground, self.key)
        self.parents, self.whys = array("l"), array("l")
        self.known: set[int] = set()
        self.why_numbers: dict[str, int] = {}

    def run(
        self, *, states: float = float("inf"), seconds: float = float("inf"), depth: float = float("inf")
    ) -> Outcome:
        """Walk to the end, or to a limit, or to the first law that is broken."""
        outcome, start = Outcome(self.plan), time.process_time()
        try:
            self._run(outcome, states, start + seconds, depth)
        except Broken as error:
            outcome.broken = error
        outcome.states = len(self.parents)
        outcome.seconds = time.process_time() - start
        outcome.asked, outcome.slowest = self.liveness.asked, self.liveness.slowest
        return outcome

    def _run(self, outcome: Outcome, states: float, until: float, depth: float) -> None:
        first = beginning(self.ground)
        known = self.known
        known.add(hash(self.key(first)))
        self._note(-1, "")
        front = [(0, first)]
        while front:
            if outcome.depth >= depth:
                return
            outcome.depth += 1
            following: list[tuple[int, World]] = []
            for number, world in front:
                if len(self.parents) >= states or time.process_time() > until:
                    return
                self._leave(outcome, number, world, known, following)
            front = following
        outcome.exhausted = True

    def _leave(
        self, outcome: Outcome, number: int, world: World, known: set[int], following: list[tuple[int, World]]
    ) -> None:
        why = ""
        try:
            for why, reached in moves(self.ground, world):
                outcome.moves += 1
                if reached.now > self.plan.until * self.plan.tick:
                    continue
                key = hash(self.key(reached))
                if key in known:
                    continue
                check(self.ground, reached)
                known.add(key)
                following.append((len(self.parents), reached))
                self._note(number, why)
                if self.plan.liveness and len(self.parents) % self.plan.liveness == 0:
                    self.liveness.ask(reached)
        except Broken:
            outcome.trace = [*self.story(number), f"{'':6} then this, or what comes after it: {why}"]
            raise

    def _note(self, parent: int, why: str) -> None:
        self.parents.append(parent)
        self.whys.append(self.why_numbers.setdefault(why, len(self.why_numbers)))

    def story(self, number: int) -> list[str]:
        """The moves that led to a world, each with its time, by walking them again."""
        words = list(self.why_numbers)
        path: list[str] = []
        while number > 0:
            path.append(words[self.whys[number]])
            number = self.parents[number]
        return self.replay(path[::-1])

    def replay(self, path: list[str]) -> list[str]:
        """Walk a path again; a line for each move. (Where two moves have one name, the first is taken.)"""
        world, lines = beginning(self.ground), []
        for why in path:
            found = next((after for name, after in moves(self.ground, world) if name == why), None)
            lines.append(f"{world.now / self.plan.tick:6.2f} {why}")
            if found is not None:
                world = found
        return lines
